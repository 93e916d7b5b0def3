// SPDX-License-Identifier: Apache-2.0
// A node: a Linux machine that runs units. It appears with its agent's first report.
#pragma once

#include "model/observed.h"

enum node_state { NODE_READY, NODE_LOST };
extern const char *const node_state_names[];

struct node {
    uint64_t id;
    const char *name;
    enum node_state state;
    enum runtime runtime;
    uint64_t last_report_at; // wall clock, ms
    uint32_t units;
};

extern const struct schema node_schema;
