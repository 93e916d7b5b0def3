// SPDX-License-Identifier: Apache-2.0
// Child processes, foreign processes and signals, by pidfd and signalfd. No shell anywhere:
// argument vectors only.
#pragma once

#include <sys/types.h>

#include "base/str.h"
#include "event/loop.h"

// Runs a command to its end and keeps what it printed (stdout and stderr, up to 64 KiB each).
struct child {
    struct watch exit_watch, out_watch, err_watch, in_watch;
    struct loop *loop;
    pid_t pid;
    int pidfd;
    char *out, *err; // ended by NUL; the child's own, gone after done
    size_t out_len, err_len;
    char *in; // what is left to write to its stdin; owned
    size_t in_len, in_at;
    // status: as waitpid gives it. The struct may be freed inside.
    void (*done)(struct child *child, int status);
    void *owner;
};
// The process's end is what counts: one that it left behind may hold its pipes open. It runs in a
// process group of its own, with all signals at their defaults.
// argv ends with NULL; argv[0] is searched in PATH. input (copied) is fed to stdin, which is
// /dev/null when it is empty. -ENOENT etc. when it cannot start.
int child_start(struct child *child, struct loop *loop, const char *const argv[], struct str input,
                void (*done)(struct child *, int status));
// Sends SIGKILL to its group and forgets it: no callback follows. Does nothing when it has ended or
// was zeroed and never started.
void child_cancel(struct child *child);

// Starts a program that must outlive this one: own session, not our child, stdin /dev/null, stdout
// and stderr appended to log_path. Returns its pid by *ret_pid once exec succeeded.
int daemon_start(const char *const argv[], const char *log_path, pid_t *ret_pid);

// Watches a process that need not be our child, e.g. a container's first process.
struct process_watch {
    struct watch watch;
    pid_t pid;
    // The last callback; the struct may be freed or opened again inside.
    void (*exited)(struct process_watch *process);
    void *owner;
};
// start_time: as process_start_time gave when the pid was noted; guards against a reused pid.
// -ESRCH when it is gone already.
int process_watch_open(struct process_watch *process, struct loop *loop, pid_t pid,
                       uint64_t start_time, void (*exited)(struct process_watch *));
int process_watch_kill(struct process_watch *process, int signal);
void process_watch_close(struct process_watch *process);
// Clock ticks since boot, field 22 of /proc/PID/stat. -ESRCH.
int process_start_time(pid_t pid, uint64_t *ret_start_time);

// Blocks the signals in the set and delivers them on the loop. Open it before the program starts
// threads: they inherit the mask. They stay blocked after the close.
struct signal_watch {
    struct watch watch;
    void (*received)(struct signal_watch *signals, int signal);
    void *owner;
};
int signal_watch_open(struct signal_watch *signals, struct loop *loop, const int *numbers,
                      size_t count, void (*received)(struct signal_watch *, int));
void signal_watch_close(struct signal_watch *signals);
