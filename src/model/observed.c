// SPDX-License-Identifier: Apache-2.0
#include "model/observed.h"

#include "model/schema_private.h"

const char *const runtime_names[] = {"oci", "process", NULL};
const char *const network_state_names[] = {"ready", "failed", NULL};
const char *const observed_unit_state_names[] = {"starting", "serving", "draining",
                                                 "stopped",  "failed",  NULL};

static const struct field observed_network_fields[] = {
    {"project_id", FIELD_INTEGER, FIELD_AT(struct observed_network, project_id), .min = 1,
     .flags = FIELD_REQUIRED},
    {"state", FIELD_ENUM, FIELD_AT(struct observed_network, state), .names = network_state_names,
     .flags = FIELD_REQUIRED},
    {"error", FIELD_STRING, FIELD_AT(struct observed_network, error)},
};

const struct schema observed_network_schema = {
    "observed_network",
    "How one project's network is on a node",
    sizeof(struct observed_network),
    SCHEMA_FIELDS(observed_network_fields),
};

static const struct field observed_unit_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct observed_unit, id), .min = 1, .flags = FIELD_REQUIRED},
    {"state", FIELD_ENUM, FIELD_AT(struct observed_unit, state), .names = observed_unit_state_names,
     .flags = FIELD_REQUIRED},
    {"error", FIELD_STRING, FIELD_AT(struct observed_unit, error)},
    {"pid", FIELD_INTEGER, FIELD_AT(struct observed_unit, pid)},
    {"starts", FIELD_INTEGER, FIELD_AT(struct observed_unit, starts)},
    {"snapshot_version", FIELD_INTEGER, FIELD_AT(struct observed_unit, snapshot_version)},
    {"snapshot_error", FIELD_STRING, FIELD_AT(struct observed_unit, snapshot_error)},
    {"connections", FIELD_INTEGER, FIELD_AT(struct observed_unit, connections)},
    {"requests", FIELD_INTEGER, FIELD_AT(struct observed_unit, requests)},
    {"targets", FIELD_ARRAY, FIELD_ITEMS(struct observed_unit, targets, target_count),
     .item = FIELD_OBJECT, .schema = &target_report_schema},
};

const struct schema observed_unit_schema = {
    "observed_unit",
    "How one unit is",
    sizeof(struct observed_unit),
    SCHEMA_FIELDS(observed_unit_fields),
};

static const struct field observed_fields[] = {
    {"node", FIELD_STRING, FIELD_AT(struct observed, node), .min = 1, .max = 63,
     .flags = FIELD_REQUIRED},
    {"generation", FIELD_INTEGER, FIELD_AT(struct observed, generation)},
    {"agent_started_at", FIELD_TIME, FIELD_AT(struct observed, agent_started_at)},
    {"sequence", FIELD_INTEGER, FIELD_AT(struct observed, sequence)},
    {"runtime", FIELD_ENUM, FIELD_AT(struct observed, runtime), .names = runtime_names},
    {"routes", FIELD_ARRAY, FIELD_ITEMS(struct observed, routes, route_count),
     .item = FIELD_PREFIX},
    {"networks", FIELD_ARRAY, FIELD_ITEMS(struct observed, networks, network_count),
     .item = FIELD_OBJECT, .schema = &observed_network_schema},
    {"units", FIELD_ARRAY, FIELD_ITEMS(struct observed, units, unit_count), .item = FIELD_OBJECT,
     .schema = &observed_unit_schema},
};

const struct schema observed_schema = {
    "observed",
    "What an agent last saw on its node",
    sizeof(struct observed),
    SCHEMA_FIELDS(observed_fields),
};

int observed_parse(struct str text, struct arena *arena, struct observed **ret_observed,
                   struct error *error)
{
    struct observed *observed = arena_new(arena, struct observed);
    if (observed == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = schema_parse_text(&observed_schema, text, arena, observed, error);
    if (r == 0) {
        *ret_observed = observed;
    }
    return r;
}

char *observed_print(const struct observed *observed)
{
    return schema_print_text(&observed_schema, observed);
}
