// SPDX-License-Identifier: Apache-2.0
#include "control/failover.h"

#include "base/test.h"

static struct failover_settings settings;

static int set_up(void **state)
{
    failover_settings_defaults(&settings);
    return 0;
}

static struct witness healthy(void)
{
    return (struct witness){.node_heard = true,
                            .known = true,
                            .applied = true,
                            .state = OBSERVED_UNIT_SERVING,
                            .probe_answered = true};
}

// ── Evidence ─────────────────────────────────────────────────────────────────────────────────

static void a_killed_agent_harms_no_unit_that_answers(void **state)
{
    struct witness witness = healthy();
    witness.node_missing = true;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_SERVING);
    witness.probe_failures = 1;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_SUSPECT);
    witness.probe_failures = PROBE_FAILURES;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_LOST);
    witness.probe_answered = false;
    witness.probe_failures = 0;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_LOST);
}

static void a_hung_unit_is_found_by_two_probes(void **state)
{
    struct witness witness = healthy();
    witness.probe_failures = 1;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_SUSPECT);
    witness.probe_failures = 2;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_UNREACHABLE);
}

static void probes_that_never_arrive_accuse_nobody(void **state)
{
    struct witness witness = healthy();
    witness.probe_answered = false;
    witness.probe_failures = 100;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_SERVING);
    witness.neighbour_answers = true; // but the way there is good
    assert_int_equal(evidence_judge(&witness), EVIDENCE_UNREACHABLE);
    witness.probes_blind = true;
    assert_true(evidence_is_serving(evidence_judge(&witness)));
}

static void a_controller_that_just_started_knows_nothing(void **state)
{
    struct witness witness = {0};
    assert_int_equal(evidence_judge(&witness), EVIDENCE_UNKNOWN);
}

static void an_agent_that_just_started_does_not_lose_its_units(void **state)
{
    struct witness witness = healthy();
    witness.known = false;
    witness.applied = false; // its report is of no generation
    assert_int_equal(evidence_judge(&witness), EVIDENCE_UNKNOWN);
    witness.applied = true;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_ABSENT);
    // It finds the process and asks it: the same one that served before.
    witness.known = true;
    witness.state = OBSERVED_UNIT_STARTING;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_STARTING);
    witness.was_serving = true;
    assert_int_equal(evidence_judge(&witness), EVIDENCE_SERVING);
}

// ── Moves ────────────────────────────────────────────────────────────────────────────────────

static enum unit_state next(enum unit_state from, enum evidence evidence, uint64_t since_ms,
                            uint32_t flaps, uint64_t *ret_check_ms)
{
    struct unit unit = {.state = from};
    struct failover_unit seen = {.unit = &unit,
                                 .evidence = evidence,
                                 .evidence_at_ms = 1000,
                                 .state_at_ms = 1000,
                                 .flaps = flaps,
                                 .said = ""};
    const char *why = "";
    *ret_check_ms = UINT64_MAX;
    enum unit_state to = failover_next(&seen, &settings, 1000 + since_ms, &why, ret_check_ms);
    if (to != from) {
        assert_true(failover_move_allowed(from, to));
        assert_true(why[0] != '\0');
    }
    return to;
}

static void every_death_of_a_serving_unit_is_a_failure(void **state)
{
    uint64_t check_ms;
    for (enum evidence evidence = EVIDENCE_UNKNOWN; evidence <= EVIDENCE_LOST; evidence++) {
        bool lives = evidence_is_serving(evidence) || evidence == EVIDENCE_UNKNOWN;
        assert_int_equal(next(UNIT_SERVING, evidence, 0, 0, &check_ms),
                         lives ? UNIT_SERVING : UNIT_FAILED);
    }
}

static void a_unit_that_never_serves_fails_in_time(void **state)
{
    uint64_t check_ms;
    assert_int_equal(next(UNIT_STARTING, EVIDENCE_STARTING, 100, 0, &check_ms), UNIT_STARTING);
    assert_int_equal(check_ms, 1000 + settings.start_timeout_ms);
    assert_int_equal(
        next(UNIT_STARTING, EVIDENCE_STARTING, settings.start_timeout_ms, 0, &check_ms),
        UNIT_FAILED);
    assert_int_equal(next(UNIT_STARTING, EVIDENCE_FAILED, 100, 0, &check_ms), UNIT_FAILED);
    assert_int_equal(next(UNIT_STARTING, EVIDENCE_SERVING, 100, 0, &check_ms), UNIT_SERVING);
}

static void a_returned_unit_must_stay_before_it_is_believed(void **state)
{
    uint64_t check_ms;
    assert_int_equal(next(UNIT_FAILED, EVIDENCE_SERVING, 4999, 0, &check_ms), UNIT_FAILED);
    assert_int_equal(check_ms, 6000);
    assert_int_equal(next(UNIT_FAILED, EVIDENCE_SERVING, 5000, 0, &check_ms), UNIT_SERVING);
    assert_int_equal(next(UNIT_FAILED, EVIDENCE_SERVING, 5000, 1, &check_ms), UNIT_FAILED);
    assert_int_equal(next(UNIT_FAILED, EVIDENCE_SERVING, 10000, 1, &check_ms), UNIT_SERVING);
    assert_int_equal(failover_stable_ms(&settings, 4000000000U), settings.failure_threshold_ms);
}

static void a_leaving_unit_serves_one_ttl_more_then_drains(void **state)
{
    uint64_t check_ms;
    assert_int_equal(next(UNIT_LEAVING, EVIDENCE_SERVING, 100, 0, &check_ms), UNIT_LEAVING);
    assert_int_equal(next(UNIT_LEAVING, EVIDENCE_SERVING, settings.leave_ms, 0, &check_ms),
                     UNIT_DRAINING);
    assert_int_equal(next(UNIT_LEAVING, EVIDENCE_FAILED, 100, 0, &check_ms), UNIT_DELETING);
    assert_int_equal(next(UNIT_DRAINING, EVIDENCE_DRAINING, 100, 0, &check_ms), UNIT_DRAINING);
    assert_int_equal(next(UNIT_DRAINING, EVIDENCE_STOPPED, 100, 0, &check_ms), UNIT_DELETING);
    assert_int_equal(next(UNIT_DRAINING, EVIDENCE_DRAINING, settings.drain_ms, 0, &check_ms),
                     UNIT_DELETING);
}

static void the_budget_grows_with_the_cluster(void **state)
{
    assert_int_equal(failover_budget(&settings, 0), 5);
    assert_int_equal(failover_budget(&settings, 16), 5);
    assert_int_equal(failover_budget(&settings, 100), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_agent_harms_no_unit_that_answers),
        cmocka_unit_test(a_hung_unit_is_found_by_two_probes),
        cmocka_unit_test(probes_that_never_arrive_accuse_nobody),
        cmocka_unit_test(a_controller_that_just_started_knows_nothing),
        cmocka_unit_test(an_agent_that_just_started_does_not_lose_its_units),
        cmocka_unit_test(every_death_of_a_serving_unit_is_a_failure),
        cmocka_unit_test(a_unit_that_never_serves_fails_in_time),
        cmocka_unit_test(a_returned_unit_must_stay_before_it_is_believed),
        cmocka_unit_test(a_leaving_unit_serves_one_ttl_more_then_drains),
        cmocka_unit_test(the_budget_grows_with_the_cluster),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
