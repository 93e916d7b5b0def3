// SPDX-License-Identifier: Apache-2.0
// The agent of a node: makes what its desired document says, keeps it so, and reports what it sees.
//
// One thread with a loop does everything but what blocks: three workers do that (make: networks
// that are waited for; remove: networks that may end slowly; disk: the document). The walk of a
// change:
//
//   controller_link ─ agent_take_document ─▶ plan (pure) ─▶ agent_apply ─▶ worker / runtime
//        ▲                                     ▲                              │ done
//        └──── agent_report ◀── what is now ───┴──────────────────────────────┘
//
// Nothing ends with the agent: containers, processes, networks go on, and the next agent of the
// same node and instance finds them by name and takes them over as they are.
#pragma once

#include "base/err.h"
#include "model/observed.h"

struct agent_config {
    const char *node;
    const char *instance; // "": the ordinary one
    enum runtime runtime;
    const char *run_dir;    // the node's: <run-dir>/<node>
    const char *state_dir;  // likewise
    const char *proxy;      // absolute path of weir-proxy
    const char *command;    // the OCI runtime's: "runc"
    const char *controller; // "/path/of/socket" or "http://host:port"; NULL: none
    const char *desired;    // a file instead of a controller; NULL: none
    bool remove_all;        // remove everything of this instance, then end
};

// Runs until SIGTERM or SIGINT (0), until everything is removed (remove_all; 0), or returns a
// negative errno with words when it cannot start or cannot remove everything.
int agent_run(const struct agent_config *config, struct error *error);
