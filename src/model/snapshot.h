// SPDX-License-Identifier: Apache-2.0
// A snapshot: the whole configuration of one unit, immutable and versioned (docs/DOCUMENTS.md §6).
// The controller makes it, the agent carries it as text, the unit parses, validates and serves it.
// Host names are resolved already: addresses only. Everything lives in the caller's arena.
#pragma once

#include "model/target_group.h"

struct snapshot_target {
    struct addr address; // with port
    uint32_t weight;     // 0: gets nothing new
    bool draining;
};

struct snapshot_target_group {
    uint64_t id;
    const char *name;
    enum protocol protocol;
    enum algorithm algorithm;
    struct health_check health_check;
    struct snapshot_target *targets;
    size_t target_count;
};

struct snapshot {
    uint64_t version;
    uint64_t unit_id, load_balancer_id;
    const char *load_balancer, *project; // names
    struct addr address;                 // port 0; where the listeners listen
    uint16_t status_port;
    struct listener *listeners;
    size_t listener_count;
    struct snapshot_target_group *target_groups;
    size_t target_group_count;
};

extern const struct schema snapshot_target_schema;
extern const struct schema snapshot_target_group_schema;
extern const struct schema snapshot_schema;

// Parses and validates; the arena holds what was parsed. -EINVAL with the reason and field.
int snapshot_parse(struct str text, struct arena *arena, struct snapshot **ret_snapshot,
                   struct error *error);
int snapshot_parse_json(const json_t *json, struct arena *arena, struct snapshot **ret_snapshot,
                        struct error *error);
// One line of JSON that the caller frees; NULL when memory is out.
char *snapshot_print(const struct snapshot *snapshot);

// What the tables cannot say: ports unique and not the status port, every listener's target group
// present, ids unique, a health check that makes sense, one protocol for listener and group.
int snapshot_validate(const struct snapshot *snapshot, struct error *error);

// NULL when there is none.
const struct snapshot_target_group *snapshot_find_target_group(const struct snapshot *snapshot,
                                                               uint64_t id);
