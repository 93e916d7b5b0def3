// SPDX-License-Identifier: Apache-2.0
// Where a new unit goes and which addresses it gets: what the cluster knows, handed to the pure
// functions of placement.h and ipam.h.
#include "control/cluster.h"
#include "control/placement.h"

// Addresses in use: of every unit recorded or just made, and of targets, which live in the same
// subnet as back addresses.
static int gather_taken(const struct place *place, const struct cluster_project *project,
                        struct ipam_taken *ret_front, struct ipam_taken *ret_back)
{
    const struct cluster *cluster = place->cluster;
    struct arena *arena = place->arena;
    size_t targets = 0;
    TABLE_FOREACH (&cluster->groups, struct cluster_group, group) {
        targets += group->group.project_id == project->record.id ? group->group.target_count : 0;
    }
    size_t room = cluster->units.count + place->made_count;
    struct addr *front = arena_array(arena, struct addr, room);
    struct addr *back = arena_array(arena, struct addr, room + targets);
    if (front == NULL || back == NULL) {
        return -ENOMEM;
    }
    size_t fronts = 0, backs = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        front[fronts++] = unit->unit.front;
        if (unit->unit.project_id == project->record.id) {
            back[backs++] = unit->unit.back;
        }
    }
    for (size_t i = 0; i < place->made_count; i++) {
        front[fronts++] = place->made[i]->unit.front;
        back[backs++] = place->made[i]->unit.back;
    }
    TABLE_FOREACH (&cluster->groups, struct cluster_group, group) {
        if (group->group.project_id != project->record.id) {
            continue;
        }
        for (size_t i = 0; i < group->group.target_count; i++) {
            backs += addr_parse_ip(str_of(group->group.targets[i].address), &back[backs]) == 0;
        }
    }
    *ret_front = (struct ipam_taken){front, fronts, cluster->releases, cluster->release_count};
    *ret_back = (struct ipam_taken){back, backs, cluster->releases, cluster->release_count};
    return 0;
}

int cluster_place_addresses(const struct place *place, struct unit *unit)
{
    const struct cluster_project *project = table_find(&place->cluster->projects, unit->project_id);
    struct ipam_taken front, back;
    if (project == NULL) {
        return -ENOENT;
    }
    int r = gather_taken(place, project, &front, &back);
    struct ipam_range front_range = ipam_front_range(&place->cluster->service->front_subnet);
    struct ipam_range back_range = ipam_back_range(&project->project.subnet);
    if (r == 0) {
        r = ipam_pick(&front_range, &front, place->now_ms, &unit->front);
    }
    return r < 0 ? r : ipam_pick(&back_range, &back, place->now_ms, &unit->back);
}

struct cluster_node *cluster_place_node(const struct place *place)
{
    const struct cluster *cluster = place->cluster;
    struct placement_node *places =
        arena_array(place->arena, struct placement_node, cluster->node_count);
    struct cluster_node **nodes =
        arena_array(place->arena, struct cluster_node *, cluster->node_count);
    if (places == NULL || nodes == NULL) {
        return NULL;
    }
    size_t count = 0;
    LIST_FOREACH (&cluster->nodes, link) {
        struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        nodes[count] = node;
        places[count++] = (struct placement_node){.name = node->name,
                                                  .ready = node->heard && !node->missing,
                                                  .avoid = node == place->avoid};
    }
    // Dead units do not count for the spread at first, so that a crashed process comes back where
    // its place is; once a replacement failed too, they do: then the place may be at fault.
    bool count_dead = place->balancer->replacement_failures > 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        for (size_t i = 0; i < count; i++) {
            if (nodes[i] == unit->node) {
                places[i].units += unit->unit.state != UNIT_DELETING;
                places[i].balancer_units +=
                    unit->unit.load_balancer_id == place->balancer->record.id &&
                    (failover_is_alive(unit->unit.state) &&
                     (count_dead || unit->unit.state != UNIT_FAILED));
                break;
            }
        }
    }
    for (size_t k = 0; k < place->made_count; k++) {
        for (size_t i = 0; i < count; i++) {
            if (nodes[i] == place->made[k]->node) {
                places[i].units++;
                places[i].balancer_units++;
            }
        }
    }
    int chosen = placement_choose(places, count);
    return chosen < 0 ? NULL : nodes[chosen];
}
