// SPDX-License-Identifier: Apache-2.0
#include "proxy/compiled.h"

#include <inttypes.h>
#include <stdio.h>

// A snapshot that lists an address twice in one group (two names that resolve to it) means one
// target with the weight of both, which drains only if both do.
static int compile_targets(struct compiled *compiled, struct compiled_group *group,
                           const struct snapshot_target_group *source,
                           struct target_registry *registry)
{
    static uint64_t mark; // the control thread's
    mark++;
    group->targets = arena_array(&compiled->arena, struct compiled_target, source->target_count);
    if (group->targets == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < source->target_count; i++) {
        const struct snapshot_target *from = &source->targets[i];
        struct target_state *state = target_registry_get(registry, group->id, &from->address);
        if (state == NULL) {
            return -ENOMEM;
        }
        if (state->mark == mark) {
            struct balancer_member *member = &group->targets[state->mark_index].member;
            member->weight += from->weight;
            member->draining = member->draining && from->draining;
            target_state_unref(state);
            continue;
        }
        state->mark = mark;
        state->mark_index = group->target_count;
        group->targets[group->target_count++] = (struct compiled_target){
            .state = state,
            .member = {from->weight, from->draining},
        };
    }
    return 0;
}

static int compile_groups(struct compiled *compiled, struct target_registry *registry)
{
    const struct snapshot *snapshot = compiled->snapshot;
    compiled->groups =
        arena_array(&compiled->arena, struct compiled_group, snapshot->target_group_count);
    if (compiled->groups == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < snapshot->target_group_count; i++) {
        const struct snapshot_target_group *source = &snapshot->target_groups[i];
        struct compiled_group *group = &compiled->groups[compiled->group_count++];
        group->id = source->id;
        group->name = source->name;
        group->health_check = source->health_check;
        group->algorithm = source->algorithm == ALGORITHM_LEAST_OUTSTANDING
                               ? &balancer_least_outstanding
                               : &balancer_round_robin;
        if (compile_targets(compiled, group, source, registry) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int compile_listener(struct compiled *compiled, const struct listener *source)
{
    struct compiled_listener *listener = &compiled->listeners[compiled->listener_count];
    listener->id = source->id;
    listener->protocol = source->protocol;
    listener->at = compiled->snapshot->address;
    listener->at.port = source->port;
    listener->timeouts = source->timeouts;
    listener->limits = http1_limits_default;
    listener->limits.body_bytes = source->body_max_bytes;
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        if (compiled->groups[i].id == source->target_group_id) {
            listener->group = i;
            compiled->groups[i].used = true;
        }
    }
    char text[128];
    snprintf(text, sizeof(text), "X-Forwarded-Proto: http\r\nX-Forwarded-Port: %u\r\n",
             source->port);
    listener->forwarded = arena_copy(&compiled->arena, str_of(text));
    char address[ADDR_TEXT_LEN];
    listener->host = arena_copy(&compiled->arena, str_of(addr_format(&listener->at, address)));
    compiled->listener_count++;
    return listener->forwarded.at == NULL || listener->host.at == NULL ? -ENOMEM : 0;
}

static int compile_listeners(struct compiled *compiled)
{
    const struct snapshot *snapshot = compiled->snapshot;
    compiled->listeners =
        arena_array(&compiled->arena, struct compiled_listener, snapshot->listener_count + 1);
    if (compiled->listeners == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        if (compile_listener(compiled, &snapshot->listeners[i]) < 0) {
            return -ENOMEM;
        }
    }
    struct compiled_listener *status = &compiled->listeners[compiled->listener_count++];
    status->is_status = true;
    status->protocol = PROTOCOL_HTTP;
    status->at = snapshot->address;
    status->at.port = snapshot->status_port;
    status->limits = http1_limits_default;
    status->timeouts = (struct timeouts){
        .client_header_ms = 10000,
        .client_idle_ms = 60000,
        .client_body_ms = 10000,
        .send_ms = 10000,
    };
    char text[96];
    snprintf(text, sizeof(text), "{\"unit\":%" PRIu64 ",\"version\":%" PRIu64 "}\n",
             snapshot->unit_id, snapshot->version);
    compiled->health_body = arena_copy(&compiled->arena, str_of(text));
    return compiled->health_body.at == NULL ? -ENOMEM : 0;
}

int compiled_new(struct str text, struct target_registry *registry, struct compiled **ret_compiled,
                 struct error *error)
{
    struct compiled *compiled = calloc(1, sizeof(*compiled));
    if (compiled == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    atomic_init(&compiled->refs, 1);
    arena_init(&compiled->arena, 16 * 1024);
    int r = snapshot_parse(text, &compiled->arena, &compiled->snapshot, error);
    if (r == 0) {
        r = compile_groups(compiled, registry);
    }
    if (r == 0) {
        r = compile_listeners(compiled);
    }
    if (r < 0) {
        compiled_unref(compiled);
        return error_set(error, r, "out of memory"); // keeps what the parser said
    }
    *ret_compiled = compiled;
    return 0;
}

struct compiled *compiled_ref(struct compiled *compiled)
{
    atomic_fetch_add_explicit(&compiled->refs, 1, memory_order_relaxed);
    return compiled;
}

struct compiled *compiled_unref(struct compiled *compiled)
{
    if (compiled == NULL ||
        atomic_fetch_sub_explicit(&compiled->refs, 1, memory_order_acq_rel) > 1) {
        return NULL;
    }
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        for (uint32_t j = 0; j < compiled->groups[i].target_count; j++) {
            target_state_unref(compiled->groups[i].targets[j].state);
        }
    }
    arena_reset(&compiled->arena);
    free(compiled);
    return NULL;
}
