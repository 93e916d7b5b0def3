// SPDX-License-Identifier: Apache-2.0
#include "control/steering.h"

#include "base/test.h"

static struct unit units[4];
static struct failover_unit seen[4];

static void put(size_t at, enum unit_state state, enum evidence evidence)
{
    units[at] = (struct unit){.id = at + 1, .state = state, .front = {.family = 4}};
    units[at].front.ip[3] = (uint8_t)(at + 1);
    seen[at] = (struct failover_unit){.unit = &units[at], .evidence = evidence, .said = ""};
}

static void a_dead_unit_leaves_dns_before_its_record_changes(void **state)
{
    struct steering steering;
    put(0, UNIT_SERVING, EVIDENCE_FAILED);
    put(1, UNIT_SERVING, EVIDENCE_SERVING);
    put(2, UNIT_STARTING, EVIDENCE_SERVING);
    put(3, UNIT_STARTING, EVIDENCE_STARTING);
    steering_choose(seen, 4, false, &steering);
    assert_int_equal(steering.rule, 1);
    assert_int_equal(steering.serving, 2);
    assert_int_equal(steering.count, 2);
    assert_int_equal(steering.addresses[0].ip[3], 2);
    assert_int_equal(steering.addresses[1].ip[3], 3);
}

static void a_returned_unit_is_better_than_none(void **state)
{
    struct steering steering;
    put(0, UNIT_FAILED, EVIDENCE_SERVING);
    put(1, UNIT_FAILED, EVIDENCE_FAILED);
    steering_choose(seen, 2, false, &steering);
    assert_int_equal(steering.rule, 2);
    assert_int_equal(steering.count, 1);
    assert_int_equal(steering.addresses[0].ip[3], 1);
    assert_int_equal(steering.serving, 0);
}

static void the_last_known_stay_when_none_serves(void **state)
{
    struct steering steering;
    put(0, UNIT_SERVING, EVIDENCE_LOST);
    put(1, UNIT_FAILED, EVIDENCE_FAILED);
    put(2, UNIT_STARTING, EVIDENCE_STARTING);
    put(3, UNIT_DELETING, EVIDENCE_SERVING);
    steering_choose(seen, 4, false, &steering);
    assert_int_equal(steering.rule, 3);
    assert_int_equal(steering.count, 2);
    steering_choose(seen, 4, true, &steering);
    assert_int_equal(steering.count, 0);
}

static void a_restarted_controller_keeps_what_it_had(void **state)
{
    struct steering steering;
    put(0, UNIT_SERVING, EVIDENCE_UNKNOWN);
    put(1, UNIT_SERVING, EVIDENCE_UNKNOWN);
    steering_choose(seen, 2, false, &steering);
    assert_int_equal(steering.count, 2);
    assert_int_equal(steering_state(&steering, 2, true, false), LOAD_BALANCER_ACTIVE);
}

static void states_tell_never_served_from_serves_no_more(void **state)
{
    struct steering steering = {0};
    assert_int_equal(steering_state(&steering, 2, false, false), LOAD_BALANCER_PROVISIONING);
    assert_int_equal(steering_state(&steering, 2, true, false), LOAD_BALANCER_FAILED);
    steering.serving = 1;
    assert_int_equal(steering_state(&steering, 2, true, false), LOAD_BALANCER_DEGRADED);
    assert_int_equal(steering_state(&steering, 1, true, true), LOAD_BALANCER_DELETING);
}

static void one_unit_that_sees_a_target_healthy_is_enough(void **state)
{
    struct target_report good = {.verdict = VERDICT_HEALTHY, .reason = ""};
    struct target_report bad = {.verdict = VERDICT_UNHEALTHY, .reason = "connection refused"};
    struct target_report merged = steering_merge(&bad, &good);
    assert_int_equal(merged.verdict, VERDICT_HEALTHY);
    assert_string_equal(merged.reason, "connection refused");
    struct target_report initial = {.verdict = VERDICT_INITIAL, .reason = ""};
    merged = steering_merge(&initial, &bad);
    assert_int_equal(merged.verdict, VERDICT_UNHEALTHY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_unit_leaves_dns_before_its_record_changes),
        cmocka_unit_test(a_returned_unit_is_better_than_none),
        cmocka_unit_test(the_last_known_stay_when_none_serves),
        cmocka_unit_test(a_restarted_controller_keeps_what_it_had),
        cmocka_unit_test(states_tell_never_served_from_serves_no_more),
        cmocka_unit_test(one_unit_that_sees_a_target_healthy_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
