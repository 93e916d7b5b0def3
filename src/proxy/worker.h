// SPDX-License-Identifier: Apache-2.0
// A worker: one thread with its own loop, its own socket for every listener (SO_REUSEPORT), its own
// connections, pools and counters. Nothing on the path of a request is shared or locked; what comes
// from other threads comes as letters (a new snapshot, drain, stop), but for the verdicts, which
// are read where they stand: target_state.verdict, behind one epoch for all of them.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/pool.h"
#include "event/acceptor.h"
#include "event/mailbox.h"
#include "proxy/compiled.h"
#include "proxy/counters.h"

struct view;
struct worker;

// A port this worker listens on, or has listened on while clients of it are left.
struct worker_listener {
    struct acceptor acceptor;
    struct worker *worker;
    struct list link;
    const struct compiled_listener *compiled; // of the worker's view; NULL once it was removed
    struct addr at;
    bool open;
    bool is_status;
    uint32_t clients;
    uint64_t pauses_seen; // of acceptor.out_of_descriptors
};

struct worker {
    unsigned index, worker_count;
    struct loop *loop;
    struct mailbox mailbox;
    struct mailbox *health;           // of the health thread
    const atomic_uint *verdict_epoch; // raised after every change of a verdict
    struct counters counters;
    atomic_uint connections; // of clients now, those of the status listener left out

    // The thread's own from here on.
    struct view *view; // NULL before the first snapshot
    struct list listeners;
    struct list clients;
    struct pool client_pool, request_pool, head_pool, room_pool, backend_pool;
    struct random_state random;
    bool draining, stopping;
    // Connections this worker takes. Each may need one to a target, so together they are half of
    // the descriptors at most: a crowd of idle clients must not leave none for the others.
    uint32_t connections_max;
    uint64_t date_due_ms;
    uint32_t date_len;
    char date[48];

    pthread_t thread;
    sem_t started; // its first system calls are behind it: the sandbox may close
    void (*idle)(struct worker *worker); // draining, and the last connection has gone
    void *owner;
};

// Makes all but the thread. health and verdict_epoch outlive it; idle and owner are the caller's.
int worker_init(struct worker *worker, unsigned index, unsigned worker_count,
                struct mailbox *health, const atomic_uint *verdict_epoch, uint64_t seed);
int worker_start(struct worker *worker);
// Ends the thread; its connections stay for worker_free.
void worker_stop(struct worker *worker);
// Drops its connections and frees what it had.
void worker_free(struct worker *worker);

// A new snapshot for one worker. The sender keeps the letter until `taken` was called (on the
// worker's thread), which is when the worker serves it.
struct worker_snapshot {
    struct letter letter;
    struct worker *worker;
    struct compiled *compiled; // a reference, taken by the worker
    int result;                // negative: the worker serves what it had
    void (*taken)(struct worker_snapshot *change);
    int fds[]; // one a listener of compiled: a socket for a new one, -1 for one that is open
               // already
};
void worker_send_snapshot(struct worker *worker, struct worker_snapshot *change);

// Stops accepting, ends idle connections and the others after their answer. `idle` is called on the
// worker's thread once none is left. May be sent again.
struct worker_drain {
    struct letter letter;
    struct worker *worker;
};
void worker_send_drain(struct worker *worker, struct worker_drain *letter);

// "Date: …\r\n" of now.
struct str worker_date(struct worker *worker);
// For a client that is gone.
void worker_forget_client(struct worker *worker, struct worker_listener *listener);
