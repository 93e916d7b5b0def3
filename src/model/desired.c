// SPDX-License-Identifier: Apache-2.0
#include "model/desired.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/schema_private.h"

static const struct field desired_front_fields[] = {
    {"subnet", FIELD_PREFIX, FIELD_AT(struct desired_front, subnet), .flags = FIELD_REQUIRED},
    {"gateway", FIELD_IP, FIELD_AT(struct desired_front, gateway), .flags = FIELD_REQUIRED},
};

const struct schema desired_front_schema = {
    "desired_front",
    "The administrator network",
    sizeof(struct desired_front),
    SCHEMA_FIELDS(desired_front_fields),
};

static const struct field desired_network_fields[] = {
    {"project_id", FIELD_INTEGER, FIELD_AT(struct desired_network, project_id), .min = 1,
     .flags = FIELD_REQUIRED},
    {"name", FIELD_STRING, FIELD_AT(struct desired_network, name)},
    {"subnet", FIELD_PREFIX, FIELD_AT(struct desired_network, subnet), .flags = FIELD_REQUIRED},
    {"gateway", FIELD_IP, FIELD_AT(struct desired_network, gateway), .flags = FIELD_REQUIRED},
};

const struct schema desired_network_schema = {
    "desired_network",
    "The network of one project",
    sizeof(struct desired_network),
    SCHEMA_FIELDS(desired_network_fields),
};

static const struct field desired_limits_fields[] = {
    {"memory_bytes", FIELD_INTEGER, FIELD_AT(struct desired_limits, memory_bytes)},
    {"pids", FIELD_INTEGER, FIELD_AT(struct desired_limits, pids)},
    {"cpu_millis", FIELD_INTEGER, FIELD_AT(struct desired_limits, cpu_millis)},
};

const struct schema desired_limits_schema = {
    "desired_limits",
    "What one unit may use; 0: no limit",
    sizeof(struct desired_limits),
    SCHEMA_FIELDS(desired_limits_fields),
};

static const struct field desired_unit_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct desired_unit, id), .min = 1, .flags = FIELD_REQUIRED},
    {"project_id", FIELD_INTEGER, FIELD_AT(struct desired_unit, project_id), .min = 1,
     .flags = FIELD_REQUIRED},
    {"load_balancer_id", FIELD_INTEGER, FIELD_AT(struct desired_unit, load_balancer_id)},
    {"front", FIELD_IP, FIELD_AT(struct desired_unit, front), .flags = FIELD_REQUIRED},
    {"back", FIELD_IP, FIELD_AT(struct desired_unit, back), .flags = FIELD_REQUIRED},
    {"limits", FIELD_OBJECT, FIELD_AT(struct desired_unit, limits),
     .schema = &desired_limits_schema},
    {"draining", FIELD_BOOL, FIELD_AT(struct desired_unit, draining)},
    {"snapshot", FIELD_JSON, FIELD_AT(struct desired_unit, snapshot), .flags = FIELD_REQUIRED},
};

const struct schema desired_unit_schema = {
    "desired_unit",
    "One unit that the node shall run",
    sizeof(struct desired_unit),
    SCHEMA_FIELDS(desired_unit_fields),
};

static const struct field desired_fields[] = {
    {"node", FIELD_STRING, FIELD_AT(struct desired, node), .min = 1, .flags = FIELD_REQUIRED},
    {"generation", FIELD_INTEGER, FIELD_AT(struct desired, generation), .flags = FIELD_REQUIRED},
    {"front", FIELD_OBJECT, FIELD_AT(struct desired, front), .schema = &desired_front_schema,
     .flags = FIELD_REQUIRED},
    {"networks", FIELD_ARRAY, FIELD_ITEMS(struct desired, networks, network_count),
     .item = FIELD_OBJECT, .schema = &desired_network_schema, .flags = FIELD_REQUIRED},
    {"units", FIELD_ARRAY, FIELD_ITEMS(struct desired, units, unit_count), .item = FIELD_OBJECT,
     .schema = &desired_unit_schema, .flags = FIELD_REQUIRED},
};

const struct schema desired_schema = {
    "desired",
    "What one node shall run",
    sizeof(struct desired),
    SCHEMA_FIELDS(desired_fields),
};

static int compare_networks(const void *a, const void *b)
{
    uint64_t x = ((const struct desired_network *)a)->project_id;
    uint64_t y = ((const struct desired_network *)b)->project_id;
    return (x > y) - (x < y);
}

static int compare_units(const void *a, const void *b)
{
    uint64_t x = (*(const struct desired_unit *const *)a)->id;
    uint64_t y = (*(const struct desired_unit *const *)b)->id;
    return (x > y) - (x < y);
}

static int compare_fronts(const void *a, const void *b)
{
    const struct desired_unit *x = *(const struct desired_unit *const *)a;
    const struct desired_unit *y = *(const struct desired_unit *const *)b;
    return memcmp(x->front.ip, y->front.ip, sizeof(x->front.ip));
}

static int refuse_twins(const struct desired *desired, const struct desired_unit **sorted,
                        int (*compare)(const void *, const void *), const char *what,
                        struct error *error)
{
    qsort(sorted, desired->unit_count, sizeof(*sorted), compare);
    for (size_t i = 1; i < desired->unit_count; i++) {
        if (compare(&sorted[i - 1], &sorted[i]) == 0) {
            return error_set_field(error, -EINVAL, "duplicate", "units",
                                   "the units %" PRIu64 " and %" PRIu64 " have the same %s",
                                   sorted[i - 1]->id, sorted[i]->id, what);
        }
    }
    return 0;
}

static int validate_unit(const struct desired *desired, size_t index, struct error *error)
{
    const struct desired_unit *unit = &desired->units[index];
    char field[64];
    struct desired_network key = {.project_id = unit->project_id};
    const struct desired_network *network =
        bsearch(&key, desired->networks, desired->network_count, sizeof(key), compare_networks);
    snprintf(field, sizeof(field), "units[%zu]", index);
    if (network == NULL) {
        return error_set_field(error, -EINVAL, "not_found", field,
                               "the unit %" PRIu64 "'s project %" PRIu64 " has no network",
                               unit->id, unit->project_id);
    }
    if (unit->back.family != 0 && !prefix_contains(&network->subnet, &unit->back)) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "the unit %" PRIu64 "'s back address is not in its project's subnet",
                               unit->id);
    }
    if (!prefix_contains(&desired->front.subnet, &unit->front)) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "the unit %" PRIu64 "'s front address is not in the front subnet",
                               unit->id);
    }
    return 0;
}

static int desired_validate(struct desired *desired, struct arena *arena, struct error *error)
{
    int r = 0;
    if (desired->network_count > 1) {
        qsort(desired->networks, desired->network_count, sizeof(*desired->networks),
              compare_networks);
    }
    for (size_t i = 1; i < desired->network_count; i++) {
        if (desired->networks[i].project_id == desired->networks[i - 1].project_id) {
            return error_set_field(error, -EINVAL, "duplicate", "networks",
                                   "the project %" PRIu64 " has two networks",
                                   desired->networks[i].project_id);
        }
    }
    for (size_t i = 0; i < desired->unit_count && r == 0; i++) {
        r = validate_unit(desired, i, error);
    }
    if (r < 0 || desired->unit_count < 2) {
        return r;
    }
    const struct desired_unit **sorted =
        arena_array(arena, const struct desired_unit *, desired->unit_count);
    if (sorted == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < desired->unit_count; i++) {
        sorted[i] = &desired->units[i];
    }
    r = refuse_twins(desired, sorted, compare_units, "id", error);
    return r < 0 ? r : refuse_twins(desired, sorted, compare_fronts, "front address", error);
}

static void note_snapshot_versions(struct desired *desired, const json_t *json)
{
    const json_t *units = json_object_get(json, "units");
    for (size_t i = 0; i < desired->unit_count; i++) {
        const json_t *snapshot = json_object_get(json_array_get(units, i), "snapshot");
        json_int_t version = json_integer_value(json_object_get(snapshot, "version"));
        desired->units[i].snapshot_version = version > 0 ? (uint64_t)version : 0;
    }
}

int desired_parse(struct str text, struct arena *arena, struct desired **ret_desired,
                  struct error *error)
{
    struct desired *desired = arena_new(arena, struct desired);
    if (desired == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    json_t *json = NULL;
    int r = schema_read_json(text, &json, error);
    if (r == 0) {
        r = schema_parse(&desired_schema, json, SCHEMA_OURS, "", arena, desired, error);
    }
    if (r == 0) {
        note_snapshot_versions(desired, json);
        r = desired_validate(desired, arena, error);
    }
    if (r == 0) {
        *ret_desired = desired;
    }
    json_decref(json);
    return r;
}

char *desired_print(const struct desired *desired)
{
    return schema_print_text(&desired_schema, desired);
}
