// SPDX-License-Identifier: Apache-2.0
// A unit: its threads, the snapshot they serve, and its end. Everything here runs on the control
// thread (the process's first), on one loop with the control socket and the signals.
//
//   starting ──first snapshot served──▶ serving ──drain or SIGTERM──▶ draining ──▶ exit 0
//      └──────────────────────────────────────────────────────────────▶ idle, or the deadline
//
// A snapshot is compiled and its new ports are bound here; only when all of that has succeeded is
// it handed to the workers, and it counts as live when the last of them serves it. Otherwise
// nothing has changed and the error says why.
#pragma once

#include "event/child.h"
#include "model/unit_control.h"
#include "proxy/compiled.h"
#include "proxy/health_thread.h"
#include "proxy/worker.h"

struct control_socket;

struct proxy_options {
    const char *snapshot_path; // NULL: none
    const char *control_path;  // NULL: none
    unsigned workers;          // 0: one a CPU this process may use
    bool sandbox;              // seccomp
};

enum { WORKERS_MAX = 64, DRAIN_DEFAULT_MS = 10000 };

struct proxy {
    struct loop *loop;
    struct mailbox mailbox;
    struct signal_watch signals;
    struct health_thread health;
    struct worker *workers;
    unsigned worker_count;
    struct target_registry registry;
    struct compiled *current; // what all workers serve
    enum proxy_state state;
    struct timer drain_timer;
    struct worker_drain *drain_letters;
    struct control_socket *control;

    // A change under way: the workers have it and have not all answered.
    struct compiled *next;
    unsigned answers_due;
    bool worker_failed;

    struct letter verdict_letter, idle_letter;
    atomic_bool verdict_letter_sent, idle_letter_sent;
};

// Runs a unit until its end; returns the exit code: 0 after a drain, 1 when it could not start.
int proxy_run(const struct proxy_options *options);

// Serves the snapshot in text. 0: begun; when all workers have it (or could not take it)
// control_socket_applied is called. Negative with error filled: refused, nothing has changed.
// -EBUSY while another change is under way.
int proxy_apply(struct proxy *proxy, struct str text, struct error *error);
static inline bool proxy_is_applying(const struct proxy *proxy)
{
    return proxy->answers_due > 0;
}
void proxy_drain(struct proxy *proxy, uint64_t deadline_ms);
// Its state, verdicts and counters. What it points to is in the arena. -ENOMEM.
int proxy_describe(struct proxy *proxy, struct arena *arena,
                   struct unit_control_answer *ret_answer);
