// SPDX-License-Identifier: Apache-2.0
// Observed: what an agent last saw on its node; it reports it whole, every second or at once on a
// change (docs/DOCUMENTS.md §5).
#pragma once

#include "model/target_group.h"

enum runtime { RUNTIME_OCI, RUNTIME_PROCESS };
extern const char *const runtime_names[];

enum network_state { NETWORK_READY, NETWORK_FAILED };
extern const char *const network_state_names[];

enum observed_unit_state {
    OBSERVED_UNIT_STARTING,
    OBSERVED_UNIT_SERVING,
    OBSERVED_UNIT_DRAINING,
    OBSERVED_UNIT_STOPPED,
    OBSERVED_UNIT_FAILED,
};
extern const char *const observed_unit_state_names[];

struct observed_network {
    uint64_t project_id;
    enum network_state state;
    const char *error;
};

struct observed_unit {
    uint64_t id;
    enum observed_unit_state state;
    const char *error;
    uint32_t pid;    // 0: not running
    uint32_t starts; // times it was started
    uint64_t snapshot_version;
    const char *snapshot_error; // why the newest snapshot was refused; ""
    uint64_t connections, requests;
    struct target_report *targets;
    size_t target_count;
};

struct observed {
    const char *node;
    uint64_t generation;       // the desired generation last applied in full; 0: none yet
    uint64_t agent_started_at; // wall clock, ms
    uint64_t sequence;
    enum runtime runtime;
    struct prefix *routes; // the machine's own, Weir's left out
    size_t route_count;
    struct observed_network *networks;
    size_t network_count;
    struct observed_unit *units;
    size_t unit_count;
};

extern const struct schema observed_schema;
extern const struct schema observed_network_schema;
extern const struct schema observed_unit_schema;

int observed_parse(struct str text, struct arena *arena, struct observed **ret_observed,
                   struct error *error);
// One line of JSON that the caller frees; NULL when memory is out.
char *observed_print(const struct observed *observed);
