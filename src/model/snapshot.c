// SPDX-License-Identifier: Apache-2.0
#include "model/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

#include "model/schema_private.h"

static const struct field snapshot_target_fields[] = {
    {"address", FIELD_IP, FIELD_AT(struct snapshot_target, address), .flags = FIELD_REQUIRED},
    {"port", FIELD_INTEGER, FIELD_AT(struct snapshot_target, address.port), .min = 1,
     .flags = FIELD_REQUIRED},
    {"weight", FIELD_INTEGER, FIELD_AT(struct snapshot_target, weight), .max = 1000, .number = 1},
    {"draining", FIELD_BOOL, FIELD_AT(struct snapshot_target, draining)},
};

const struct schema snapshot_target_schema = {
    "snapshot_target",
    "A target, resolved",
    sizeof(struct snapshot_target),
    SCHEMA_FIELDS(snapshot_target_fields),
};

static const struct field snapshot_target_group_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct snapshot_target_group, id), .min = 1,
     .flags = FIELD_REQUIRED},
    {"name", FIELD_STRING, FIELD_AT(struct snapshot_target_group, name)},
    {"protocol", FIELD_ENUM, FIELD_AT(struct snapshot_target_group, protocol),
     .names = protocol_names},
    {"algorithm", FIELD_ENUM, FIELD_AT(struct snapshot_target_group, algorithm),
     .names = algorithm_names},
    {"health_check", FIELD_OBJECT, FIELD_AT(struct snapshot_target_group, health_check),
     .schema = &health_check_schema},
    // Host names may resolve to several addresses: more than a target group's own limit.
    {"targets", FIELD_ARRAY, FIELD_ITEMS(struct snapshot_target_group, targets, target_count),
     .item = FIELD_OBJECT, .schema = &snapshot_target_schema, .max = 16 * TARGETS_MAX},
};

const struct schema snapshot_target_group_schema = {
    "snapshot_target_group",
    "A target group as a unit serves it",
    sizeof(struct snapshot_target_group),
    SCHEMA_FIELDS(snapshot_target_group_fields),
};

static const struct field snapshot_fields[] = {
    {"version", FIELD_INTEGER, FIELD_AT(struct snapshot, version), .min = 1,
     .flags = FIELD_REQUIRED},
    {"unit_id", FIELD_INTEGER, FIELD_AT(struct snapshot, unit_id), .min = 1,
     .flags = FIELD_REQUIRED},
    {"load_balancer_id", FIELD_INTEGER, FIELD_AT(struct snapshot, load_balancer_id)},
    {"load_balancer", FIELD_STRING, FIELD_AT(struct snapshot, load_balancer)},
    {"project", FIELD_STRING, FIELD_AT(struct snapshot, project)},
    {"address", FIELD_IP, FIELD_AT(struct snapshot, address), .flags = FIELD_REQUIRED,
     .text = "Where the listeners listen"},
    {"status_port", FIELD_INTEGER, FIELD_AT(struct snapshot, status_port), .min = 1,
     .number = UNIT_STATUS_PORT, .text = "Every worker answers GET /health there"},
    {"listeners", FIELD_ARRAY, FIELD_ITEMS(struct snapshot, listeners, listener_count),
     .item = FIELD_OBJECT, .schema = &listener_schema, .max = LISTENERS_MAX},
    {"target_groups", FIELD_ARRAY, FIELD_ITEMS(struct snapshot, target_groups, target_group_count),
     .item = FIELD_OBJECT, .schema = &snapshot_target_group_schema, .max = LISTENERS_MAX},
};

const struct schema snapshot_schema = {
    "snapshot",
    "The whole configuration of one unit",
    sizeof(struct snapshot),
    SCHEMA_FIELDS(snapshot_fields),
};

const struct snapshot_target_group *snapshot_find_target_group(const struct snapshot *snapshot,
                                                               uint64_t id)
{
    for (size_t i = 0; i < snapshot->target_group_count; i++) {
        if (snapshot->target_groups[i].id == id) {
            return &snapshot->target_groups[i];
        }
    }
    return NULL;
}

static int validate_listener(const struct snapshot *snapshot, size_t index, struct error *error)
{
    const struct listener *listener = &snapshot->listeners[index];
    char field[64];
    snprintf(field, sizeof(field), "listeners[%zu].port", index);
    if (listener->port == snapshot->status_port) {
        return error_set_field(error, -EINVAL, "port_in_use", field, "port %u is the unit's own",
                               listener->port);
    }
    for (size_t i = 0; i < index; i++) {
        if (snapshot->listeners[i].port == listener->port) {
            return error_set_field(error, -EINVAL, "port_in_use", field,
                                   "port %u has two listeners", listener->port);
        }
        if (snapshot->listeners[i].id == listener->id) {
            snprintf(field, sizeof(field), "listeners[%zu].id", index);
            return error_set_field(error, -EINVAL, "duplicate_id", field,
                                   "two listeners have the id %" PRIu64, listener->id);
        }
    }
    const struct snapshot_target_group *group =
        snapshot_find_target_group(snapshot, listener->target_group_id);
    snprintf(field, sizeof(field), "listeners[%zu].target_group_id", index);
    if (group == NULL) {
        return error_set_field(error, -EINVAL, "not_found", field,
                               "the target group %" PRIu64 " is not in the snapshot",
                               listener->target_group_id);
    }
    if (group->protocol != listener->protocol) {
        return error_set_field(error, -EINVAL, "protocol_mismatch", field,
                               "the target group %" PRIu64 " is for %s, its listener for %s",
                               group->id, protocol_names[group->protocol],
                               protocol_names[listener->protocol]);
    }
    return 0;
}

int snapshot_validate(const struct snapshot *snapshot, struct error *error)
{
    int r = 0;
    for (size_t i = 0; i < snapshot->listener_count && r == 0; i++) {
        r = validate_listener(snapshot, i, error);
    }
    for (size_t i = 0; i < snapshot->target_group_count && r == 0; i++) {
        const struct snapshot_target_group *group = &snapshot->target_groups[i];
        char field[64];
        if (snapshot_find_target_group(snapshot, group->id) != group) {
            snprintf(field, sizeof(field), "target_groups[%zu].id", i);
            return error_set_field(error, -EINVAL, "duplicate_id", field,
                                   "two target groups have the id %" PRIu64, group->id);
        }
        snprintf(field, sizeof(field), "target_groups[%zu].health_check", i);
        r = health_check_validate(&group->health_check, field, error);
    }
    return r;
}

int snapshot_parse_json(const json_t *json, struct arena *arena, struct snapshot **ret_snapshot,
                        struct error *error)
{
    struct snapshot *snapshot = arena_new(arena, struct snapshot);
    if (snapshot == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = schema_parse(&snapshot_schema, json, SCHEMA_OURS, "", arena, snapshot, error);
    if (r == 0) {
        r = snapshot_validate(snapshot, error);
    }
    if (r == 0) {
        *ret_snapshot = snapshot;
    }
    return r;
}

int snapshot_parse(struct str text, struct arena *arena, struct snapshot **ret_snapshot,
                   struct error *error)
{
    json_t *json = NULL;
    int r = schema_read_json(text, &json, error);
    if (r == 0) {
        r = snapshot_parse_json(json, arena, ret_snapshot, error);
    }
    json_decref(json);
    return r;
}

char *snapshot_print(const struct snapshot *snapshot)
{
    return schema_print_text(&snapshot_schema, snapshot);
}
