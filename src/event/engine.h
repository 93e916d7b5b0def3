// SPDX-License-Identifier: Apache-2.0
// What the files of the epoll engine share; nobody outside src/event includes it.
//
// An epoll entry holds a pointer: to a stream, or (lowest bit set) to a registration, the engine's
// own memory behind a watch. Neither is freed before step 6 of the turn, so an event of the running
// batch may name a closed one and is then ignored.
#pragma once

#include <stdatomic.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "event/buf.h"
#include "event/loop.h"
#include "event/stream.h"
#include "event/timer.h"

// A hierarchical wheel. A timer stands on the level of the highest digit (base 64) in which its due
// time differs from `now`, in the slot of its own digit there. So every timer of a level is due
// before every timer of the next, no slot ever wraps, and the first set bit of the lowest level in
// use is the next to look at. 7 levels are 42 bits: 139 years of milliseconds.
enum { WHEEL_LEVELS = 7, WHEEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_BITS };
struct wheel {
    uint64_t now; // all before and at it has been taken out
    uint64_t
        in_use[WHEEL_LEVELS]; // a bit a slot; may be set for a slot whose timers were cancelled
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list firing; // those of the running step 3
    struct list due;    // to fire in the next step 3
};
void wheel_init(struct wheel *wheel, uint64_t now);
void wheel_run(struct wheel *wheel, uint64_t now);
// 0: at once; UINT64_MAX: no timer is set. Never later than the first timer, at times earlier.
uint64_t wheel_next(struct wheel *wheel);

struct registration {
    struct watch *watch; // NULL once closed
    uint32_t interest;   // EPOLLIN | EPOLLOUT
    struct list link;    // of loop->registrations_closed
};

enum { LOOP_BATCH = 256 };
struct loop {
    int epoll_fd;
    bool stopping;
    uint64_t now_ms;
    struct clock *clock;
    struct list flush;   // streams to flush in step 5
    struct list ready;   // streams to read in step 2 without an event
    struct list closing; // streams whose `closed` is due
    struct list tasks;
    struct list registrations_closed;
    struct list orphans; // cancelled children that have not died yet
    struct buf *spare;
    uint32_t spare_count, spare_max, buffer_size;
    struct wheel wheel;
    struct epoll_event events[LOOP_BATCH];
};

// Once the process has started a child, a descriptor closed here may live on in it for a moment
// (between clone and exec), and with it its epoll entry; so entries are then removed explicitly.
extern atomic_bool engine_has_children;

void stream_handle_events(struct stream *stream, uint32_t events);
void stream_handle_ready(struct stream *stream);
void stream_handle_flush(struct stream *stream);
void orphan_free(struct list *link);
