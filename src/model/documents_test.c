// SPDX-License-Identifier: Apache-2.0
// The rules that tables cannot say: names and labels, hosts, codes, snapshots, desired documents.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/desired.h"
#include "model/label.h"
#include "model/load_balancer.h"
#include "model/observed.h"
#include "model/snapshot.h"

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

static void test_names_become_labels(void **state)
{
    static const struct {
        const char *name, *label; // NULL: refused
    } rows[] = {
        {"john's project", "john-s-project"},
        {"Shop", "shop"},
        {"--a--", "a"},
        {"a  b", "a-b"},
        {"Gr\u00fc\u00df", "gr"},
        {"7a", "7a"},
        {"x.y_z", "x-y-z"},
        {"", NULL},
        {"77", NULL},
        {"---", NULL},
        {"\u6d4b\u8bd5", NULL},
        {"a/b", NULL},
        {"a\tb", NULL},
        {"a23456789012345678901234567890123456789012345678901234567890123",
         "a23456789012345678901234567890123456789012345678901234567890123"},
        {"a234567890123456789012345678901234567890123456789012345678901234", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char label[LABEL_LEN];
        int r = name_validate(rows[i].name, "name", NULL);
        assert_int_equal(r, rows[i].label != NULL ? 0 : -EINVAL);
        if (rows[i].label != NULL) {
            assert_int_equal(label_derive(str_of(rows[i].name), label), 0);
            assert_string_equal(label, rows[i].label);
        }
    }
}

static void test_host_names(void **state)
{
    static const char *const good[] = {"a", "api.example.net", "a-b.c_d", "1a", "1.2.3.x", "a.b."};
    static const char *const bad[] = {"",      "-a",     "a-",      "a..b",       ".a",
                                      "a b",   "1234",   "1.2.3.4", "10.0.0.256", "1.2.3.4.",
                                      "a_b.1", "\u00fc", "a:80",    "."};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(host_name_is_valid(str_of(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(host_name_is_valid(str_of(bad[i])));
    }
}

static void test_addresses_of_targets(void **state)
{
    static const struct {
        const char *text;
        bool usable;
    } rows[] = {
        {"10.1.0.11", true},        {"127.0.0.1", true},  {"2001:db8::1", true},
        {"169.253.0.1", true},      {"0.0.0.0", false},   {"255.255.255.255", false},
        {"169.254.169.254", false}, {"224.0.0.1", false}, {"::", false},
        {"fe80::1", false},         {"ff02::1", false},   {"::ffff:10.1.0.11", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr addr;
        assert_int_equal(addr_parse_ip(str_of(rows[i].text), &addr), 0);
        assert_int_equal(addr_is_usable_target(&addr), rows[i].usable);
    }
}

static void test_codes_of_health_checks(void **state)
{
    struct health_check check = {
        .path = "/", .interval_s = 5, .timeout_s = 5, .codes = "200-299,304,400-401"};
    assert_int_equal(health_check_validate(&check, "", NULL), 0);
    assert_true(health_check_accepts(&check, 200));
    assert_true(health_check_accepts(&check, 304));
    assert_true(health_check_accepts(&check, 401));
    assert_false(health_check_accepts(&check, 300));
    assert_false(health_check_accepts(&check, 402));
    static const char *const bad[] = {"",   "20",   "200-",       "200,", "200-100",
                                      "99", "600",  "200 ",       "2000", "200--201",
                                      "a",  ",200", "200-299-300"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check.codes = bad[i];
        assert_int_equal(health_check_validate(&check, "", NULL), -EINVAL);
    }
}

#define SNAPSHOT(listeners, groups)                                                   \
    "{\"version\":1,\"unit_id\":2,\"address\":\"10.0.0.1\",\"listeners\":[" listeners \
    "],\"target_groups\":[" groups "]}"
#define LISTENER(id, port, group) \
    "{\"id\":" #id ",\"port\":" #port ",\"target_group_id\":" #group "}"
#define GROUP(id) "{\"id\":" #id "}"

static void test_snapshots_that_do_not_compile(void **state)
{
    static const struct {
        const char *text, *reason, *field;
    } rows[] = {
        {SNAPSHOT(LISTENER(1, 80, 4), GROUP(4)), NULL, NULL},
        {SNAPSHOT("", ""), NULL, NULL},
        {SNAPSHOT(LISTENER(1, 80, 5), GROUP(4)), "not_found", "listeners[0].target_group_id"},
        {SNAPSHOT(LISTENER(1, 80, 4) "," LISTENER(2, 80, 4), GROUP(4)), "port_in_use",
         "listeners[1].port"},
        {SNAPSHOT(LISTENER(1, 80, 4) "," LISTENER(1, 81, 4), GROUP(4)), "duplicate_id",
         "listeners[1].id"},
        {SNAPSHOT(LISTENER(1, 9901, 4), GROUP(4)), "port_in_use", "listeners[0].port"},
        {SNAPSHOT(LISTENER(1, 80, 4), GROUP(4) "," GROUP(4)), "duplicate_id",
         "target_groups[1].id"},
        {SNAPSHOT("{\"id\":1,\"protocol\":\"tcp\",\"port\":80,\"target_group_id\":4}", GROUP(4)),
         "protocol_mismatch", "listeners[0].target_group_id"},
        {SNAPSHOT("", "{\"id\":4,\"health_check\":{\"timeout_s\":9}}"), "out_of_range",
         "target_groups[0].health_check.timeout_s"},
        {SNAPSHOT("", "{\"id\":4,\"targets\":[{\"address\":\"a.b\",\"port\":1}]}"), "invalid_value",
         "target_groups[0].targets[0].address"},
        {"{\"version\":0,\"unit_id\":2,\"address\":\"10.0.0.1\"}", "out_of_range", "version"},
        {"{\"version\":1,\"unit_id\":2}", "missing_field", "address"},
        {"nonsense", "json_invalid", ""},
        {"", "json_invalid", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct snapshot *snapshot = NULL;
        struct error error = {0};
        int r = snapshot_parse(str_of(rows[i].text), &arena, &snapshot, &error);
        if (rows[i].reason == NULL) {
            assert_int_equal(r, 0);
            continue;
        }
        assert_int_equal(r, -EINVAL);
        assert_null(snapshot);
        assert_string_equal(error.reason, rows[i].reason);
        assert_string_equal(error.field, rows[i].field);
    }
}

#define UNIT(id, project, front, back)                                                     \
    "{\"id\":" #id ",\"project_id\":" #project ",\"front\":\"" front "\",\"back\":\"" back \
    "\",\"snapshot\":{\"version\":5}}"
#define DESIRED(units)                                                                       \
    "{\"node\":\"lab\",\"generation\":42,\"front\":{\"subnet\":\"10.90.0.0/16\","            \
    "\"gateway\":\"10.90.0.1\"},\"networks\":[{\"project_id\":2,\"subnet\":\"10.2.0.0/24\"," \
    "\"gateway\":\"10.2.0.1\"},{\"project_id\":1,\"subnet\":\"10.1.0.0/24\","                \
    "\"gateway\":\"10.1.0.1\"}],\"units\":[" units "]}"

static void test_desired_documents_that_contradict_themselves(void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {DESIRED(
             UNIT(9, 1, "10.90.0.16", "10.1.0.254") "," UNIT(10, 2, "10.90.0.17", "10.2.0.254")),
         NULL},
        {DESIRED(UNIT(9, 3, "10.90.0.16", "10.1.0.254")), "not_found"},
        {DESIRED(UNIT(9, 1, "10.91.0.16", "10.1.0.254")), "invalid_value"},
        {DESIRED(UNIT(9, 1, "10.90.0.16", "10.2.0.254")), "invalid_value"},
        {DESIRED(UNIT(9, 1, "10.90.0.16", "10.1.0.254") "," UNIT(9, 1, "10.90.0.17", "10.1.0.253")),
         "duplicate"},
        {DESIRED(UNIT(9, 1, "10.90.0.16", "10.1.0.254") "," UNIT(8, 1, "10.90.0.16", "10.1.0.253")),
         "duplicate"},
        {"{\"node\":\"lab\"}", "missing_field"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct desired *desired = NULL;
        struct error error = {0};
        int r = desired_parse(str_of(rows[i].text), &arena, &desired, &error);
        assert_int_equal(r, rows[i].reason == NULL ? 0 : -EINVAL);
        if (rows[i].reason != NULL) {
            assert_string_equal(error.reason, rows[i].reason);
            continue;
        }
        assert_int_equal(desired->units[0].snapshot_version, 5);
        char *text = desired_print(desired);
        assert_non_null(strstr(text, "\"snapshot\":{\"version\":5}"));
        free(text);
    }
}

static void test_urls(void **state)
{
    struct listener listener = {.port = 80};
    struct load_balancer balancer = {.listeners = &listener, .listener_count = 1};
    const char *name = load_balancer_dns_name("shop", "john", "weir.internal", &arena);
    assert_string_equal(load_balancer_url(&balancer, name, &arena),
                        "http://shop.john.weir.internal/");
    listener.port = 8080;
    assert_string_equal(load_balancer_url(&balancer, name, &arena),
                        "http://shop.john.weir.internal:8080/");
    listener.protocol = PROTOCOL_TCP;
    assert_string_equal(load_balancer_url(&balancer, name, &arena),
                        "tcp://shop.john.weir.internal:8080");
}

static void test_the_documents_of_the_contract_parse(void **state)
{
    static const char text[] =
        "{\"node\":\"lab\",\"generation\":42,\"agent_started_at\":\"2026-11-23T20:00:00.123Z\","
        "\"sequence\":17,\"runtime\":\"process\",\"routes\":[\"192.0.2.0/24\"],"
        "\"networks\":[{\"project_id\":1,\"state\":\"ready\",\"error\":\"\"}],"
        "\"units\":[{\"id\":9,\"state\":\"serving\",\"error\":\"\",\"pid\":4711,\"starts\":1,"
        "\"snapshot_version\":17,\"snapshot_error\":\"\",\"connections\":3,\"requests\":1234,"
        "\"targets\":[{\"target_group_id\":4,\"address\":\"10.1.0.11:80\",\"verdict\":\"healthy\","
        "\"reason\":\"\"}]}]}";
    struct observed *observed;
    assert_int_equal(observed_parse(str_of(text), &arena, &observed, NULL), 0);
    char *printed = observed_print(observed);
    assert_string_equal(printed, text);
    free(printed);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names_become_labels),
        TEST(test_host_names),
        TEST(test_addresses_of_targets),
        TEST(test_codes_of_health_checks),
        TEST(test_snapshots_that_do_not_compile),
        TEST(test_desired_documents_that_contradict_themselves),
        TEST(test_urls),
        TEST(test_the_documents_of_the_contract_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
