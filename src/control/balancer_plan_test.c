// SPDX-License-Identifier: Apache-2.0
#include "control/balancer_plan.h"

#include <string.h>

#include "base/test.h"

enum { UNITS_MAX = 8, NOW_MS = 1000000 };

static struct failover_settings settings;
static struct unit units[UNITS_MAX];
static struct failover_unit seen[UNITS_MAX];
static struct plan_input input;
static struct plan plan;

static int set_up(void **state)
{
    failover_settings_defaults(&settings);
    memset(units, 0, sizeof(units));
    memset(seen, 0, sizeof(seen));
    input = (struct plan_input){.units = seen, .wanted = 2, .replacements_left = 5};
    return 0;
}

static size_t add(enum unit_state state, enum evidence evidence, uint64_t replaces)
{
    size_t at = input.unit_count++;
    units[at] = (struct unit){.id = at + 1,
                              .state = state,
                              .role = replaces != 0 ? UNIT_REPLACEMENT : UNIT_PRIMARY,
                              .replaces = replaces};
    seen[at] = (struct failover_unit){.unit = &units[at],
                                      .evidence = evidence,
                                      .evidence_at_ms = NOW_MS,
                                      .state_at_ms = NOW_MS,
                                      .said = ""};
    return at;
}

static void make_plan(uint64_t after_ms)
{
    plan_balancer(&input, &settings, NOW_MS + after_ms, &plan);
}

static const struct plan_action *find(enum plan_action_kind kind, size_t unit)
{
    for (size_t i = 0; i < plan.action_count; i++) {
        if (plan.actions[i].kind == kind && plan.actions[i].unit == unit) {
            return &plan.actions[i];
        }
    }
    return NULL;
}

static void assert_move(size_t unit, enum unit_state to, uint32_t step)
{
    const struct plan_action *action = find(PLAN_MOVE, unit);
    assert_non_null(action);
    assert_int_equal(action->state, to);
    assert_int_equal(action->step, step);
}

static void what_is_well_is_left_alone(void **state)
{
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    add(UNIT_SERVING, EVIDENCE_SUSPECT, 0);
    make_plan(0);
    assert_int_equal(plan.action_count, 0);
    assert_true(plan.check_ms == UINT64_MAX);
}

static void a_new_load_balancer_gets_its_units(void **state)
{
    make_plan(0);
    assert_int_equal(plan.action_count, 2);
    assert_int_equal(plan.actions[0].kind, PLAN_CREATE);
    assert_int_equal(plan.actions[0].role, UNIT_PRIMARY);
}

static void a_dead_unit_is_found_and_replaced_in_one_plan(void **state)
{
    size_t dead = add(UNIT_SERVING, EVIDENCE_FAILED, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    make_plan(0);
    assert_move(dead, UNIT_FAILED, 1);
    const struct plan_action *action = find(PLAN_CREATE, dead);
    assert_non_null(action);
    assert_int_equal(action->role, UNIT_REPLACEMENT);
    assert_int_equal(action->step, 2);
    assert_int_equal(plan.action_count, 2);
}

static void a_unit_dead_past_the_threshold_is_deleted_and_its_replacement_stays(void **state)
{
    size_t dead = add(UNIT_FAILED, EVIDENCE_FAILED, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t replacement = add(UNIT_SERVING, EVIDENCE_SERVING, 1);
    make_plan(settings.failure_threshold_ms - 1);
    assert_int_equal(plan.action_count, 0);
    assert_int_equal(plan.check_ms, NOW_MS + settings.failure_threshold_ms);
    make_plan(settings.failure_threshold_ms);
    assert_move(dead, UNIT_DELETING, 4);
    assert_non_null(find(PLAN_PROMOTE, replacement));
    assert_int_equal(plan.action_count, 2);
}

static void no_unit_is_deleted_before_its_replacement_serves(void **state)
{
    add(UNIT_FAILED, EVIDENCE_LOST, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    add(UNIT_STARTING, EVIDENCE_STARTING, 1);
    settings.start_timeout_ms = UINT32_MAX;
    make_plan(10 * settings.failure_threshold_ms);
    assert_int_equal(plan.action_count, 0);
}

static void a_unit_that_returns_has_its_replacement_recycled(void **state)
{
    size_t returned = add(UNIT_FAILED, EVIDENCE_SERVING, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t replacement = add(UNIT_SERVING, EVIDENCE_SERVING, 1);
    make_plan(settings.stable_ms);
    assert_move(returned, UNIT_SERVING, 5);
    assert_move(replacement, UNIT_LEAVING, 5);
}

static void a_unit_that_returns_first_ends_a_replacement_that_only_starts(void **state)
{
    size_t returned = add(UNIT_FAILED, EVIDENCE_SERVING, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t replacement = add(UNIT_STARTING, EVIDENCE_STARTING, 1);
    make_plan(settings.stable_ms);
    assert_move(returned, UNIT_SERVING, 5);
    assert_move(replacement, UNIT_DELETING, 5);
}

static void a_replacement_that_fails_is_made_anew_after_a_wait(void **state)
{
    add(UNIT_FAILED, EVIDENCE_FAILED, 0);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t replacement = add(UNIT_FAILED, EVIDENCE_FAILED, 1);
    make_plan(0);
    assert_move(replacement, UNIT_DELETING, 0);
    assert_true(plan.replacement_failed);
    assert_null(find(PLAN_CREATE, 0));
    units[replacement].state = UNIT_DELETING;
    input.replace_not_before_ms = NOW_MS + 4000;
    make_plan(0);
    assert_int_equal(plan.action_count, 0);
    assert_int_equal(plan.check_ms, NOW_MS + 4000);
    make_plan(4000);
    assert_non_null(find(PLAN_CREATE, 0));
}

static void the_budget_holds_replacements_back(void **state)
{
    size_t first = add(UNIT_SERVING, EVIDENCE_LOST, 0);
    size_t second = add(UNIT_SERVING, EVIDENCE_LOST, 0);
    input.replacements_left = 1;
    make_plan(0);
    assert_non_null(find(PLAN_CREATE, first));
    assert_null(find(PLAN_CREATE, second));
    assert_int_equal(plan.held_back, 1);
}

static void surplus_units_go_the_dead_ones_first(void **state)
{
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t dead = add(UNIT_FAILED, EVIDENCE_FAILED, 0);
    size_t replacement = add(UNIT_SERVING, EVIDENCE_SERVING, 2);
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    make_plan(0);
    assert_move(dead, UNIT_DELETING, 0);
    assert_move(replacement, UNIT_LEAVING, 0);
    assert_int_equal(plan.action_count, 2);
}

static void an_orphaned_replacement_becomes_primary(void **state)
{
    add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t replacement = add(UNIT_SERVING, EVIDENCE_SERVING, 77);
    make_plan(0);
    assert_non_null(find(PLAN_PROMOTE, replacement));
    assert_int_equal(plan.action_count, 1);
}

static void a_deleted_load_balancer_ends_when_its_units_are_gone(void **state)
{
    size_t serving = add(UNIT_SERVING, EVIDENCE_SERVING, 0);
    size_t starting = add(UNIT_STARTING, EVIDENCE_STARTING, 0);
    input.deleting = true;
    make_plan(0);
    assert_move(serving, UNIT_DRAINING, 0);
    assert_move(starting, UNIT_DELETING, 0);
    assert_false(plan.finished);
    units[serving].state = UNIT_DELETING;
    units[starting].state = UNIT_DELETING;
    seen[serving].gone = true;
    seen[starting].evidence = EVIDENCE_LOST; // its node is away: its record waits, the user not
    make_plan(0);
    assert_non_null(find(PLAN_REMOVE, serving));
    assert_null(find(PLAN_REMOVE, starting));
    assert_true(plan.finished);
}

#define PLAN_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAN_TEST(what_is_well_is_left_alone),
        PLAN_TEST(a_new_load_balancer_gets_its_units),
        PLAN_TEST(a_dead_unit_is_found_and_replaced_in_one_plan),
        PLAN_TEST(a_unit_dead_past_the_threshold_is_deleted_and_its_replacement_stays),
        PLAN_TEST(no_unit_is_deleted_before_its_replacement_serves),
        PLAN_TEST(a_unit_that_returns_has_its_replacement_recycled),
        PLAN_TEST(a_unit_that_returns_first_ends_a_replacement_that_only_starts),
        PLAN_TEST(a_replacement_that_fails_is_made_anew_after_a_wait),
        PLAN_TEST(the_budget_holds_replacements_back),
        PLAN_TEST(surplus_units_go_the_dead_ones_first),
        PLAN_TEST(an_orphaned_replacement_becomes_primary),
        PLAN_TEST(a_deleted_load_balancer_ends_when_its_units_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
