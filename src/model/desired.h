// SPDX-License-Identifier: Apache-2.0
// Desired: what one node shall run; the controller sends it whole (docs/DOCUMENTS.md §4). The agent
// keeps it on disk and rebuilds everything from it.
#pragma once

#include "base/addr.h"
#include "model/schema.h"

struct desired_front {
    struct prefix subnet;
    struct addr gateway; // port 0
};

struct desired_network {
    uint64_t project_id;
    const char *name; // the project's
    struct prefix subnet;
    struct addr gateway;
};

struct desired_limits {
    uint64_t memory_bytes; // 0: no limit, likewise below
    uint32_t pids;
    uint32_t cpu_millis; // thousandths of a core
};

struct desired_unit {
    uint64_t id, project_id, load_balancer_id;
    struct addr front, back; // port 0
    struct desired_limits limits;
    bool draining;
    const char *snapshot;      // JSON on one line, carried as it is: only the unit judges it
    uint64_t snapshot_version; // read out of it by desired_parse; not a field of its own in JSON
};

struct desired {
    const char *node;
    uint64_t generation;
    struct desired_front front;
    struct desired_network *networks;
    size_t network_count;
    struct desired_unit *units;
    size_t unit_count;
};

extern const struct schema desired_schema;
extern const struct schema desired_front_schema;
extern const struct schema desired_network_schema;
extern const struct schema desired_limits_schema;
extern const struct schema desired_unit_schema;

// Also checks: unit and project ids unique, every unit's project among the networks and its back
// address in that subnet, front addresses in the front subnet and unique.
int desired_parse(struct str text, struct arena *arena, struct desired **ret_desired,
                  struct error *error);
// One line of JSON that the caller frees; NULL when memory is out.
char *desired_print(const struct desired *desired);
