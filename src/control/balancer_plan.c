// SPDX-License-Identifier: Apache-2.0
#include "control/balancer_plan.h"

// What the plan made of each unit so far.
struct outlook {
    enum unit_state state;
    enum unit_role role;
    bool removed;
    size_t partner; // primary ↔ replacement; SIZE_MAX: none
};

struct work {
    const struct plan_input *input;
    const struct failover_settings *settings;
    uint64_t now_ms;
    struct plan *plan;
    struct outlook outlooks[]; // one a unit
};

static struct plan_action *add_action(struct work *work, enum plan_action_kind kind, size_t unit)
{
    struct plan *plan = work->plan;
    if (plan->action_count == PLAN_ACTIONS_MAX) {
        plan->check_ms = work->now_ms;
        return NULL;
    }
    struct plan_action *action = &plan->actions[plan->action_count++];
    *action = (struct plan_action){.kind = kind, .unit = unit, .why = ""};
    return action;
}

static void move_unit(struct work *work, size_t unit, enum unit_state to, uint32_t step,
                      const char *why)
{
    struct plan_action *action = add_action(work, PLAN_MOVE, unit);
    if (action != NULL) {
        action->state = to;
        action->step = step;
        action->why = why;
        work->outlooks[unit].state = to;
    }
}

// Out of service in the gentlest way that its state allows. With a deleted load balancer the whole
// name goes, so nobody comes any more who would have to be waited for.
static void retire_unit(struct work *work, size_t unit, uint32_t step, const char *why)
{
    bool serves = work->outlooks[unit].state == UNIT_SERVING;
    enum unit_state to = !serves                 ? UNIT_DELETING
                         : work->input->deleting ? UNIT_DRAINING
                                                 : UNIT_LEAVING;
    move_unit(work, unit, to, step, why);
}

// 1. Each unit by itself: what its own state and evidence say.
static void plan_moves(struct work *work)
{
    for (size_t i = 0; i < work->input->unit_count; i++) {
        const struct failover_unit *seen = &work->input->units[i];
        struct outlook *outlook = &work->outlooks[i];
        outlook->state = seen->unit->state;
        outlook->role = seen->unit->role;
        outlook->partner = SIZE_MAX;
        if (outlook->state == UNIT_DELETING) {
            if (seen->gone || seen->node_forgotten) {
                struct plan_action *action = add_action(work, PLAN_REMOVE, i);
                if (action != NULL) {
                    action->why = seen->gone ? "its node has removed it" : "its node is forgotten";
                    outlook->removed = true;
                }
            }
            continue;
        }
        const char *why = "";
        enum unit_state next =
            failover_next(seen, work->settings, work->now_ms, &why, &work->plan->check_ms);
        if (work->input->deleting && (next == UNIT_FAILED || next == UNIT_STARTING)) {
            continue; // plan_deletion takes it away
        }
        if (next != outlook->state) {
            uint32_t step = next == UNIT_FAILED ? 1 : outlook->state == UNIT_FAILED ? 5 : 0;
            move_unit(work, i, next, step, why);
        }
    }
}

static void plan_deletion(struct work *work)
{
    work->plan->finished = true;
    for (size_t i = 0; i < work->input->unit_count; i++) {
        if (failover_is_alive(work->outlooks[i].state)) {
            retire_unit(work, i, 0, "its load balancer is deleted");
        } else if (work->outlooks[i].state == UNIT_LEAVING) {
            move_unit(work, i, UNIT_DRAINING, 0, "its load balancer is deleted");
        }
        // A unit on a node that is away is gone for the user; its record waits for the node.
        bool away = work->outlooks[i].state == UNIT_DELETING &&
                    work->input->units[i].evidence == EVIDENCE_LOST;
        if (!work->outlooks[i].removed && !away) {
            work->plan->finished = false;
        }
    }
}

static size_t find_primary_of(const struct work *work, size_t replacement)
{
    uint64_t id = work->input->units[replacement].unit->replaces;
    for (size_t i = 0; i < work->input->unit_count; i++) {
        if (work->input->units[i].unit->id == id && failover_is_alive(work->outlooks[i].state)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void promote_unit(struct work *work, size_t unit, const char *why)
{
    struct plan_action *action = add_action(work, PLAN_PROMOTE, unit);
    if (action != NULL) {
        action->why = why;
        work->outlooks[unit].role = UNIT_PRIMARY;
    }
}

// 2. Replacements that exist: recycled, promoted or given up.
static void plan_replacement(struct work *work, size_t replacement)
{
    struct outlook *outlook = &work->outlooks[replacement];
    size_t primary = find_primary_of(work, replacement);
    if (primary == SIZE_MAX) {
        promote_unit(work, replacement, "the unit that it replaced is gone");
        return;
    }
    if (work->outlooks[primary].state != UNIT_FAILED) {
        retire_unit(work, replacement, 5, "the unit that it replaced serves again");
        return;
    }
    if (outlook->state == UNIT_FAILED) {
        work->plan->replacement_failed = true;
        move_unit(work, replacement, UNIT_DELETING, 0, "a replacement that fails is made anew");
        return;
    }
    if (work->outlooks[primary].partner != SIZE_MAX) {
        retire_unit(work, replacement, 0, "the unit has another replacement");
        return;
    }
    work->outlooks[primary].partner = replacement;
    outlook->partner = primary;
}

// 3. Failed primaries: a replacement at once, the end past the threshold.
static void plan_failed_primary(struct work *work, size_t primary, uint32_t *replacements_left)
{
    const struct failover_unit *seen = &work->input->units[primary];
    const struct failover_settings *settings = work->settings;
    struct plan *plan = work->plan;
    size_t partner = work->outlooks[primary].partner;
    if (partner == SIZE_MAX) {
        if (plan->replacement_failed) {
            plan->check_ms = work->now_ms; // who carries this out knows the wait only then
        } else if (work->now_ms < work->input->replace_not_before_ms) {
            plan->check_ms = MIN(plan->check_ms, work->input->replace_not_before_ms);
        } else if (*replacements_left == 0) {
            plan->held_back++;
        } else {
            struct plan_action *action = add_action(work, PLAN_CREATE, primary);
            if (action != NULL) {
                *action = (struct plan_action){.kind = PLAN_CREATE,
                                               .unit = primary,
                                               .role = UNIT_REPLACEMENT,
                                               .step = 2,
                                               .why = "a failed unit is replaced at once"};
                (*replacements_left)--;
            }
        }
        return;
    }
    if (seen->unit->state != UNIT_FAILED || evidence_is_serving(seen->evidence)) {
        return; // found dead just now, or on its way back
    }
    uint64_t over_ms = seen->state_at_ms + settings->failure_threshold_ms;
    if (work->now_ms < over_ms) {
        plan->check_ms = MIN(plan->check_ms, over_ms);
    } else if (work->outlooks[partner].state == UNIT_SERVING) {
        move_unit(work, primary, UNIT_DELETING, 4, "it stayed dead past the threshold");
        promote_unit(work, partner, "the unit that it replaced was deleted");
    }
}

// The primary that is missed least: failed before starting before serving, then the youngest.
static size_t find_surplus(const struct work *work)
{
    static const int rank[] = {[UNIT_FAILED] = 3, [UNIT_STARTING] = 2, [UNIT_SERVING] = 1};
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < work->input->unit_count; i++) {
        const struct outlook *outlook = &work->outlooks[i];
        if (outlook->role == UNIT_PRIMARY && failover_is_alive(outlook->state) &&
            (found == SIZE_MAX || rank[outlook->state] >= rank[work->outlooks[found].state])) {
            found = i;
        }
    }
    return found;
}

// 4. As many primaries as wanted.
static void plan_count(struct work *work)
{
    uint32_t primaries = 0;
    for (size_t i = 0; i < work->input->unit_count; i++) {
        primaries +=
            work->outlooks[i].role == UNIT_PRIMARY && failover_is_alive(work->outlooks[i].state);
    }
    for (; primaries < work->input->wanted; primaries++) {
        struct plan_action *action = add_action(work, PLAN_CREATE, SIZE_MAX);
        if (action != NULL) {
            action->role = UNIT_PRIMARY;
            action->why = "as many units as wanted";
        }
    }
    for (; primaries > work->input->wanted; primaries--) {
        size_t surplus = find_surplus(work);
        size_t partner = work->outlooks[surplus].partner;
        retire_unit(work, surplus, 0, "fewer units are wanted");
        work->outlooks[surplus].role = UNIT_REPLACEMENT; // counted, even if the plan was full
        if (partner != SIZE_MAX) {
            retire_unit(work, partner, 0, "fewer units are wanted");
        }
    }
}

void plan_balancer(const struct plan_input *input, const struct failover_settings *settings,
                   uint64_t now_ms, struct plan *ret_plan)
{
    *ret_plan = (struct plan){.check_ms = UINT64_MAX};
    struct work *work = calloc(1, sizeof(*work) + input->unit_count * sizeof(work->outlooks[0]));
    if (work == NULL) {
        ret_plan->check_ms = now_ms; // again in the next turn
        return;
    }
    work->input = input;
    work->settings = settings;
    work->now_ms = now_ms;
    work->plan = ret_plan;
    plan_moves(work);
    if (input->deleting) {
        plan_deletion(work);
    } else {
        for (size_t i = 0; i < input->unit_count; i++) {
            if (work->outlooks[i].role == UNIT_REPLACEMENT &&
                failover_is_alive(work->outlooks[i].state)) {
                plan_replacement(work, i);
            }
        }
        plan_count(work);
        uint32_t left = input->replacements_left;
        for (size_t i = 0; i < input->unit_count; i++) {
            if (work->outlooks[i].role == UNIT_PRIMARY && work->outlooks[i].state == UNIT_FAILED) {
                plan_failed_primary(work, i, &left);
            }
        }
    }
    free(work);
}
