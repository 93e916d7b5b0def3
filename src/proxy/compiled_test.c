// SPDX-License-Identifier: Apache-2.0
#include "proxy/compiled.h"

#include <stdio.h>

#include "base/test.h"

static struct target_registry registry = {.worker_count = 2};

static int compile(const char *targets, struct compiled **ret_compiled, struct error *error)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "{\"version\":7,\"unit_id\":9,\"address\":\"10.0.0.1\",\"status_port\":9901,"
             "\"listeners\":[{\"id\":1,\"protocol\":\"http\",\"port\":80,\"target_group_id\":4}],"
             "\"target_groups\":[{\"id\":4,\"protocol\":\"http\",\"targets\":[%s]},"
             "{\"id\":5,\"protocol\":\"tcp\",\"targets\":[%s]}]}",
             targets, targets);
    return compiled_new(str_of(text), &registry, ret_compiled, error);
}

static unsigned known_targets(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < TARGET_REGISTRY_BUCKETS; i++) {
        for (struct target_state *at = registry.buckets[i]; at != NULL; at = at->next) {
            count++;
        }
    }
    return count;
}

static void test_listeners_point_to_their_groups(void **state)
{
    struct compiled *compiled;
    assert_int_equal(
        compile("{\"address\":\"10.0.0.2\",\"port\":80,\"weight\":3}", &compiled, NULL), 0);
    assert_int_equal(compiled->listener_count, 2);
    assert_int_equal(compiled->listeners[0].at.port, 80);
    assert_true(compiled->groups[compiled->listeners[0].group].used);
    assert_false(compiled->groups[1].used);
    assert_true(compiled->listeners[1].is_status);
    assert_int_equal(compiled->listeners[1].at.port, 9901);
    assert_true(str_equal(compiled->health_body, STR("{\"unit\":9,\"version\":7}\n")));
    assert_true(str_equal(compiled->listeners[0].host, STR("10.0.0.1:80")));
    assert_int_equal(compiled->groups[0].targets[0].member.weight, 3);
    // The same address in two groups is two targets: their checks may differ.
    assert_ptr_not_equal(compiled->groups[0].targets[0].state,
                         compiled->groups[1].targets[0].state);
    compiled_unref(compiled);
    target_registry_sweep(&registry);
    assert_int_equal(known_targets(), 0);
}

static void test_what_is_known_of_a_target_outlives_its_snapshot(void **state)
{
    struct compiled *first, *second;
    const char *one = "{\"address\":\"10.0.0.2\",\"port\":80}";
    assert_int_equal(compile(one, &first, NULL), 0);
    struct target_state *target = first->groups[0].targets[0].state;
    assert_int_equal(compile(one, &second, NULL), 0);
    compiled_unref(first);
    target_registry_sweep(&registry);
    assert_ptr_equal(second->groups[0].targets[0].state, target);
    compiled_unref(second);
    target_registry_sweep(&registry);
}

static void test_an_address_listed_twice_is_one_target(void **state)
{
    struct compiled *compiled;
    assert_int_equal(
        compile("{\"address\":\"10.0.0.2\",\"port\":80,\"weight\":2,\"draining\":true},"
                "{\"address\":\"10.0.0.3\",\"port\":80},"
                "{\"address\":\"10.0.0.2\",\"port\":80,\"weight\":5}",
                &compiled, NULL),
        0);
    assert_int_equal(compiled->groups[0].target_count, 2);
    assert_int_equal(compiled->groups[0].targets[0].member.weight, 7);
    assert_false(compiled->groups[0].targets[0].member.draining);
    compiled_unref(compiled);
    target_registry_sweep(&registry);
    assert_int_equal(known_targets(), 0);
}

static void test_a_bad_snapshot_leaves_nothing_behind(void **state)
{
    struct compiled *compiled = NULL;
    struct error error = {0};
    assert_int_equal(compile("{\"address\":\"nowhere\",\"port\":80}", &compiled, &error), -EINVAL);
    assert_string_equal(error.field, "target_groups[0].targets[0].address");
    assert_null(compiled);
    assert_int_equal(known_targets(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners_point_to_their_groups),
        cmocka_unit_test(test_what_is_known_of_a_target_outlives_its_snapshot),
        cmocka_unit_test(test_an_address_listed_twice_is_one_target),
        cmocka_unit_test(test_a_bad_snapshot_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
