// SPDX-License-Identifier: Apache-2.0
// What tables promise: defaults, ranges, the three modes, paths of errors, and that running out of
// memory at any point is an error like any other.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/json.h"
#include "model/event.h"
#include "model/load_balancer.h"
#include "model/project.h"
#include "model/target_group.h"
#include "model/unit_control.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 4096);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

static int parse(const struct schema *schema, const char *text, enum schema_mode mode, void *object,
                 struct error *error)
{
    json_t *json = NULL;
    assert_int_equal(json_doc_parse(str_of(text), SIZE_MAX, &json, NULL), 0);
    int r = schema_parse(schema, json, mode, "", &arena, object, error);
    json_decref(json);
    return r;
}

static void test_what_is_left_out_takes_its_default(void **state)
{
    struct target_group group;
    assert_int_equal(parse(&target_group_schema, "{\"name\":\"g\"}", SCHEMA_CREATE, &group, NULL),
                     0);
    assert_true(group.health_check.enabled);
    assert_int_equal(group.health_check.interval_s, 5);
    assert_string_equal(group.health_check.path, "/");
    assert_string_equal(group.health_check.codes, "200-399");
    assert_int_equal(group.target_count, 0);
}

static void test_print_and_parse_are_inverse(void **state)
{
    static const char text[] =
        "{\"id\":7,\"generation\":3,\"project_id\":1,\"name\":\"sh\u00f6p\",\"label\":\"sh-p\","
        "\"type\":\"network\",\"units\":4,\"listeners\":[{\"id\":8,\"protocol\":\"tcp\","
        "\"port\":5432,\"target_group_id\":9,\"body_max_bytes\":10,\"timeouts\":{"
        "\"client_header_ms\":1,"
        "\"client_idle_ms\":2,\"client_body_ms\":3,\"connect_ms\":4,\"target_response_ms\":5,"
        "\"target_body_ms\":6,\"tunnel_idle_ms\":7,\"send_ms\":8}}],\"auto_scaling\":true,"
        "\"deleting\":true,\"created_at\":\"2026-11-23T20:00:00.123Z\","
        "\"updated_at\":\"2026-11-23T20:00:01.000Z\",\"status\":{\"state\":\"degraded\","
        "\"generation\":2,\"url\":\"u\",\"dns_name\":\"d\",\"addresses\":[\"10.90.0.16\","
        "\"2001:db8::1\"],\"units\":[{\"id\":9,\"node\":\"lab\",\"address\":\"10.90.0.16\","
        "\"state\":\"serving\",\"role\":\"replacement\",\"replaces\":4}],\"targets\":["
        "{\"target_group_id\":4,\"address\":\"10.1.0.11:80\",\"verdict\":\"unhealthy\","
        "\"reason\":\"refused\"}]}}";
    struct load_balancer balancer;
    assert_int_equal(parse(&load_balancer_schema, text, SCHEMA_OURS, &balancer, NULL), 0);
    char *printed = schema_print_text(&load_balancer_schema, &balancer);
    assert_string_equal(printed, text);
    free(printed);
}

static const struct {
    const struct schema *schema;
    const char *text, *reason, *field;
} refused[] = {
    {&project_schema, "[]", "wrong_type", ""},
    {&project_schema, "{}", "missing_field", "name"},
    {&project_schema, "{\"name\":\"p\",\"colour\":1}", "unknown_field", "colour"},
    {&project_schema, "{\"name\":1}", "wrong_type", "name"},
    {&project_schema, "{\"name\":null}", "wrong_type", "name"},
    {&project_schema, "{\"name\":\"\"}", "out_of_range", "name"},
    {&project_schema, "{\"name\":\"a\\u0007b\"}", "invalid_value", "name"},
    {&project_schema, "{\"name\":\"a\\u009b31mb\"}", "invalid_value", "name"},
    {&project_schema, "{\"name\":\"a\\u202eb\"}", "invalid_value", "name"},
    {&project_schema, "{\"name\":\"p\",\"id\":1}", "read_only_field", "id"},
    {&project_schema, "{\"name\":\"p\",\"subnet\":\"10.1.0.0\"}", "invalid_value", "subnet"},
    {&project_schema, "{\"name\":\"p\",\"subnet\":\"10.1.0.1/24\"}", "invalid_value", "subnet"},
    {&project_schema, "{\"name\":\"p\",\"subnet\":\"\"}", "invalid_value", "subnet"},
    {&project_schema, "{\"name\":\"p\",\"subnet\":7}", "wrong_type", "subnet"},
    {&target_group_schema, "{\"name\":\"g\",\"protocol\":\"HTTP\"}", "invalid_value", "protocol"},
    {&target_group_schema, "{\"name\":\"g\",\"targets\":{}}", "wrong_type", "targets"},
    {&target_group_schema, "{\"name\":\"g\",\"targets\":[7]}", "wrong_type", "targets[0]"},
    {&target_group_schema,
     "{\"name\":\"g\",\"targets\":[{\"address\":\"a\",\"port\":1},{\"address\":\"a\",\"port\":0}]}",
     "out_of_range", "targets[1].port"},
    {&target_group_schema,
     "{\"name\":\"g\",\"targets\":[{\"address\":\"a\",\"port\":1,\"weight\":-1}]}", "out_of_range",
     "targets[0].weight"},
    {&target_group_schema, "{\"name\":\"g\",\"health_check\":{\"enabled\":1}}", "wrong_type",
     "health_check.enabled"},
    {&target_group_schema, "{\"name\":\"g\",\"health_check\":{\"interval_s\":5.0}}", "wrong_type",
     "health_check.interval_s"},
    {&target_group_schema, "{\"name\":\"g\",\"health_check\":{\"interval_s\":301}}", "out_of_range",
     "health_check.interval_s"},
    {&load_balancer_schema, "{\"name\":\"l\",\"listeners\":[]}", "out_of_range", "listeners"},
    {&load_balancer_schema,
     "{\"name\":\"l\",\"listeners\":[{\"port\":80,\"target_group_id\":4,"
     "\"timeouts\":{\"connect_ms\":0}}]}",
     "out_of_range", "listeners[0].timeouts.connect_ms"},
    {&load_balancer_schema,
     "{\"name\":\"l\",\"status\":null,\"listeners\":[{\"port\":80,\"target_group_id\":4}]}",
     "read_only_field", "status"},
};

static void test_bad_input_is_named(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        _Alignas(16) char object[1024];
        struct error error = {0};
        assert_int_equal(parse(refused[i].schema, refused[i].text, SCHEMA_CREATE, object, &error),
                         -EINVAL);
        if (strcmp(error.reason, refused[i].reason) != 0 ||
            strcmp(error.field, refused[i].field) != 0) {
            print_error("%s: %s %s: %s\n", refused[i].text, error.reason, error.field, error.text);
        }
        assert_string_equal(error.reason, refused[i].reason);
        assert_string_equal(error.field, refused[i].field);
        assert_true(strlen(error.text) > strlen(error.field));
    }
}

static void test_a_patch_changes_what_it_says(void **state)
{
    struct target_group group;
    struct error error = {0};
    parse(&target_group_schema,
          "{\"name\":\"g\",\"targets\":[{\"address\":\"10.0.0.1\",\"port\":1}],"
          "\"health_check\":{\"path\":\"/a\",\"interval_s\":9}}",
          SCHEMA_CREATE, &group, NULL);
    assert_int_equal(parse(&target_group_schema,
                           "{\"name\":\"g\",\"health_check\":{\"path\":null,\"timeout_s\":3}}",
                           SCHEMA_PATCH, &group, NULL),
                     0);
    assert_string_equal(group.health_check.path, "/"); // null: its default
    assert_int_equal(group.health_check.interval_s, 9);
    assert_int_equal(group.health_check.timeout_s, 3);
    assert_int_equal(group.target_count, 1);
    assert_int_equal(parse(&target_group_schema, "{\"targets\":[]}", SCHEMA_PATCH, &group, NULL),
                     0);
    assert_int_equal(group.target_count, 0);
    // Half of a bad patch is not applied.
    assert_int_equal(parse(&target_group_schema,
                           "{\"algorithm\":\"least_outstanding\",\"health_check\":{\"path\":7}}",
                           SCHEMA_PATCH, &group, &error),
                     -EINVAL);
    assert_int_equal(group.algorithm, ALGORITHM_ROUND_ROBIN);
    error = (struct error){0};
    parse(&target_group_schema, "{\"name\":\"h\"}", SCHEMA_PATCH, &group, &error);
    assert_string_equal(error.reason, "immutable_field");
    error = (struct error){0};
    parse(&target_group_schema, "{\"generation\":5}", SCHEMA_PATCH, &group, &error);
    assert_string_equal(error.reason, "read_only_field");
    assert_int_equal(parse(&target_group_schema, "{\"generation\":0}", SCHEMA_PATCH, &group, NULL),
                     0);
}

static void test_a_newer_program_of_ours_is_understood(void **state)
{
    struct event event;
    assert_int_equal(parse(&event_schema,
                           "{\"id\":1,\"kind\":\"k\",\"colour\":{\"deep\":[1]},\"what\":null,"
                           "\"why\":\"two\\nlines\"}",
                           SCHEMA_OURS, &event, NULL),
                     0);
    assert_string_equal(event.what, "");
    assert_string_equal(event.why, "two\nlines");
}

static void test_text_that_is_not_utf8_still_prints(void **state)
{
    struct event event = {.kind = "k", .object = "unit", .what = "runc said \xff\xc3", .why = NULL};
    char *text = schema_print_text(&event_schema, &event);
    assert_non_null(strstr(text, "runc said ??"));
    free(text);
}

static void test_control_answers_hold_what_applies(void **state)
{
    struct unit_control_answer answer = {
        .status = UNIT_CONTROL_REFUSED, .version = 16, .error = "no", .field = "listeners[0]"};
    char *text = unit_control_answer_print(&answer);
    assert_string_equal(text, "{\"status\":\"refused\",\"version\":16,\"error\":\"no\","
                              "\"field\":\"listeners[0]\"}");
    free(text);
    struct counter counters[] = {{"a", 1}, {"b", UINT64_MAX}};
    answer = (struct unit_control_answer){
        .has_state = true, .unit_id = 9, .counters = counters, .counter_count = 2};
    text = unit_control_answer_print(&answer);
    struct unit_control_answer *again;
    assert_int_equal(unit_control_answer_parse(str_of(text), &arena, &again, NULL), 0);
    assert_true(again->has_state);
    assert_int_equal(again->unit_id, 9);
    assert_int_equal(again->counter_count, 2);
    assert_int_equal(again->counters[1].value, INT64_MAX);
    free(text);
}

// ── Memory runs out ──────────────────────────────────────────────────────────────────────────

static size_t allocations_left = SIZE_MAX;

static bool takes_one(void)
{
    if (allocations_left == 0) {
        return false;
    }
    allocations_left -= allocations_left != SIZE_MAX;
    return true;
}

static void *json_malloc_limited(size_t size)
{
    return takes_one() ? malloc(size) : NULL;
}

static void test_the_nth_allocation_of_jansson_may_fail(void **state)
{
    static const char text[] =
        "{\"name\":\"g\",\"targets\":[{\"address\":\"10.0.0.1\",\"port\":1},"
        "{\"address\":\"b.example\",\"port\":2}],\"health_check\":{\"path\":\"/a\"}}";
    json_set_alloc_funcs(json_malloc_limited, free);
    bool done = false;
    for (size_t n = 0; !done && n < 1000; n++) {
        struct target_group group;
        struct error error = {0};
        char *printed = NULL;
        allocations_left = n;
        int r = schema_parse_text(&target_group_schema, str_of(text), &arena, &group, &error);
        if (r == 0) {
            printed = schema_print_text(&target_group_schema, &group);
        }
        done = allocations_left > 0;
        allocations_left = SIZE_MAX;
        // jansson takes a string it could not copy for a fault of the text.
        assert_true(r == 0 || r == -ENOMEM || strcmp(error.reason, "json_invalid") == 0);
        assert_true(!done || printed != NULL);
        if (printed != NULL) {
            assert_non_null(strstr(printed, "b.example"));
        }
        free(printed);
    }
    assert_true(done);
    json_set_alloc_funcs(malloc, free);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_left_out_takes_its_default),
        TEST(test_print_and_parse_are_inverse),
        TEST(test_bad_input_is_named),
        TEST(test_a_patch_changes_what_it_says),
        TEST(test_a_newer_program_of_ours_is_understood),
        TEST(test_text_that_is_not_utf8_still_prints),
        TEST(test_control_answers_hold_what_applies),
        TEST(test_the_nth_allocation_of_jansson_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
