// SPDX-License-Identifier: Apache-2.0
#include "agent/plan.h"

#include <stdio.h>
#include <string.h>

const char *const action_names[] = {
    [ACTION_FRONT_ADD] = "add the front bridge",
    [ACTION_FRONT_REMOVE] = "remove the front bridge",
    [ACTION_OUTSIDE_ADD] = "let units reach targets outside",
    [ACTION_OUTSIDE_REMOVE] = "stop letting units reach targets outside",
    [ACTION_NETWORK_ADD] = "add the network",
    [ACTION_NETWORK_REMOVE] = "remove the network",
    [ACTION_UNIT_NETWORK_ADD] = "add the unit's network",
    [ACTION_UNIT_NETWORK_REMOVE] = "remove the unit's network",
    [ACTION_UNIT_START] = "start the unit",
    [ACTION_UNIT_STOP] = "stop the unit",
    [ACTION_SNAPSHOT_PUSH] = "push the snapshot",
    [ACTION_DRAIN] = "drain the unit",
    NULL,
};

struct planner {
    const struct desired *desired;
    const struct actual *actual;
    uint64_t now_ms;
    struct plan plan;
    // By id, for the search.
    const struct desired_network **networks;
    const struct desired_unit **units;
    const struct actual_network **actual_networks;
    const struct actual_unit **actual_units;
    size_t network_count, unit_count; // of desired
};

// Ids stand first in none of these structs alike, so every kind has its own order.
#define ORDER_BY(name, type, member)                                                      \
    static int name(const void *a, const void *b)                                         \
    {                                                                                     \
        uint64_t left = (*(type *const *)a)->member, right = (*(type *const *)b)->member; \
        return left < right ? -1 : left > right;                                          \
    }
ORDER_BY(desired_network_order, const struct desired_network, project_id)
ORDER_BY(desired_unit_order, const struct desired_unit, id)
ORDER_BY(actual_network_order, const struct actual_network, project_id)
ORDER_BY(actual_unit_order, const struct actual_unit, id)

static const struct desired_network *find_desired_network(const struct planner *planner,
                                                          uint64_t project_id)
{
    const struct desired_network key = {.project_id = project_id}, *at = &key;
    const struct desired_network **found =
        bsearch(&at, planner->networks, planner->network_count, sizeof(at), desired_network_order);
    return found != NULL ? *found : NULL;
}

static const struct desired_unit *find_desired_unit(const struct planner *planner, uint64_t id)
{
    const struct desired_unit key = {.id = id}, *at = &key;
    const struct desired_unit **found =
        bsearch(&at, planner->units, planner->unit_count, sizeof(at), desired_unit_order);
    return found != NULL ? *found : NULL;
}

static const struct actual_network *find_actual_network(const struct planner *planner,
                                                        uint64_t project_id)
{
    const struct actual_network key = {.project_id = project_id}, *at = &key;
    const struct actual_network **found =
        bsearch(&at, planner->actual_networks, planner->actual->network_count, sizeof(at),
                actual_network_order);
    return found != NULL ? *found : NULL;
}

static const struct actual_unit *find_actual_unit(const struct planner *planner, uint64_t id)
{
    const struct actual_unit key = {.id = id}, *at = &key;
    const struct actual_unit **found = bsearch(
        &at, planner->actual_units, planner->actual->unit_count, sizeof(at), actual_unit_order);
    return found != NULL ? *found : NULL;
}

static bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return a->family == b->family && a->bits == b->bits && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

// Plans the action unless its object is busy or waits for its next attempt.
static void propose(struct planner *planner, bool busy, uint64_t retry_at_ms, struct action action)
{
    struct plan *plan = &planner->plan;
    plan->settled = false;
    if (busy) {
        return;
    }
    if (retry_at_ms > planner->now_ms) {
        if (plan->wake_at_ms == 0 || retry_at_ms < plan->wake_at_ms) {
            plan->wake_at_ms = retry_at_ms;
        }
        return;
    }
    plan->actions[plan->action_count++] = action;
}

__attribute__((format(printf, 3, 4))) static void
refuse(struct planner *planner, uint64_t project_id, const char *format, ...)
{
    struct refusal *refusal = &planner->plan.refusals[planner->plan.refusal_count++];
    refusal->project_id = project_id;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
    va_end(arguments);
    planner->plan.settled = false;
}

// A route of the machine's that the subnet would hide, or NULL. The default route gives way to
// everything.
static const struct prefix *find_overlap(const struct planner *planner, const struct prefix *subnet)
{
    const struct actual *actual = planner->actual;
    for (size_t i = 0; i < actual->route_count; i++) {
        if (actual->routes[i].bits > 0 && prefix_overlaps(&actual->routes[i], subnet)) {
            return &actual->routes[i];
        }
    }
    return NULL;
}

static bool front_fits(const struct planner *planner)
{
    const struct actual_front *front = &planner->actual->front;
    const struct desired_front *desired = &planner->desired->front;
    return front->presence == PRESENCE_READY && prefix_equal(&front->subnet, &desired->subnet) &&
           addr_equal(&front->gateway, &desired->gateway);
}

static void plan_front(struct planner *planner)
{
    const struct actual_front *front = &planner->actual->front;
    if (front_fits(planner)) {
        return;
    }
    char subnet[ADDR_TEXT_LEN], route[ADDR_TEXT_LEN];
    const struct prefix *overlap = find_overlap(planner, &planner->desired->front.subnet);
    if (overlap != NULL) {
        refuse(planner, 0, "the front subnet %s overlaps this machine's own route to %s",
               prefix_format(&planner->desired->front.subnet, subnet),
               prefix_format(overlap, route));
        return;
    }
    propose(planner, front->busy, front->retry_at_ms, (struct action){ACTION_FRONT_ADD});
}

static bool network_fits(const struct actual_network *actual, const struct desired_network *desired)
{
    return actual != NULL && actual->presence == PRESENCE_READY &&
           prefix_equal(&actual->subnet, &desired->subnet) &&
           addr_equal(&actual->gateway, &desired->gateway);
}

static void plan_network(struct planner *planner, const struct desired_network *desired)
{
    const struct actual_network *actual = find_actual_network(planner, desired->project_id);
    if (network_fits(actual, desired)) {
        return;
    }
    char subnet[ADDR_TEXT_LEN], other[ADDR_TEXT_LEN];
    const struct prefix *overlap = find_overlap(planner, &desired->subnet);
    if (overlap != NULL) {
        refuse(planner, desired->project_id,
               "the subnet %s overlaps this machine's own route to %s",
               prefix_format(&desired->subnet, subnet), prefix_format(overlap, other));
        return;
    }
    if (prefix_overlaps(&desired->subnet, &planner->desired->front.subnet)) {
        refuse(planner, desired->project_id, "the subnet %s overlaps the front subnet %s",
               prefix_format(&desired->subnet, subnet),
               prefix_format(&planner->desired->front.subnet, other));
        return;
    }
    propose(planner, actual != NULL && actual->busy, actual != NULL ? actual->retry_at_ms : 0,
            (struct action){ACTION_NETWORK_ADD, desired->project_id, .network = desired});
}

// A unit's network that stands on others which are not there yet only waits: they are planned
// themselves.
static bool unit_ground_ready(struct planner *planner, const struct desired_unit *desired)
{
    const struct desired_network *network = find_desired_network(planner, desired->project_id);
    const struct actual_network *actual = find_actual_network(planner, desired->project_id);
    return network != NULL && network_fits(actual, network) && !actual->busy &&
           front_fits(planner) && !planner->actual->front.busy;
}

static bool unit_network_fits(const struct actual_unit *actual, const struct desired_unit *desired)
{
    return actual->network == PRESENCE_READY && actual->project_id == desired->project_id &&
           addr_equal(&actual->front, &desired->front) && addr_equal(&actual->back, &desired->back);
}

static void plan_unit_running(struct planner *planner, const struct desired_unit *desired,
                              const struct actual_unit *actual)
{
    if (!actual->control_open) {
        planner->plan.settled = false;
    } else if (desired->draining) {
        if (!actual->drain_sent) {
            propose(planner, actual->busy, 0,
                    (struct action){ACTION_DRAIN, desired->id, .unit = desired});
        }
    } else if (actual->snapshot_version != desired->snapshot_version) {
        propose(planner, actual->busy, 0,
                (struct action){ACTION_SNAPSHOT_PUSH, desired->id, .unit = desired});
    } else if (actual->serving_version != desired->snapshot_version) {
        planner->plan.settled = false; // on its way, or refused
    }
}

static void plan_unit(struct planner *planner, const struct desired_unit *desired)
{
    static const struct actual_unit nothing;
    const struct actual_unit *actual = find_actual_unit(planner, desired->id);
    if (actual == NULL) {
        actual = &nothing;
    }
    if (actual->busy) {
        planner->plan.settled = false;
        return;
    }
    struct action action = {.id = desired->id, .unit = desired};
    bool ended = actual->process != UNIT_PROCESS_RUNNING;
    if (desired->draining && ended) {
        // Drained, or it died on the way: never started again.
        if (actual->process == UNIT_PROCESS_LEFT) {
            action.kind = ACTION_UNIT_STOP;
            propose(planner, false, actual->retry_at_ms, action);
        }
        return;
    }
    if (planner->actual->networked && !unit_network_fits(actual, desired)) {
        if (!ended) {
            action.kind = ACTION_UNIT_STOP;
        } else if (unit_ground_ready(planner, desired)) {
            action.kind = ACTION_UNIT_NETWORK_ADD;
        } else {
            planner->plan.settled = false;
            return;
        }
        propose(planner, false, actual->retry_at_ms, action);
        return;
    }
    if (ended) {
        action.kind = ACTION_UNIT_START;
        propose(planner, false, actual->retry_at_ms, action);
        return;
    }
    plan_unit_running(planner, desired, actual);
}

// Of what nobody wants any more: units first, then the networks they stood on.
static void plan_unit_removal(struct planner *planner, const struct actual_unit *actual)
{
    struct action action = {.id = actual->id};
    if (actual->process != UNIT_PROCESS_NONE) {
        action.kind = ACTION_UNIT_STOP;
    } else if (actual->network != PRESENCE_NONE) {
        action.kind = ACTION_UNIT_NETWORK_REMOVE;
    } else {
        planner->plan.settled &= !actual->busy;
        return;
    }
    propose(planner, actual->busy, actual->retry_at_ms, action);
}

static bool network_in_use(const struct planner *planner, uint64_t project_id)
{
    for (size_t i = 0; i < planner->actual->unit_count; i++) {
        const struct actual_unit *unit = &planner->actual->units[i];
        if (unit->project_id == project_id && (unit->network != PRESENCE_NONE || unit->busy)) {
            return true;
        }
    }
    return false;
}

static void plan_removals(struct planner *planner)
{
    const struct actual *actual = planner->actual;
    for (size_t i = 0; i < actual->unit_count; i++) {
        if (find_desired_unit(planner, actual->units[i].id) == NULL) {
            plan_unit_removal(planner, &actual->units[i]);
        }
    }
    if (!actual->networked) {
        return;
    }
    for (size_t i = 0; i < actual->network_count; i++) {
        const struct actual_network *network = &actual->networks[i];
        if (network->presence != PRESENCE_NONE &&
            find_desired_network(planner, network->project_id) == NULL) {
            propose(planner, network->busy || network_in_use(planner, network->project_id),
                    network->retry_at_ms,
                    (struct action){ACTION_NETWORK_REMOVE, network->project_id});
        }
    }
    bool empty = true;
    for (size_t i = 0; i < actual->unit_count; i++) {
        empty &= actual->units[i].network == PRESENCE_NONE && !actual->units[i].busy;
    }
    if (planner->desired == NULL && actual->front.presence != PRESENCE_NONE) {
        propose(planner, actual->front.busy || !empty, actual->front.retry_at_ms,
                (struct action){ACTION_FRONT_REMOVE});
    }
}

static void plan_outside(struct planner *planner, bool wanted)
{
    const struct actual_outside *outside = &planner->actual->outside;
    if (wanted && outside->presence != PRESENCE_READY && front_fits(planner)) {
        propose(planner, outside->busy, outside->retry_at_ms, (struct action){ACTION_OUTSIDE_ADD});
    } else if (!wanted && outside->presence != PRESENCE_NONE) {
        propose(planner, outside->busy, outside->retry_at_ms,
                (struct action){ACTION_OUTSIDE_REMOVE});
    }
}

static int planner_init(struct planner *planner, struct arena *arena)
{
    const struct desired *desired = planner->desired;
    const struct actual *actual = planner->actual;
    planner->network_count = desired != NULL ? desired->network_count : 0;
    planner->unit_count = desired != NULL ? desired->unit_count : 0;
    planner->networks =
        arena_array(arena, const struct desired_network *, planner->network_count + 1);
    planner->units = arena_array(arena, const struct desired_unit *, planner->unit_count + 1);
    planner->actual_networks =
        arena_array(arena, const struct actual_network *, actual->network_count + 1);
    planner->actual_units = arena_array(arena, const struct actual_unit *, actual->unit_count + 1);
    // At most one action an object, and two objects that are always there.
    size_t actions = planner->network_count + planner->unit_count + actual->network_count +
                     actual->unit_count + 2;
    planner->plan.actions = arena_array(arena, struct action, actions);
    planner->plan.refusals = arena_array(arena, struct refusal, planner->network_count + 1);
    if (planner->networks == NULL || planner->units == NULL || planner->actual_networks == NULL ||
        planner->actual_units == NULL || planner->plan.actions == NULL ||
        planner->plan.refusals == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < planner->network_count; i++) {
        planner->networks[i] = &desired->networks[i];
    }
    for (size_t i = 0; i < planner->unit_count; i++) {
        planner->units[i] = &desired->units[i];
    }
    for (size_t i = 0; i < actual->network_count; i++) {
        planner->actual_networks[i] = &actual->networks[i];
    }
    for (size_t i = 0; i < actual->unit_count; i++) {
        planner->actual_units[i] = &actual->units[i];
    }
    qsort(planner->networks, planner->network_count, sizeof(void *), desired_network_order);
    qsort(planner->units, planner->unit_count, sizeof(void *), desired_unit_order);
    qsort(planner->actual_networks, actual->network_count, sizeof(void *), actual_network_order);
    qsort(planner->actual_units, actual->unit_count, sizeof(void *), actual_unit_order);
    return 0;
}

int plan_make(const struct desired *desired, bool outside, const struct actual *actual,
              uint64_t now_ms, struct arena *arena, struct plan *ret_plan)
{
    struct planner planner = {.desired = desired, .actual = actual, .now_ms = now_ms};
    planner.plan.settled = true;
    int result = planner_init(&planner, arena);
    if (result < 0) {
        return result;
    }
    if (desired != NULL && actual->networked) {
        plan_front(&planner);
        for (size_t i = 0; i < desired->network_count; i++) {
            plan_network(&planner, &desired->networks[i]);
        }
    }
    for (size_t i = 0; desired != NULL && i < desired->unit_count; i++) {
        plan_unit(&planner, &desired->units[i]);
    }
    if (actual->networked) {
        plan_outside(&planner, desired != NULL && outside);
    }
    plan_removals(&planner);
    *ret_plan = planner.plan;
    return 0;
}

// first_ms doubled for every failure after the first, at most 30 s.
static uint64_t back_off_ms(uint64_t first_ms, unsigned failures)
{
    enum { LONGEST_MS = 30000 };
    uint64_t delay_ms = first_ms;
    for (unsigned i = 1; i < failures && delay_ms < LONGEST_MS; i++) {
        delay_ms *= 2;
    }
    return MIN(delay_ms, LONGEST_MS);
}

uint64_t plan_retry_delay_ms(unsigned failures)
{
    return back_off_ms(200, failures);
}

uint64_t plan_restart_delay_ms(unsigned crashes)
{
    return back_off_ms(1000, crashes);
}
