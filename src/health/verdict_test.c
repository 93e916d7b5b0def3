// SPDX-License-Identifier: Apache-2.0
#include "health/verdict.h"

#include "base/test.h"

static const struct health_check check = {.healthy_threshold = 3, .unhealthy_threshold = 2};
static const struct health_result good = {0};
static const struct health_result refused = {HEALTH_CONNECT_REFUSED, 0};
static const struct health_result status_500 = {HEALTH_STATUS, 500};

static void test_first_result_decides_alone(void **state)
{
    struct verdict_state up = {0}, down = {0};
    assert_true(verdict_judge(&up, &check, good));
    assert_int_equal(up.verdict, VERDICT_HEALTHY);
    assert_true(verdict_judge(&down, &check, refused));
    assert_int_equal(down.verdict, VERDICT_UNHEALTHY);
}

static void test_bad_results_in_a_row_make_unhealthy(void **state)
{
    struct verdict_state target = {.verdict = VERDICT_HEALTHY};
    assert_false(verdict_judge(&target, &check, refused));
    assert_false(verdict_judge(&target, &check, good)); // the run is broken
    assert_false(verdict_judge(&target, &check, refused));
    assert_int_equal(target.verdict, VERDICT_HEALTHY);
    assert_true(verdict_judge(&target, &check, status_500));
    assert_int_equal(target.verdict, VERDICT_UNHEALTHY);
    char text[HEALTH_REASON_TEXT_LEN];
    assert_string_equal(health_reason_format(target.reason, text), "status_500");
}

static void test_good_results_in_a_row_make_healthy(void **state)
{
    struct verdict_state target = {.verdict = VERDICT_UNHEALTHY, .reason = refused};
    assert_false(verdict_judge(&target, &check, good));
    assert_false(verdict_judge(&target, &check, good));
    assert_false(verdict_judge(&target, &check, status_500)); // the run is broken
    assert_int_equal(target.reason.reason, HEALTH_STATUS);    // the newest reason
    assert_false(verdict_judge(&target, &check, good));
    assert_false(verdict_judge(&target, &check, good));
    assert_true(verdict_judge(&target, &check, good));
    assert_int_equal(target.verdict, VERDICT_HEALTHY);
    assert_int_equal(target.reason.reason, HEALTH_NONE);
}

static void test_a_lowered_threshold_counts_what_was_seen(void **state)
{
    struct verdict_state target = {.verdict = VERDICT_UNHEALTHY, .reason = refused};
    verdict_judge(&target, &check, good);
    verdict_judge(&target, &check, good);
    struct health_check lower = {.healthy_threshold = 1, .unhealthy_threshold = 1};
    assert_true(verdict_judge(&target, &lower, good));
    assert_true(verdict_judge(&target, &lower, refused));
}

static void test_packs_into_one_word(void **state)
{
    struct verdict_state target = {.verdict = VERDICT_UNHEALTHY, .reason = {HEALTH_STATUS, 999}};
    struct health_result reason;
    assert_int_equal(verdict_unpack(verdict_pack(&target), &reason), VERDICT_UNHEALTHY);
    assert_int_equal(reason.reason, HEALTH_STATUS);
    assert_int_equal(reason.status, 999);
}

static void test_names_errors_of_connect(void **state)
{
    char text[HEALTH_REASON_TEXT_LEN];
    assert_string_equal(health_reason_format(health_result_of_connect(-ECONNREFUSED), text),
                        "connect_refused");
    assert_string_equal(health_reason_format(health_result_of_connect(-ETIMEDOUT), text),
                        "connect_timeout");
    assert_string_equal(health_reason_format(health_result_of_connect(-EHOSTUNREACH), text),
                        "connect_failed");
    assert_string_equal(health_reason_format(good, text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_result_decides_alone),
        cmocka_unit_test(test_bad_results_in_a_row_make_unhealthy),
        cmocka_unit_test(test_good_results_in_a_row_make_healthy),
        cmocka_unit_test(test_a_lowered_threshold_counts_what_was_seen),
        cmocka_unit_test(test_packs_into_one_word),
        cmocka_unit_test(test_names_errors_of_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
