// SPDX-License-Identifier: Apache-2.0
// What must always hold, and what must hold once the world is left in peace.
#include <string.h>

#include "world.h"

static bool is_alive(const struct cluster_unit *unit)
{
    return unit->unit.state == UNIT_STARTING || unit->unit.state == UNIT_SERVING ||
           unit->unit.state == UNIT_FAILED;
}

static const struct sim_unit *process_of(const struct world *world, const struct cluster_unit *unit)
{
    for (size_t n = 0; n < world->node_count; n++) {
        const struct sim_node *node = &world->nodes[n];
        for (size_t i = 0; i < node->unit_count; i++) {
            if (node->units[i].id == unit->record.id) {
                return &node->units[i];
            }
        }
    }
    return NULL;
}

static void check_addresses(struct world *world)
{
    const struct table *units = &world->cluster->units;
    for (size_t i = 0; i < units->count; i++) {
        const struct cluster_unit *a = units->items[i];
        for (size_t k = i + 1; k < units->count; k++) {
            const struct cluster_unit *b = units->items[k];
            if (addr_equal(&a->unit.front, &b->unit.front) ||
                addr_equal(&a->unit.back, &b->unit.back)) {
                world_fail(world, "units %lu and %lu have the same address",
                           (unsigned long)a->record.id, (unsigned long)b->record.id);
            }
        }
    }
    // Nor may two processes have one, recorded or not: what runs on a node that is away counts.
    for (size_t n = 0; n < world->node_count; n++) {
        for (size_t i = 0; i < world->nodes[n].unit_count; i++) {
            const struct sim_unit *a = &world->nodes[n].units[i];
            for (size_t k = 0; k < units->count; k++) {
                const struct cluster_unit *b = units->items[k];
                if (a->id != b->record.id && addr_equal(&a->front, &b->unit.front)) {
                    world_fail(world, "unit %lu was given the address of unit %lu, which runs",
                               (unsigned long)b->record.id, (unsigned long)a->id);
                }
            }
        }
    }
}

static void check_budget(struct world *world)
{
    uint32_t primaries = 0, replacements = 0;
    for (size_t i = 0; i < world->cluster->units.count; i++) {
        const struct cluster_unit *unit = world->cluster->units.items[i];
        primaries += is_alive(unit) && unit->unit.role == UNIT_PRIMARY;
        replacements += is_alive(unit) && unit->unit.role == UNIT_REPLACEMENT;
    }
    world->replacements = MAX(world->replacements, replacements);
    // Primaries may have become fewer since; 192 is what this world can have at the most.
    if (replacements > failover_budget(&world->failover, MAX(primaries, 192U))) {
        world_fail(world, "%u replacements at once", replacements);
    }
}

// When units serve and the controller can know, DNS names none that has been dead for long.
static void check_dns(struct world *world)
{
    if (world->clock.now_ms < world->excused_until_ms) {
        return;
    }
    for (size_t i = 0; i < world->cluster->balancers.count; i++) {
        const struct cluster_balancer *balancer = world->cluster->balancers.items[i];
        if (balancer->steering.rule != 1) {
            continue;
        }
        for (size_t k = 0; k < world->cluster->units.count; k++) {
            const struct cluster_unit *unit = world->cluster->units.items[k];
            bool named = false;
            for (size_t a = 0; a < balancer->steering.count; a++) {
                named |= addr_equal(&balancer->steering.addresses[a], &unit->unit.front);
            }
            const struct sim_unit *process = named ? process_of(world, unit) : NULL;
            if (named && process == NULL) {
                world_fail(world, "DNS names unit %lu, which does not exist",
                           (unsigned long)unit->record.id);
            } else if (named && process->dead_ms != 0 &&
                       world->clock.now_ms - process->dead_ms >
                           WORLD_DNS_LATE_MS + (process->hung ? WORLD_HUNG_MS : 0) &&
                       !(process->hung &&
                         (world->cluster->probes_blind || !unit->probe_answered))) {
                world_fail(world, "DNS names unit %lu, dead for %.1f s (evidence %s)",
                           (unsigned long)unit->record.id,
                           (double)(world->clock.now_ms - process->dead_ms) / 1000,
                           evidence_names[unit->evidence]);
            }
        }
    }
}

void world_check(struct world *world)
{
    if (world->steps % 16 == 0) { // it compares each with each
        check_addresses(world);
    }
    check_budget(world);
    check_dns(world);
}

static void check_balancer(struct world *world, const struct sim_balancer *wanted)
{
    const struct cluster_balancer *balancer = table_find(&world->cluster->balancers, wanted->id);
    if (wanted->deleted) {
        if (balancer != NULL) {
            world_fail(world, "%s was deleted and is still there", wanted->name);
        }
        return;
    }
    if (balancer == NULL) {
        world_fail(world, "%s was acknowledged and is not there", wanted->name);
        return;
    }
    uint32_t serving = 0;
    for (size_t i = 0; i < world->cluster->units.count; i++) {
        const struct cluster_unit *unit = world->cluster->units.items[i];
        if (unit->unit.load_balancer_id != wanted->id) {
            continue;
        }
        if (unit->unit.role != UNIT_PRIMARY || unit->unit.state != UNIT_SERVING) {
            world_fail(world, "unit %lu of %s is left %s, %s", (unsigned long)unit->record.id,
                       wanted->name, unit_role_names[unit->unit.role],
                       unit_state_names[unit->unit.state]);
        }
        const struct sim_unit *process = process_of(world, unit);
        serving += process != NULL && process->dead_ms == 0;
    }
    if (serving != wanted->units || balancer->steering.count != wanted->units ||
        balancer->steering.rule != 1) {
        world_fail(world, "%s: %u units serve, %zu are in DNS, %u are wanted", wanted->name,
                   serving, balancer->steering.count, wanted->units);
    }
}

void world_check_settled(struct world *world)
{
    for (size_t i = 0; i < world->balancer_count; i++) {
        check_balancer(world, &world->balancers[i]);
    }
    for (size_t n = 0; n < world->node_count; n++) {
        for (size_t i = 0; i < world->nodes[n].unit_count; i++) {
            if (table_find(&world->cluster->units, world->nodes[n].units[i].id) == NULL) {
                world_fail(world, "unit %lu runs on %s and nobody wants it",
                           (unsigned long)world->nodes[n].units[i].id, world->nodes[n].name);
            }
        }
    }
}
