// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

enum { MANY = 1000 };

static bool by_array(const void *context, uint32_t index)
{
    return ((const bool *)context)[index];
}

static bool everyone(const void *context, uint32_t index)
{
    return true;
}

static bool nobody(const void *context, uint32_t index)
{
    return false;
}

static struct balancer *balancer_of(const struct balancer_ops *ops,
                                    const struct balancer_member *members, uint32_t count,
                                    uint32_t start)
{
    struct balancer *balancer;
    assert_int_equal(balancer_new(ops, members, count, start, &balancer), 0);
    balancer_update(balancer, everyone, NULL);
    return balancer;
}

static void assert_choices(struct balancer *balancer, const char *expected)
{
    for (const char *at = expected; *at != '\0'; at++) {
        int64_t chosen = balancer_choose(balancer, NULL, 0);
        assert_int_equal(chosen, *at - 'a');
        balancer_release(balancer, (uint32_t)chosen);
    }
}

static void test_equal_weights_take_turns_from_start(void **state)
{
    struct balancer_member members[3] = {{1}, {1}, {1}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 3, 0);
    assert_choices(balancer, "abcabcabc");
    balancer_free(balancer);
    balancer = balancer_of(&balancer_round_robin, members, 3, 2);
    assert_choices(balancer, "cabcab");
    balancer_free(balancer);
    balancer = balancer_of(&balancer_least_outstanding, members, 3, 1);
    assert_choices(balancer, "bcabca");
    balancer_free(balancer);
}

static void test_weights_are_exact_in_a_cycle_and_spread(void **state)
{
    struct balancer_member members[3] = {{5}, {1}, {1}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 3, 0);
    for (int cycle = 0; cycle < 1000; cycle++) {
        unsigned count[3] = {0}, run = 0, longest = 0;
        for (int i = 0; i < 7; i++) {
            int64_t chosen = balancer_choose(balancer, NULL, 0);
            count[chosen]++;
            run = chosen == 0 ? run + 1 : 0;
            longest = MAX(longest, run);
        }
        assert_int_equal(count[0], 5);
        assert_int_equal(count[1], 1);
        assert_int_equal(count[2], 1);
        assert_true(longest <= 3);
    }
    balancer_free(balancer);
}

static void test_large_weights_keep_their_share(void **state)
{
    struct balancer_member members[3] = {{1000}, {7}, {333}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 3, 0);
    unsigned count[3] = {0};
    for (int i = 0; i < 1340 * 100; i++) {
        count[balancer_choose(balancer, NULL, 0)]++;
    }
    assert_in_range(count[0], 100000 - 2, 100000 + 2);
    assert_in_range(count[1], 700 - 2, 700 + 2);
    assert_in_range(count[2], 33300 - 2, 33300 + 2);
    balancer_free(balancer);
}

static void test_weight_zero_and_draining_get_nothing_even_when_failing_open(void **state)
{
    struct balancer_member members[4] = {{0}, {1}, {1, true}, {1}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 4, 0);
    assert_choices(balancer, "bdbd");
    balancer_update(balancer, nobody, NULL);
    assert_true(balancer_fails_open(balancer));
    assert_choices(balancer, "bdbd");
    balancer_free(balancer);
}

static void test_nobody_usable_is_nobody(void **state)
{
    struct balancer_member members[2] = {{0}, {1, true}};
    struct balancer *balancer = balancer_of(&balancer_least_outstanding, members, 2, 0);
    assert_int_equal(balancer_choose(balancer, NULL, 0), -1);
    balancer_free(balancer);
    balancer = balancer_of(&balancer_round_robin, NULL, 0, 0);
    assert_int_equal(balancer_choose(balancer, NULL, 0), -1);
    balancer_free(balancer);
}

static void test_unhealthy_is_left_out_and_returns_without_a_burst(void **state)
{
    struct balancer_member members[3] = {{1}, {1}, {1}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 3, 0);
    bool healthy[3] = {true, false, true};
    assert_choices(balancer, "abc");
    balancer_update(balancer, by_array, healthy);
    assert_false(balancer_fails_open(balancer));
    assert_choices(balancer, "acacacacac");
    healthy[1] = true;
    balancer_update(balancer, by_array, healthy);
    unsigned count[3] = {0};
    for (int i = 0; i < 9; i++) {
        count[balancer_choose(balancer, NULL, 0)]++;
    }
    assert_in_range(count[1], 3, 4);
    balancer_free(balancer);
}

static void test_tried_targets_are_not_chosen_again(void **state)
{
    struct balancer_member members[3] = {{100}, {1}, {1}};
    struct balancer *balancer = balancer_of(&balancer_round_robin, members, 3, 0);
    uint32_t tried[3];
    for (uint32_t i = 0; i < 3; i++) {
        int64_t chosen = balancer_choose(balancer, tried, i);
        assert_true(chosen >= 0);
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(chosen, tried[j]);
        }
        tried[i] = (uint32_t)chosen;
    }
    assert_int_equal(balancer_choose(balancer, tried, 3), -1);
    assert_true(balancer_choose(balancer, NULL, 0) >= 0);
    balancer_free(balancer);
}

static void test_least_outstanding_evens_out_the_load(void **state)
{
    struct balancer_member members[3] = {{1}, {1}, {2}};
    struct balancer *balancer = balancer_of(&balancer_least_outstanding, members, 3, 0);
    for (int i = 0; i < 40; i++) {
        balancer_choose(balancer, NULL, 0);
    }
    assert_int_equal(balancer_outstanding(balancer, 0), 10);
    assert_int_equal(balancer_outstanding(balancer, 1), 10);
    assert_int_equal(balancer_outstanding(balancer, 2), 20);
    for (int i = 0; i < 4; i++) {
        balancer_release(balancer, 1);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(balancer_choose(balancer, NULL, 0), 1);
    }
    balancer_free(balancer);
}

static void test_release_without_choice_is_harmless(void **state)
{
    struct balancer_member members[1] = {{1}};
    struct balancer *balancer = balancer_of(&balancer_least_outstanding, members, 1, 0);
    balancer_release(balancer, 0);
    assert_int_equal(balancer_outstanding(balancer, 0), 0);
    balancer_count(balancer, 0);
    assert_int_equal(balancer_outstanding(balancer, 0), 1);
    balancer_free(balancer);
}

// Random verdicts, choices and releases: a choice is always one of those it may be, and always one
// of the least loaded.
static void test_thousand_targets_against_a_plain_search(void **state)
{
    struct balancer_member members[MANY];
    bool healthy[MANY];
    struct random_state random;
    random_seed(&random, 7);
    for (int i = 0; i < MANY; i++) {
        members[i] = (struct balancer_member){(uint32_t)random_below(&random, 4),
                                              random_below(&random, 10) == 0};
        healthy[i] = random_below(&random, 4) > 0;
    }
    struct balancer *balancer;
    assert_int_equal(balancer_new(&balancer_least_outstanding, members, MANY, 17, &balancer), 0);
    balancer_update(balancer, by_array, healthy);
    for (int i = 0; i < 20000; i++) {
        if (i % 1000 == 0) {
            uint32_t flipped = (uint32_t)random_below(&random, MANY);
            healthy[flipped] = !healthy[flipped];
            balancer_update(balancer, by_array, healthy);
        }
        uint64_t least = UINT64_MAX;
        for (uint32_t j = 0; j < MANY && i % 50 == 0; j++) {
            if (members[j].weight > 0 && !members[j].draining && healthy[j]) {
                uint64_t load =
                    ((uint64_t)balancer_outstanding(balancer, j) + 1) * 6 / members[j].weight;
                least = MIN(least, load);
            }
        }
        int64_t chosen = balancer_choose(balancer, NULL, 0);
        assert_true(healthy[chosen] && members[chosen].weight > 0 && !members[chosen].draining);
        if (i % 50 == 0) {
            uint64_t load = (uint64_t)balancer_outstanding(balancer, (uint32_t)chosen) * 6 /
                            members[chosen].weight;
            assert_int_equal(load, least);
        }
        balancer_release(balancer, (uint32_t)random_below(&random, MANY));
    }
    balancer_free(balancer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_weights_take_turns_from_start),
        cmocka_unit_test(test_weights_are_exact_in_a_cycle_and_spread),
        cmocka_unit_test(test_large_weights_keep_their_share),
        cmocka_unit_test(test_weight_zero_and_draining_get_nothing_even_when_failing_open),
        cmocka_unit_test(test_nobody_usable_is_nobody),
        cmocka_unit_test(test_unhealthy_is_left_out_and_returns_without_a_burst),
        cmocka_unit_test(test_tried_targets_are_not_chosen_again),
        cmocka_unit_test(test_least_outstanding_evens_out_the_load),
        cmocka_unit_test(test_release_without_choice_is_harmless),
        cmocka_unit_test(test_thousand_targets_against_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
