// SPDX-License-Identifier: Apache-2.0
// A deadline that is moved at every step of a request and hardly ever reached. The timer beneath is
// touched only when the deadline comes to lie before it; when it fires too early it is set again.
#pragma once

#include "event/timer.h"

struct deadline {
    struct timer timer;
    uint64_t at_ms; // 0: none
    uint8_t kind;   // what it ends: enum deadline_kind
    uint32_t mark;  // DEADLINE_SEND and _LINGER: bytes queued when it was set
};

// The named time-outs, and the proxy's own.
enum deadline_kind {
    DEADLINE_NONE,
    DEADLINE_CLIENT_HEADER,
    DEADLINE_CLIENT_IDLE,
    DEADLINE_CLIENT_BODY,
    DEADLINE_CONNECT,
    DEADLINE_TARGET_RESPONSE,
    DEADLINE_TARGET_BODY,
    DEADLINE_TUNNEL_IDLE,
    DEADLINE_SEND,
    DEADLINE_LINGER,
    DEADLINE_POOL_IDLE,
};

static inline void deadline_set(struct loop *loop, struct deadline *deadline,
                                enum deadline_kind kind, uint64_t after_ms)
{
    deadline->kind = (uint8_t)kind;
    deadline->at_ms = loop_now_ms(loop) + after_ms;
    if (!timer_is_set(&deadline->timer) || deadline->timer.due_ms > deadline->at_ms) {
        timer_set(loop, &deadline->timer, after_ms);
    }
}

// The timer may still fire: see deadline_reached.
static inline void deadline_clear(struct deadline *deadline)
{
    deadline->kind = DEADLINE_NONE;
    deadline->at_ms = 0;
}

// In the timer's callback: whether there is a deadline and it has come. If it has not, the timer is
// set anew.
static inline bool deadline_reached(struct loop *loop, struct deadline *deadline)
{
    uint64_t now_ms = loop_now_ms(loop);
    if (deadline->at_ms == 0) {
        return false;
    }
    if (deadline->at_ms > now_ms) {
        timer_set(loop, &deadline->timer, deadline->at_ms - now_ms);
        return false;
    }
    deadline->at_ms = 0;
    return true;
}

// For a peer that has to take bytes: true, and the deadline begins again, when it took some since.
static inline bool deadline_progressed(struct loop *loop, struct deadline *deadline,
                                       uint32_t queued, uint64_t after_ms)
{
    if (queued == 0 || queued >= deadline->mark) {
        return false;
    }
    deadline->mark = queued;
    deadline_set(loop, deadline, (enum deadline_kind)deadline->kind, after_ms);
    return true;
}
