// SPDX-License-Identifier: Apache-2.0
// Parts of objects as resources of their own: listeners of a load balancer, targets and the health
// check of a target group. A change of a part is a merge patch of the whole, guarded by the
// generation it was made from, so it goes through the same checks.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/call.h"

// The array with one item replaced, or added at its end; taken and given back. NULL, with the array
// released, when memory is out.
static json_t *with_item(json_t *array, size_t index, json_t *item)
{
    int r = array == NULL || item == NULL    ? -1
            : index < json_array_size(array) ? json_array_set(array, index, item)
                                             : json_array_append(array, item);
    if (r < 0) {
        json_decref(array);
        return NULL;
    }
    return array;
}

// ── Listeners ────────────────────────────────────────────────────────────────────────────────

static int find_balancer(struct call *call, struct project **ret_project,
                         struct load_balancer **ret_balancer)
{
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_project(call, ret_project);
    return r < 0 ? r
                 : service_load_balancer_find(call->api->service, *ret_project, ref, &call->arena,
                                              ret_balancer, &call->error);
}

static int find_listener(struct call *call, const struct load_balancer *balancer, size_t *ret_index)
{
    uint64_t id = 0;
    const char *ref = call_value(call, 2);
    if (ref == NULL) {
        return call->error.code;
    }
    bool is_number = str_to_u64(str_of(ref), INT64_MAX, &id) == 0;
    for (size_t i = 0; i < balancer->listener_count; i++) {
        if (is_number && balancer->listeners[i].id == id) {
            *ret_index = i;
            return 0;
        }
    }
    return error_set_field(&call->error, -ENOENT, "not_found", NULL,
                           "the load balancer \"%s\" has no listener \"%.40s\"", balancer->name,
                           ref);
}

// The errors name the listener's own fields: "listeners[2].port" → "port".
static void own_field(struct error *error, const char *part)
{
    size_t len = strlen(part);
    char *dot;
    if (strncmp(error->field, part, len) == 0 && (dot = strchr(error->field, ']')) != NULL) {
        memmove(error->field, dot[1] == '.' ? dot + 2 : dot + 1,
                strlen(dot[1] == '.' ? dot + 2 : dot + 1) + 1);
    }
}

static int put_listeners(struct call *call, const struct project *project,
                         const struct load_balancer *balancer, json_t *listeners,
                         struct load_balancer **ret_balancer)
{
    char ref[24];
    uint64_t if_match;
    json_t *patch = listeners != NULL ? json_pack("{s:o}", "listeners", listeners) : NULL;
    int r = patch == NULL ? error_set(&call->error, -ENOMEM, "out of memory")
                          : call_if_match(call, &if_match);
    snprintf(ref, sizeof(ref), "%" PRIu64, balancer->id);
    if (r == 0) {
        r = service_load_balancer_update(call->api->service, project, ref, patch,
                                         if_match != 0 ? if_match : balancer->generation,
                                         &call->arena, ret_balancer, &call->error);
    }
    json_decref(patch);
    own_field(&call->error, "listeners[");
    return r;
}

static json_t *print_listeners(const struct load_balancer *balancer)
{
    json_t *json = schema_print(&load_balancer_schema, balancer);
    json_t *listeners = json_incref(json_object_get(json, "listeners"));
    json_decref(json);
    return listeners;
}

int serve_listeners(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    int r = find_balancer(call, &project, &balancer);
    return r < 0 ? r
                 : answer_items(call, &listener_schema, balancer->listeners,
                                balancer->listener_count);
}

int serve_listener(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    size_t index;
    int r = find_balancer(call, &project, &balancer);
    if (r == 0) {
        r = find_listener(call, balancer, &index);
    }
    return r < 0 ? r
                 : answer_object(call, 200, &listener_schema, &balancer->listeners[index],
                                 balancer->generation);
}

int serve_listener_new(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer, *after;
    int r = call_need_body(call);
    if (r == 0) {
        r = find_balancer(call, &project, &balancer);
    }
    if (r == 0 && json_object_get(call->body, "id") != NULL) {
        r = error_set_field(&call->error, -EINVAL, "read_only_field", "id",
                            "a new listener gets its id from Weir; leave it out");
    }
    if (r == 0) {
        json_t *listeners = with_item(print_listeners(balancer), SIZE_MAX, call->body);
        r = put_listeners(call, project, balancer, listeners, &after);
    }
    if (r < 0) {
        return r;
    }
    const struct listener *made = &after->listeners[after->listener_count - 1];
    r = answer_location(call,
                        "/v1/projects/%" PRIu64 "/load-balancers/%" PRIu64 "/listeners/%" PRIu64,
                        project->id, after->id, made->id);
    return r < 0 ? r : answer_object(call, 201, &listener_schema, made, after->generation);
}

int serve_listener_change(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer, *after;
    struct listener changed;
    size_t index;
    int r = call_need_body(call);
    if (r == 0) {
        r = find_balancer(call, &project, &balancer);
    }
    if (r == 0) {
        r = find_listener(call, balancer, &index);
    }
    if (r < 0) {
        return r;
    }
    changed = balancer->listeners[index];
    r = schema_parse(&listener_schema, call->body, SCHEMA_PATCH, "", &call->arena, &changed,
                     &call->error);
    if (r == 0 && changed.id != balancer->listeners[index].id) {
        r = error_set_field(&call->error, -EINVAL, "read_only_field", "id",
                            "a listener's id is set by Weir");
    }
    if (r == 0) {
        json_t *item = schema_print(&listener_schema, &changed);
        json_t *listeners = with_item(print_listeners(balancer), index, item);
        json_decref(item);
        r = put_listeners(call, project, balancer, listeners, &after);
    }
    return r < 0 ? r
                 : answer_object(call, 200, &listener_schema, &after->listeners[index],
                                 after->generation);
}

int serve_listener_delete(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer, *after;
    size_t index;
    int r = find_balancer(call, &project, &balancer);
    if (r == 0) {
        r = find_listener(call, balancer, &index);
    }
    if (r == 0 && balancer->listener_count == 1) {
        r = error_set_field(&call->error, -EBUSY, "in_use", NULL,
                            "a load balancer keeps at least one listener; delete \"%s\" instead",
                            balancer->name);
    }
    if (r == 0) {
        json_t *listeners = print_listeners(balancer);
        json_array_remove(listeners, index);
        r = put_listeners(call, project, balancer, listeners, &after);
    }
    return r < 0 ? r : answer_nothing(call);
}

// ── Targets ──────────────────────────────────────────────────────────────────────────────────

static int find_group(struct call *call, struct project **ret_project,
                      struct target_group **ret_group)
{
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_project(call, ret_project);
    return r < 0 ? r
                 : service_target_group_find(call->api->service, *ret_project, ref, &call->arena,
                                             ret_group, &call->error);
}

// "10.1.0.11:80", "[2001:db8::1]:80", "api.example.net:8080".
static int split_place(struct call *call, const char **ret_address, uint16_t *ret_port)
{
    const char *place = call_value(call, 2);
    const char *colon = place != NULL ? strrchr(place, ':') : NULL;
    uint64_t port = 0;
    if (place == NULL) {
        return call->error.code;
    }
    struct str address = {place, colon != NULL ? (size_t)(colon - place) : 0};
    if (address.len > 2 && place[0] == '[' && place[address.len - 1] == ']') {
        address = (struct str){place + 1, address.len - 2};
    }
    if (address.len == 0 || str_to_u64(str_of(colon + 1), UINT16_MAX, &port) < 0 || port == 0) {
        return error_set_field(&call->error, -EINVAL, "invalid_path", NULL,
                               "a target is named as address:port");
    }
    *ret_address = arena_copy(&call->arena, address).at;
    *ret_port = (uint16_t)port;
    return *ret_address != NULL ? 0 : error_set(&call->error, -ENOMEM, "out of memory");
}

// SIZE_MAX when it is not there.
static size_t find_target(const struct target_group *group, const char *address, uint16_t port)
{
    for (size_t i = 0; i < group->target_count; i++) {
        if (group->targets[i].port == port &&
            str_equal_nocase(str_of(group->targets[i].address), str_of(address))) {
            return i;
        }
    }
    return SIZE_MAX;
}

static int refuse_target(struct call *call, const struct target_group *group, const char *address,
                         uint16_t port)
{
    return error_set_field(&call->error, -ENOENT, "not_found", NULL,
                           "the target group \"%s\" has no target %.100s:%u", group->name, address,
                           port);
}

static int patch_group(struct call *call, const struct project *project,
                       const struct target_group *group, const char *name, json_t *value,
                       struct target_group **ret_group)
{
    char ref[24];
    uint64_t if_match;
    json_t *patch = value != NULL ? json_pack("{s:o}", name, value) : NULL;
    int r = patch == NULL ? error_set(&call->error, -ENOMEM, "out of memory")
                          : call_if_match(call, &if_match);
    snprintf(ref, sizeof(ref), "%" PRIu64, group->id);
    if (r == 0) {
        r = service_target_group_update(call->api->service, project, ref, patch,
                                        if_match != 0 ? if_match : group->generation, &call->arena,
                                        ret_group, &call->error);
    }
    json_decref(patch);
    own_field(&call->error, "targets[");
    if (r == 0) {
        resolve_keep(call);
    }
    return r;
}

static json_t *print_targets(const struct target_group *group)
{
    json_t *json = schema_print(&target_group_schema, group);
    json_t *targets = json_incref(json_object_get(json, "targets"));
    json_decref(json);
    return targets;
}

int serve_targets(struct call *call)
{
    struct project *project;
    struct target_group *group;
    int r = find_group(call, &project, &group);
    return r < 0 ? r : answer_items(call, &target_schema, group->targets, group->target_count);
}

int serve_target(struct call *call)
{
    struct project *project;
    struct target_group *group;
    const char *address;
    uint16_t port;
    int r = find_group(call, &project, &group);
    if (r == 0) {
        r = split_place(call, &address, &port);
    }
    if (r < 0) {
        return r;
    }
    size_t index = find_target(group, address, port);
    return index == SIZE_MAX ? refuse_target(call, group, address, port)
                             : answer_object(call, 200, &target_schema, &group->targets[index],
                                             group->generation);
}

static int add_target(struct call *call)
{
    struct project *project;
    struct target_group *group, *after;
    int r = find_group(call, &project, &group);
    if (r == 0) {
        json_t *targets = with_item(print_targets(group), SIZE_MAX, call->body);
        r = patch_group(call, project, group, "targets", targets, &after);
    }
    if (r < 0) {
        // One that is there already is a conflict with what is, not a fault of the body alone.
        if (strcmp(call->error.reason, "duplicate_target") == 0) {
            r = call->error.code = -EEXIST;
        }
        return r;
    }
    const struct target *target = &after->targets[after->target_count - 1];
    bool ipv6 = strchr(target->address, ':') != NULL;
    r = answer_location(
        call, "/v1/projects/%" PRIu64 "/target-groups/%" PRIu64 "/targets/%s%s%s:%u", project->id,
        after->id, ipv6 ? "%5B" : "", target->address, ipv6 ? "%5D" : "", target->port);
    return r < 0 ? r : answer_object(call, 201, &target_schema, target, after->generation);
}

static int resolve_one(struct call *call, const json_t *target, int (*then)(struct call *))
{
    json_t *targets = json_array();
    if (targets == NULL || json_array_append(targets, (json_t *)target) < 0) {
        json_decref(targets);
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    int r = resolve_hosts_of_targets(call, targets, then);
    json_decref(targets); // the body keeps the texts
    return r;
}

int serve_target_new(struct call *call)
{
    int r = call_need_body(call);
    return r < 0 ? r : resolve_one(call, call->body, add_target);
}

// The body may say the place again, but no other.
static int put_target(struct call *call)
{
    struct project *project;
    struct target_group *group, *after;
    const char *address;
    uint16_t port;
    int r = find_group(call, &project, &group);
    if (r == 0) {
        r = split_place(call, &address, &port);
    }
    if (r < 0) {
        return r;
    }
    size_t index = find_target(group, address, port);
    bool is_new = index == SIZE_MAX;
    index = is_new ? group->target_count : index;
    json_t *targets = with_item(print_targets(group), index, call->body);
    r = patch_group(call, project, group, "targets", targets, &after);
    return r < 0 ? r
                 : answer_object(call, is_new ? 201 : 200, &target_schema, &after->targets[index],
                                 after->generation);
}

int serve_target_put(struct call *call)
{
    const char *address;
    uint16_t port;
    int r = call_need_body(call);
    if (r == 0) {
        r = split_place(call, &address, &port);
    }
    if (r < 0) {
        return r;
    }
    json_t *said_address = json_object_get(call->body, "address");
    json_t *said_port = json_object_get(call->body, "port");
    if ((said_address != NULL &&
         (!json_is_string(said_address) ||
          !str_equal_nocase(str_of(json_string_value(said_address)), str_of(address)))) ||
        (said_port != NULL && json_integer_value(said_port) != port)) {
        return error_set_field(&call->error, -EINVAL, "invalid_value", "address",
                               "the body names another target than the path");
    }
    if (json_object_set_new(call->body, "address", json_string(address)) < 0 ||
        json_object_set_new(call->body, "port", json_integer(port)) < 0) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    return resolve_one(call, call->body, put_target);
}

int serve_target_delete(struct call *call)
{
    struct project *project;
    struct target_group *group, *after;
    const char *address;
    uint16_t port;
    int r = find_group(call, &project, &group);
    if (r == 0) {
        r = split_place(call, &address, &port);
    }
    if (r < 0) {
        return r;
    }
    size_t index = find_target(group, address, port);
    if (index == SIZE_MAX) {
        return refuse_target(call, group, address, port);
    }
    json_t *targets = print_targets(group);
    json_array_remove(targets, index);
    r = patch_group(call, project, group, "targets", targets, &after);
    return r < 0 ? r : answer_nothing(call);
}

// ── The health check ─────────────────────────────────────────────────────────────────────────

int serve_health_check(struct call *call)
{
    struct project *project;
    struct target_group *group;
    int r = find_group(call, &project, &group);
    return r < 0 ? r
                 : answer_object(call, 200, &health_check_schema, &group->health_check,
                                 group->generation);
}

// Replaced whole: what the body does not say takes its default.
int serve_health_check_put(struct call *call)
{
    struct project *project;
    struct target_group *group, *after;
    struct health_check check;
    int r = call_need_body(call);
    if (r == 0) {
        r = find_group(call, &project, &group);
    }
    if (r == 0) {
        r = schema_parse(&health_check_schema, call->body, SCHEMA_CREATE, "", &call->arena, &check,
                         &call->error);
    }
    if (r < 0) {
        return r;
    }
    if (json_object_get(call->body, "protocol") == NULL) {
        check.protocol = group->protocol;
    }
    r = health_check_validate(&check, "", &call->error);
    if (r == 0) {
        r = patch_group(call, project, group, "health_check",
                        schema_print(&health_check_schema, &check), &after);
    }
    return r < 0 ? r
                 : answer_object(call, 200, &health_check_schema, &after->health_check,
                                 after->generation);
}
