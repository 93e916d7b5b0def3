// SPDX-License-Identifier: Apache-2.0
#include "control/placement.h"

#include <errno.h>

#include "base/test.h"

static void units_of_a_load_balancer_spread(void **state)
{
    struct placement_node nodes[] = {{"a", true, 1, 1, false}, {"b", true, 9, 0, false}};
    assert_int_equal(placement_choose(nodes, 2), 1);
}

static void one_node_takes_both_when_it_is_alone(void **state)
{
    struct placement_node nodes[] = {{"a", true, 1, 1, true}, {"b", false, 0, 0, false}};
    assert_int_equal(placement_choose(nodes, 2), 0);
    nodes[0].ready = false;
    assert_int_equal(placement_choose(nodes, 2), -ENOENT);
    assert_int_equal(placement_choose(nodes, 0), -ENOENT);
}

static void the_least_loaded_wins_then_the_name(void **state)
{
    struct placement_node nodes[] = {
        {"c", true, 4, 0, false}, {"b", true, 3, 0, false}, {"a", true, 3, 0, false}};
    assert_int_equal(placement_choose(nodes, 3), 2);
    nodes[2].avoid = true;
    assert_int_equal(placement_choose(nodes, 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_a_load_balancer_spread),
        cmocka_unit_test(one_node_takes_both_when_it_is_alone),
        cmocka_unit_test(the_least_loaded_wins_then_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
