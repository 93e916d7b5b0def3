// SPDX-License-Identifier: Apache-2.0
// The event loop: one per thread, nothing shared. Everything above it is told what *has happened*
// ("these bytes arrived", "that was sent"), never what is possible ("readable"), so that an engine
// can be epoll or io_uring without a caller noticing.
//
// One turn of the loop:
//   1. wait for the kernel, at most until the next timer
//   2. deliver completions (stream, acceptor, dgram, watch callbacks, a mailbox's letters)
//   3. run the timers that are due
//   4. run deferred tasks (loop_defer)
//   5. flush: send what streams queued during this turn
//   6. free: `closed` callbacks of streams closed during this turn; their memory may go now
//
// Lifetime: objects are embedded in their owner's struct. After x_close(x) no callback but `closed`
// comes, and the memory must stay until `closed` came (step 6 of the same or a later turn).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct clock;
struct loop;

struct loop_options {
    uint32_t buffer_size;   // bytes of one buffer; 0: 16,384
    uint32_t buffers_spare; // free buffers kept for reuse; 0: 64
    struct clock *clock;    // borrowed; NULL: clock_system. A fake one moves timers in tests
};

// options may be NULL. Makes the process ignore SIGPIPE (children get the default back).
int loop_new(const struct loop_options *options, struct loop **ret_loop);
// Every object on it must be closed already. Accepts NULL, returns NULL.
struct loop *loop_free(struct loop *loop);
// Turns until loop_stop. Returns 0, or a negative errno when the engine itself failed.
int loop_run(struct loop *loop);
// One turn, waiting at most wait_ms (0: not at all, -1: until something happens). For tests.
int loop_turn(struct loop *loop, int wait_ms);
// From a callback on this loop.
void loop_stop(struct loop *loop);
// Monotonic; read once a turn.
uint64_t loop_now_ms(const struct loop *loop);

// A task that runs once, later in this turn or at the start of the next. Embedded; may be deferred
// again from its own callback. Deferring a deferred task does nothing.
struct task {
    struct list link;
    void (*run)(struct task *task);
};
void task_init(struct task *task, void (*run)(struct task *));
void loop_defer(struct loop *loop, struct task *task);
void task_cancel(struct task *task);

// Any other descriptor (an eventfd, a library's socket, a pidfd). events: WATCH_READ | WATCH_WRITE.
// Level-triggered. The descriptor stays the caller's. watch_close may be called at any time, also
// from the callback; the struct may be reused or freed at once afterwards. A watch that was zeroed
// and never opened may be closed.
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch {
    struct loop *loop;
    int fd;
    void (*ready)(struct watch *watch, unsigned events);
    void *engine; // the engine's own
};
int watch_open(struct watch *watch, struct loop *loop, int fd, unsigned events,
               void (*ready)(struct watch *, unsigned));
int watch_change(struct watch *watch, unsigned events);
void watch_close(struct watch *watch);
