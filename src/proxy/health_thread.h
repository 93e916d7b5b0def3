// SPDX-License-Identifier: Apache-2.0
// The thread that checks targets and judges them. It follows the snapshots, keeps one checker for
// each target of a group that a listener uses and whose health check is enabled, and writes each
// verdict where the workers read it. A target whose check is not enabled counts as healthy.
// A connection that a request could not make is a bad result, and brings the next check forward.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "event/mailbox.h"
#include "proxy/compiled.h"

struct health_thread {
    struct loop *loop;
    struct mailbox mailbox;    // letters of workers (target_state.letter), and snapshots
    atomic_uint verdict_epoch; // raised after every change of a verdict
    // Called on this thread after verdicts changed.
    void (*changed)(struct health_thread *health);
    void *owner;

    // The thread's own.
    struct compiled *compiled;
    struct list entries;
    struct random_state random;
    uint64_t round; // of taking a snapshot: entries not seen in the last one go
    pthread_t thread;
    sem_t started; // its first system calls are behind it: the sandbox may close
};

int health_thread_start(struct health_thread *health, uint64_t seed);
void health_thread_stop(struct health_thread *health);

struct health_snapshot {
    struct letter letter;
    struct health_thread *health;
    struct compiled *compiled; // a reference, taken
};
// The letter is malloc'ed by the sender and freed here.
void health_thread_send_snapshot(struct health_thread *health, struct health_snapshot *letter);
// What target_state.letter is delivered to.
void health_thread_deliver_failures(struct letter *letter);
