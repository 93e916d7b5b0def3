// SPDX-License-Identifier: Apache-2.0
// Runs a command whose children may outlive it: its output goes to a file rather than to a pipe
// that would break when the agent ends (runc hands its own stdout on to the container). Ends with
// its exit status on the loop.
#pragma once

#include "event/child.h"
#include "event/timer.h"

struct spawn {
    struct process_watch process;
    struct timer timeout;
    struct loop *loop;
    pid_t pid;
    // status: as waitpid gives it.
    void (*done)(struct spawn *spawn, int status);
};

// output_fd: for stdout and stderr; -1: /dev/null. The command is killed after timeout_ms.
int spawn_start(struct spawn *spawn, struct loop *loop, const char *const argv[], int output_fd,
                uint64_t timeout_ms, void (*done)(struct spawn *, int status));
// Forgets it, without ending it; no callback follows.
void spawn_abandon(struct spawn *spawn);
