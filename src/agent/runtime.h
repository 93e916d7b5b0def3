// SPDX-License-Identifier: Apache-2.0
// A runtime starts and stops units and finds those that run. Two of them: `oci` (containers by
// runc's command line) and `process` (plain processes on loopback addresses, no root needed).
//
// start and stop return at once and call op->done later from the loop. Many may be under way, one a
// unit. A unit outlives the agent: it is never a child that ends with it.
//
// Directories (run_dir is the node's, <run-dir>/<node>):
//   units/<id>/    control.sock (the unit's), snapshot.json, pid, log; the unit sees it as
//   /run/weir bundles/<id>/  config.json (oci) rootfs/        the empty root file system that all
//   containers share (oci) runc/          runc's own state (oci)
#pragma once

#include "agent/names.h"
#include "event/loop.h"
#include "model/desired.h"

struct runtime_config {
    struct loop *loop;
    const char *instance;
    const char *run_dir;
    const char *proxy;   // absolute path of weir-proxy
    const char *command; // "runc"
};

struct runtime_op {
    uint64_t unit_id;
    struct desired_limits limits; // for start
    bool left;                    // for start: a container of that name may be there
    pid_t pid;                    // for stop: 0 when not running; set by start
    uint64_t start_time;          // of pid, likewise
    struct error error;           // code 0: it worked
    void (*done)(struct runtime_op *op);
    void *private;
};

struct runtime_found {
    uint64_t unit_id;
    pid_t pid; // 0: its container is there, its process has ended
    uint64_t start_time;
};

struct unit_runtime;
struct runtime_ops {
    const char *name;
    // Checks what it needs and makes its directories. Blocks; only at start.
    int (*open)(const struct runtime_config *config, struct unit_runtime **ret_runtime,
                struct error *error);
    // No op may be under way.
    struct unit_runtime *(*close)(struct unit_runtime *runtime);
    // Every unit of this instance. Blocks; only at start.
    int (*find)(struct unit_runtime *runtime, struct arena *arena, struct runtime_found **ret_found,
                size_t *ret_count, struct error *error);
    // The unit's directory and snapshot.json are there (unit_files.h).
    void (*start)(struct unit_runtime *runtime, struct runtime_op *op);
    // Ends at once (SIGKILL) and takes away what is left of it. Done only when it is gone.
    void (*stop)(struct unit_runtime *runtime, struct runtime_op *op);
    // True when the kernel ended a process of the unit because it reached its memory limit. Asked
    // when the unit has ended and before it is stopped or started again. May be NULL.
    bool (*out_of_memory)(struct unit_runtime *runtime, uint64_t unit_id);
    // After the last unit is gone for good: takes away what all shared. May be NULL.
    void (*clean)(struct unit_runtime *runtime);
    // Forgets all ops under way; no `done` follows. What they started goes on.
    void (*abandon)(struct unit_runtime *runtime);
};

extern const struct runtime_ops runtime_oci, runtime_process;
