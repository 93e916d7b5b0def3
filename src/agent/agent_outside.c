// SPDX-License-Identifier: Apache-2.0
// Which targets lie outside: neither in a project's subnet nor in the front subnet. They are
// reached through the machine, so they need masquerading. A project's subnet is nowhere but in its
// own namespace: to units of other projects it is closed, and nothing for it may leave the machine.
#include <inttypes.h>

#include "agent/agent_state.h"
#include "model/snapshot.h"

static bool list_equal(const struct addr *a, size_t a_count, const struct addr *b, size_t b_count)
{
    bool equal = a_count == b_count;
    for (size_t i = 0; equal && i < a_count; i++) {
        equal = addr_equal(&a[i], &b[i]);
    }
    return equal;
}

static bool in_a_network(const struct desired *desired, const struct addr *address)
{
    for (size_t i = 0; i < desired->network_count; i++) {
        if (prefix_contains(&desired->networks[i].subnet, address)) {
            return true;
        }
    }
    return prefix_contains(&desired->front.subnet, address);
}

static size_t list_outside(const struct snapshot *snapshot, const struct desired *desired,
                           struct addr *list, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->target_group_count; i++) {
        const struct snapshot_target_group *group = &snapshot->target_groups[i];
        for (size_t j = 0; j < group->target_count; j++) {
            struct addr address = group->targets[j].address;
            if (in_a_network(desired, &address)) {
                continue;
            }
            address.port = 0; // the way there is the same
            if (count < room) {
                list[count] = address;
            }
            count++;
        }
    }
    return count;
}

// True when the unit's list changed.
static bool unit_update(struct agent_unit *unit, const struct desired *desired,
                        const struct desired_unit *wanted)
{
    if (unit->outside_known && unit->outside_version == wanted->snapshot_version) {
        return false;
    }
    unit->outside_known = true;
    unit->outside_version = wanted->snapshot_version;
    struct arena arena;
    arena_init(&arena, 16384);
    struct snapshot *snapshot;
    bool changed = false;
    // One that cannot be read is the unit's to refuse.
    if (snapshot_parse(str_of(wanted->snapshot), &arena, &snapshot, NULL) == 0) {
        size_t count = list_outside(snapshot, desired, NULL, 0);
        struct addr *list = calloc(count + 1, sizeof(*list));
        if (list != NULL) {
            list_outside(snapshot, desired, list, count);
            changed = !list_equal(list, count, unit->outside, unit->outside_count);
            free(unit->outside);
            unit->outside = list;
            unit->outside_count = count;
        }
    }
    arena_reset(&arena);
    return changed;
}

// True when the projects' subnets changed: what lies outside is to be looked at again.
static bool closed_update(struct agent *agent, const struct desired *desired)
{
    bool equal = agent->closed != NULL && agent->closed_count == desired->network_count;
    for (size_t i = 0; equal && i < desired->network_count; i++) {
        equal = agent->closed[i].bits == desired->networks[i].subnet.bits &&
                prefix_overlaps(&agent->closed[i], &desired->networks[i].subnet);
    }
    struct prefix *closed = equal ? NULL : calloc(desired->network_count + 1, sizeof(*closed));
    if (closed == NULL) {
        return false;
    }
    for (size_t i = 0; i < desired->network_count; i++) {
        closed[i] = desired->networks[i].subnet;
    }
    free(agent->closed);
    agent->closed = closed;
    agent->closed_count = desired->network_count;
    LIST_FOREACH (&agent->units, link) {
        CONTAINER_OF(link, struct agent_unit, link)->outside_known = false;
    }
    return true;
}

bool outside_update(struct agent *agent)
{
    const struct desired *desired = agent->document->desired;
    bool any = false, changed = closed_update(agent, desired);
    for (size_t i = 0; i < desired->unit_count; i++) {
        struct agent_unit *unit = agent_get_unit(agent, desired->units[i].id);
        if (unit != NULL) {
            changed |= unit_update(unit, desired, &desired->units[i]);
            any |= unit->outside_count > 0;
        }
    }
    if (changed && any) {
        agent->outside.presence = PRESENCE_BROKEN;
    }
    return any;
}

struct addr *outside_collect(const struct agent *agent, size_t *ret_count)
{
    size_t room = 0, count = 0;
    LIST_FOREACH (&agent->units, link) {
        room += CONTAINER_OF(link, struct agent_unit, link)->outside_count;
    }
    struct addr *list = calloc(room + 1, sizeof(*list));
    if (list == NULL) {
        return NULL;
    }
    LIST_FOREACH (&agent->units, link) {
        const struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        for (size_t i = 0; i < unit->outside_count; i++) {
            bool known = false;
            for (size_t j = 0; j < count && !known; j++) {
                known = addr_equal(&list[j], &unit->outside[i]);
            }
            if (!known) {
                list[count++] = unit->outside[i];
            }
        }
    }
    *ret_count = count;
    return list;
}

struct prefix *outside_copy_closed(const struct agent *agent)
{
    struct prefix *copy = calloc(agent->closed_count + 1, sizeof(*copy));
    if (copy != NULL && agent->closed_count > 0) {
        memcpy(copy, agent->closed, agent->closed_count * sizeof(*copy));
    }
    return copy;
}
