// SPDX-License-Identifier: Apache-2.0
// Timers: O(1) to set, move and cancel (a hierarchical wheel of 1 ms), because every request moves
// one. They fire never early, at most one turn late. Embedded; no allocation.
#pragma once

#include "base/list.h"
#include "event/loop.h"

struct timer {
    struct list link;
    uint64_t due_ms; // monotonic; 0: not set
    void (*fired)(struct timer *timer);
};

void timer_init(struct timer *timer, void (*fired)(struct timer *));
// Sets or moves it to loop_now_ms + after_ms. May be called from its own callback.
void timer_set(struct loop *loop, struct timer *timer, uint64_t after_ms);
void timer_cancel(struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->due_ms != 0;
}
