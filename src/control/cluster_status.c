// SPDX-License-Identifier: Apache-2.0
// Where clients are sent (steering.h applied), and what users see of a load balancer: made when
// somebody asks, from what is recorded and seen now.
#include <string.h>

#include "control/cluster.h"

bool cluster_same_addresses(const struct steering *a, const struct steering *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!addr_equal(&a->addresses[i], &b->addresses[i])) {
            return false;
        }
    }
    return true;
}

void cluster_steer(struct cluster *cluster, struct cluster_balancer *balancer)
{
    enum { UNITS_MAX = 256 };
    struct failover_unit units[UNITS_MAX];
    size_t count = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id == balancer->record.id && count < UNITS_MAX) {
            cluster_fill_unit(cluster, unit, &units[count++]);
        }
    }
    struct steering steering;
    steering_choose(units, count, balancer->balancer.deleting, &steering);
    if (!cluster_same_addresses(&steering, &balancer->steering)) {
        cluster->names_changed = true;
    }
    balancer->steering = steering;
    balancer->served |= steering.serving > 0;
    enum load_balancer_state state = steering_state(&steering, balancer->balancer.units,
                                                    balancer->served, balancer->balancer.deleting);
    cluster->told |= state != balancer->state;
    balancer->state = state;
}

// Units are bounded by the wanted count (8), its replacements and what is on its way out.
static int fill_units(const struct cluster *cluster, uint64_t balancer_id, struct arena *arena,
                      struct load_balancer_status *status)
{
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        status->unit_count += unit->unit.load_balancer_id == balancer_id;
    }
    status->units = arena_array(arena, struct unit_status, status->unit_count);
    if (status->units == NULL) {
        return -ENOMEM;
    }
    size_t count = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id == balancer_id) {
            status->units[count++] = (struct unit_status){
                .id = unit->record.id,
                .node = arena_copy(arena, str_of(unit->unit.node)).at,
                .address = unit->unit.front,
                .state = unit->unit.state,
                .role = unit->unit.role,
                .replaces = unit->unit.replaces,
            };
            if (status->units[count - 1].node == NULL) {
                return -ENOMEM;
            }
        }
    }
    return 0;
}

static int merge_target(struct load_balancer_status *status, const struct target_report *report,
                        struct arena *arena)
{
    for (size_t i = 0; i < status->target_count; i++) {
        struct target_report *known = &status->targets[i];
        if (known->target_group_id == report->target_group_id &&
            addr_equal(&known->address, &report->address)) {
            *known = steering_merge(known, report);
            return 0;
        }
    }
    status->targets[status->target_count++] = *report;
    return 0;
}

static int fill_targets(const struct cluster *cluster, uint64_t balancer_id, struct arena *arena,
                        struct load_balancer_status *status)
{
    size_t room = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id == balancer_id && unit->observed != NULL) {
            room += unit->observed->target_count;
        }
    }
    status->targets = arena_array(arena, struct target_report, room);
    if (status->targets == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id != balancer_id || !evidence_is_serving(unit->evidence) ||
            unit->observed == NULL) {
            continue;
        }
        for (size_t i = 0; i < unit->observed->target_count; i++) {
            merge_target(status, &unit->observed->targets[i], arena);
        }
    }
    for (size_t i = 0; i < status->target_count; i++) {
        struct str reason = arena_copy(arena, str_of(status->targets[i].reason));
        if (reason.at == NULL) {
            return -ENOMEM;
        }
        status->targets[i].reason = reason.at;
    }
    return 0;
}

int cluster_status(struct cluster *cluster, const struct load_balancer *balancer,
                   struct arena *arena, struct load_balancer_status **ret_status)
{
    struct load_balancer_status *status = arena_new(arena, struct load_balancer_status);
    if (status == NULL) {
        return -ENOMEM;
    }
    const struct cluster_project *project = table_find(&cluster->projects, balancer->project_id);
    const struct cluster_balancer *known = table_find(&cluster->balancers, balancer->id);
    status->dns_name = status->url = "";
    status->generation = balancer->generation;
    if (project != NULL) {
        status->dns_name = load_balancer_dns_name(balancer->label, project->project.label,
                                                  cluster->service->zone, arena);
        if (status->dns_name == NULL) {
            return -ENOMEM;
        }
        status->url = load_balancer_url(balancer, status->dns_name, arena);
        if (status->url == NULL) {
            return -ENOMEM;
        }
    }
    // What was just made or changed may not have been looked at yet.
    status->state = balancer->deleting ? LOAD_BALANCER_DELETING : LOAD_BALANCER_PROVISIONING;
    if (known != NULL) {
        status->generation = known->balancer.generation;
        status->state =
            steering_state(&known->steering, balancer->units, known->served, balancer->deleting);
        status->addresses = arena_array(arena, struct addr, known->steering.count);
        if (status->addresses == NULL) {
            return -ENOMEM;
        }
        memcpy(status->addresses, known->steering.addresses,
               known->steering.count * sizeof(struct addr));
        status->address_count = known->steering.count;
    }
    int r = fill_units(cluster, balancer->id, arena, status);
    if (r == 0) {
        r = fill_targets(cluster, balancer->id, arena, status);
    }
    if (r == 0) {
        *ret_status = status;
    }
    return r;
}
