// SPDX-License-Identifier: Apache-2.0
// A thread that does what blocks (the kernel's network configuration, files that must reach the
// disk), one job after the other in the order they came, so that the agent's loop never waits.
// Several workers keep what is slow (ending a namespace) out of the way of what is urgent.
#pragma once

#include <pthread.h>

#include "event/mailbox.h"

// Embedded in the caller's struct, which must stay until `done`.
struct job {
    struct letter letter;
    struct list link;
    void (*work)(struct job *job); // on the worker's thread
    void (*done)(struct job *job); // on the loop's thread
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list jobs;
    struct mailbox *home;
    bool closing, running;
};

// home: of the loop that jobs come back to; it must live longer than the worker.
int worker_open(struct worker *worker, const char *name, struct mailbox *home);
void worker_submit(struct worker *worker, struct job *job, void (*work)(struct job *),
                   void (*done)(struct job *));
// Ends after the jobs that were submitted; their `done` still come by the mailbox.
void worker_close(struct worker *worker);
