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

static const struct cluster_resolved *find_resolved(const struct cluster *cluster, const char *host)
{
    const struct cluster_resolved *found = table_find(&cluster->resolved, cluster_hash(host));
    return found != NULL && strcmp(found->resolved.host, host) == 0 ? found : NULL;
}

// Adds the target's addresses; a host name that has none yet adds nothing.
static size_t add_target(const struct cluster *cluster, const struct target *target,
                         struct snapshot_target *targets, size_t count, size_t room)
{
    struct snapshot_target one = {.weight = target->weight};
    if (addr_parse_ip(str_of(target->address), &one.address) == 0) {
        one.address.port = target->port;
        if (count < room) {
            targets[count++] = one;
        }
        return count;
    }
    const struct cluster_resolved *resolved = find_resolved(cluster, target->address);
    if (resolved == NULL) {
        return count;
    }
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
                      struct arena *arena, struct snapshot_target_group *ret_group)
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
    for (size_t i = 0; i < group->group.target_count; i++) {
        ret_group->target_count = add_target(cluster, &group->group.targets[i], ret_group->targets,
                                             ret_group->target_count, room);
    }
    return 0;
}

static int fill_listeners(const struct cluster *cluster, const struct load_balancer *balancer,
                          struct arena *arena, struct snapshot *snapshot)
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
                               &snapshot->target_groups[snapshot->target_group_count++]);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

// The newest revision of all that the snapshot follows from.
static uint64_t snapshot_version(const struct cluster *cluster,
                                 const struct cluster_balancer *balancer,
                                 const struct cluster_project *project)
{
    uint64_t version = MAX(balancer->record.revision, project->record.revision);
    for (size_t i = 0; i < balancer->balancer.listener_count; i++) {
        const struct cluster_group *group =
            table_find(&cluster->groups, balancer->balancer.listeners[i].target_group_id);
        if (group == NULL) {
            continue;
        }
        version = MAX(version, group->record.revision);
        for (size_t k = 0; group->has_names && k < group->group.target_count; k++) {
            const struct cluster_resolved *resolved =
                find_resolved(cluster, group->group.targets[k].address);
            version = resolved != NULL ? MAX(version, resolved->record.revision) : version;
        }
    }
    return version;
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
    uint64_t version = snapshot_version(cluster, balancer, project);
    if (unit->snapshot != NULL && version == unit->snapshot_version) {
        return 0;
    }
    struct snapshot snapshot = {
        .version = version,
        .unit_id = unit->record.id,
        .load_balancer_id = balancer->record.id,
        .load_balancer = balancer->balancer.name,
        .project = project->project.name,
        .address = unit->unit.front,
        .status_port = UNIT_STATUS_PORT,
    };
    int r = fill_listeners(cluster, &balancer->balancer, arena, &snapshot);
    char *text = r == 0 ? snapshot_print(&snapshot) : NULL;
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

// Fills unit->desired, the unit's part of the document: printed when it changed, for snapshots are
// long and a node has many.
static int update_unit(struct cluster *cluster, struct cluster_unit *unit, struct arena *arena)
{
    int r = update_snapshot(cluster, unit, arena);
    bool draining = unit->unit.state == UNIT_DRAINING;
    if (r < 0 || (unit->desired != NULL && unit->desired_version == unit->snapshot_version &&
                  unit->desired_draining == draining)) {
        return r;
    }
    struct desired_unit desired = {
        .id = unit->record.id,
        .project_id = unit->unit.project_id,
        .load_balancer_id = unit->unit.load_balancer_id,
        .front = unit->unit.front,
        .back = unit->unit.back,
        .limits = unit_limits,
        .draining = draining,
        .snapshot = unit->snapshot,
    };
    char *text = schema_print_text(&desired_unit_schema, &desired);
    if (text == NULL) {
        return -ENOMEM;
    }
    free(unit->desired);
    unit->desired = text;
    unit->desired_version = unit->snapshot_version;
    unit->desired_draining = draining;
    return 0;
}

struct units {
    struct cluster_unit **items;
    size_t count, len_bytes; // of their texts with commas
};

static int gather_units(struct cluster *cluster, const struct cluster_node *node,
                        struct arena *arena, struct units *ret_units)
{
    *ret_units = (struct units){arena_array(arena, struct cluster_unit *, cluster->units.count)};
    if (ret_units->items == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->node != node || !is_desired(unit)) {
            continue;
        }
        int r = update_unit(cluster, unit, arena);
        if (r == -ENOENT) {
            continue;
        }
        if (r < 0) {
            return r;
        }
        ret_units->items[ret_units->count++] = unit;
        ret_units->len_bytes += strlen(unit->desired) + 1;
    }
    return 0;
}

static bool needs_network(const struct units *units, uint64_t project_id)
{
    for (size_t i = 0; i < units->count; i++) {
        if (units->items[i]->unit.project_id == project_id) {
            return true;
        }
    }
    return false;
}

// Every node has every project's network: targets may live on any.
static int fill_networks(struct cluster *cluster, const struct units *units, struct arena *arena,
                         struct desired *desired)
{
    desired->networks = arena_array(arena, struct desired_network, cluster->projects.count);
    if (desired->networks == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->projects, struct cluster_project, project) {
        if (!project->project.deleting || needs_network(units, project->record.id)) {
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

// The document: what desired_print makes of all but the units, with their texts put in.
static char *print_document(const struct desired *desired, const struct units *units)
{
    static const char end[] = "]}"; // of "units":[]}
    char *frame = desired_print(desired);
    size_t len = frame != NULL ? strlen(frame) : 0;
    char *text = len > 0 ? malloc(len + units->len_bytes + 1) : NULL;
    if (text != NULL) {
        len -= sizeof(end) - 1;
        memcpy(text, frame, len);
        for (size_t i = 0; i < units->count; i++) {
            size_t unit_len = strlen(units->items[i]->desired);
            if (i > 0) {
                text[len++] = ',';
            }
            memcpy(text + len, units->items[i]->desired, unit_len);
            len += unit_len;
        }
        memcpy(text + len, end, sizeof(end));
    }
    free(frame);
    return text;
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
    struct units units;
    char *text = NULL;
    if (gather_units(cluster, node, &arena, &units) == 0 &&
        fill_networks(cluster, &units, &arena, &desired) == 0) {
        // With the generation that it has: so the text tells whether anything else changed.
        desired.generation = node->generation;
        text = print_document(&desired, &units);
        if (text != NULL && (node->desired == NULL || strcmp(text, node->desired) != 0)) {
            free(text);
            desired.generation = MAX(node->generation + 1, store_revision(cluster->service->store));
            text = print_document(&desired, &units);
        }
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
