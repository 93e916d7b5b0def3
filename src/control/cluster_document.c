// SPDX-License-Identifier: Apache-2.0
// What follows from the records: a snapshot for each unit, a desired document for each node. Both
// are functions of the store alone, so a controller that starts anew comes to the same ones:
//   a snapshot's version    the newest revision among what it was made from
//   a document's generation the store's revision when its content changed last
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cluster.h"
#include "model/desired.h"
#include "model/snapshot.h"

static const struct desired_limits unit_limits = {
    .memory_bytes = 256U << 20, .pids = 64, .cpu_millis = 2000};

// ── Snapshots ────────────────────────────────────────────────────────────────────────────────

// Adds the target's addresses; a host name that has none yet adds nothing.
static size_t add_target(const struct cluster *cluster, const struct target *target,
                         struct snapshot_target *targets, size_t count, size_t room,
                         uint64_t *version)
{
    struct snapshot_target one = {.weight = target->weight};
    if (addr_parse_ip(str_of(target->address), &one.address) == 0) {
        one.address.port = target->port;
        if (count < room) {
            targets[count++] = one;
        }
        return count;
    }
    const struct cluster_resolved *resolved =
        table_find(&cluster->resolved, cluster_hash(target->address));
    if (resolved == NULL || strcmp(resolved->resolved.host, target->address) != 0) {
        return count;
    }
    *version = MAX(*version, resolved->record.revision);
    for (size_t i = 0; i < resolved->resolved.address_count && count < room; i++) {
        one.address = resolved->resolved.addresses[i];
        one.address.port = target->port;
        bool twice = false; // two names may lead to one address
        for (size_t k = 0; k < count && !twice; k++) {
            twice = addr_equal(&targets[k].address, &one.address);
        }
        if (!twice) {
            targets[count++] = one;
        }
    }
    return count;
}

static int fill_group(const struct cluster *cluster, const struct cluster_group *group,
                      struct arena *arena, struct snapshot_target_group *ret_group,
                      uint64_t *version)
{
    size_t room = MIN(group->group.target_count * RESOLVED_ADDRESSES_MAX, (size_t)TARGETS_MAX);
    *ret_group = (struct snapshot_target_group){
        .id = group->record.id,
        .name = group->group.name,
        .protocol = group->group.protocol,
        .algorithm = group->group.algorithm,
        .health_check = group->group.health_check,
        .targets = arena_array(arena, struct snapshot_target, room),
    };
    if (ret_group->targets == NULL) {
        return -ENOMEM;
    }
    *version = MAX(*version, group->record.revision);
    for (size_t i = 0; i < group->group.target_count; i++) {
        ret_group->target_count = add_target(cluster, &group->group.targets[i], ret_group->targets,
                                             ret_group->target_count, room, version);
    }
    return 0;
}

static int fill_listeners(const struct cluster *cluster, const struct load_balancer *balancer,
                          struct arena *arena, struct snapshot *snapshot, uint64_t *version)
{
    snapshot->listeners = arena_array(arena, struct listener, balancer->listener_count);
    snapshot->target_groups =
        arena_array(arena, struct snapshot_target_group, balancer->listener_count);
    if (snapshot->listeners == NULL || snapshot->target_groups == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < balancer->listener_count; i++) {
        const struct listener *listener = &balancer->listeners[i];
        const struct cluster_group *group = table_find(&cluster->groups, listener->target_group_id);
        if (group == NULL) {
            continue; // only while the load balancer is deleted
        }
        snapshot->listeners[snapshot->listener_count++] = *listener;
        bool known = false;
        for (size_t k = 0; k < snapshot->target_group_count && !known; k++) {
            known = snapshot->target_groups[k].id == group->record.id;
        }
        if (!known) {
            int r = fill_group(cluster, group, arena,
                               &snapshot->target_groups[snapshot->target_group_count++], version);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

// Fills unit->snapshot when what it follows from has changed. -ENOMEM, -ENOENT (nothing to serve).
static int update_snapshot(const struct cluster *cluster, struct cluster_unit *unit,
                           struct arena *arena)
{
    const struct cluster_balancer *balancer =
        table_find(&cluster->balancers, unit->unit.load_balancer_id);
    const struct cluster_project *project = table_find(&cluster->projects, unit->unit.project_id);
    if (balancer == NULL || project == NULL) {
        return unit->snapshot != NULL ? 0 : -ENOENT;
    }
    if (balancer->balancer.deleting && unit->snapshot != NULL) {
        return 0; // its target groups may be gone; it finishes with what it has
    }
    uint64_t version = MAX(balancer->record.revision, project->record.revision);
    struct snapshot snapshot = {
        .unit_id = unit->record.id,
        .load_balancer_id = balancer->record.id,
        .load_balancer = balancer->balancer.name,
        .project = project->project.name,
        .address = unit->unit.front,
        .status_port = UNIT_STATUS_PORT,
    };
    int r = fill_listeners(cluster, &balancer->balancer, arena, &snapshot, &version);
    if (r < 0 || (unit->snapshot != NULL && version == unit->snapshot_version)) {
        return r;
    }
    snapshot.version = version;
    char *text = snapshot_print(&snapshot);
    if (text == NULL) {
        return -ENOMEM;
    }
    free(unit->snapshot);
    unit->snapshot = text;
    unit->snapshot_version = version;
    return 0;
}

// ── Desired documents ────────────────────────────────────────────────────────────────────────

static bool is_desired(const struct cluster_unit *unit)
{
    return unit->unit.state != UNIT_DELETING;
}

static int fill_units(struct cluster *cluster, struct cluster_node *node, struct arena *arena,
                      struct desired *desired)
{
    desired->units = arena_array(arena, struct desired_unit, cluster->units.count);
    if (desired->units == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->node != node || !is_desired(unit)) {
            continue;
        }
        int r = update_snapshot(cluster, unit, arena);
        if (r == -ENOENT) {
            continue;
        }
        if (r < 0) {
            return r;
        }
        desired->units[desired->unit_count++] = (struct desired_unit){
            .id = unit->record.id,
            .project_id = unit->unit.project_id,
            .load_balancer_id = unit->unit.load_balancer_id,
            .front = unit->unit.front,
            .back = unit->unit.back,
            .limits = unit_limits,
            .draining = unit->unit.state == UNIT_DRAINING,
            .snapshot = unit->snapshot,
        };
    }
    return 0;
}

static bool needs_network(const struct desired *desired, uint64_t project_id)
{
    for (size_t i = 0; i < desired->unit_count; i++) {
        if (desired->units[i].project_id == project_id) {
            return true;
        }
    }
    return false;
}

// Every node has every project's network: targets may live on any.
static int fill_networks(struct cluster *cluster, struct arena *arena, struct desired *desired)
{
    desired->networks = arena_array(arena, struct desired_network, cluster->projects.count);
    if (desired->networks == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->projects, struct cluster_project, project) {
        if (!project->project.deleting || needs_network(desired, project->record.id)) {
            desired->networks[desired->network_count++] = (struct desired_network){
                .project_id = project->record.id,
                .name = project->project.name,
                .subnet = project->project.subnet,
                .gateway = ipam_gateway(&project->project.subnet),
            };
        }
    }
    return 0;
}

// The text begins {"node":"lab","generation":7, and only the number is given anew, for the rest of
// a document is long. NULL: memory is out.
static char *with_generation(const char *text, uint64_t generation)
{
    static const char field[] = "\"generation\":";
    const char *at = strstr(text, field); // a node's name has no quotation marks
    char *copy = NULL;
    if (at != NULL) {
        at += sizeof(field) - 1;
        const char *rest = at + strspn(at, "0123456789");
        if (asprintf(&copy, "%.*s%" PRIu64 "%s", (int)(at - text), text, generation, rest) < 0) {
            return NULL;
        }
    }
    return copy;
}

// The text without its generation decides whether something changed.
static char *print_changed(struct cluster_node *node, struct desired *desired, uint64_t revision)
{
    desired->generation = node->generation;
    char *text = desired_print(desired);
    if (text == NULL || (node->desired != NULL && strcmp(text, node->desired) == 0)) {
        return text;
    }
    desired->generation = MAX(node->generation + 1, revision);
    char *changed = with_generation(text, desired->generation);
    free(text);
    return changed;
}

void cluster_update_document(struct cluster *cluster, struct cluster_node *node)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct desired desired = {
        .node = node->name,
        .front = {.subnet = cluster->service->front_subnet,
                  .gateway = ipam_gateway(&cluster->service->front_subnet)},
    };
    char *text = NULL;
    if (fill_units(cluster, node, &arena, &desired) == 0 &&
        fill_networks(cluster, &arena, &desired) == 0) {
        text = print_changed(node, &desired, store_revision(cluster->service->store));
    }
    arena_reset(&arena);
    if (text == NULL) {
        return; // memory is out: the node stays marked, the next run tries again
    }
    node->dirty = false;
    if (desired.generation != node->generation) {
        node->generation = desired.generation;
        cluster->told = true;
    }
    free(node->desired);
    node->desired = text;
    node->desired_len = strlen(text);
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->node != node) {
            continue;
        }
        if (is_desired(unit)) {
            unit->wanted_since = unit->wanted_since != 0 ? unit->wanted_since : node->generation;
        } else {
            unit->dropped_since = unit->dropped_since != 0 ? unit->dropped_since : node->generation;
        }
    }
}
