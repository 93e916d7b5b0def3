// SPDX-License-Identifier: Apache-2.0
// Bad input through both doors: a clear error that names the field, and nothing half done.
#include "api/api_test_support.h"

#define SHOP(rest) "{\"action\":\"create\",\"type\":\"instance\",\"project\":1," rest "}"
#define PROJECT(rest) \
    "{\"action\":\"create\",\"type\":\"project\",\"info\":{\"name\":\"p\"," rest "}}"
#define INFO(rest)  SHOP("\"info\":{\"name\":\"x\"," rest "}")
#define ENTITY(one) INFO("\"backend\":{\"entities\":[" one "]}")

static const struct {
    const char *body, *code, *field;
} envelopes[] = {
    {"{", "json_invalid", NULL},
    {"", "json_invalid", NULL},
    {"[]", "wrong_type", NULL},
    {"{\"action\":\"create\",\"action\":\"list\",\"type\":\"project\"}", "json_invalid", NULL},
    {"{\"action\":\"explode\",\"type\":\"project\",\"info\":{}}", "invalid_value", "action"},
    {"{\"type\":\"project\",\"info\":{\"name\":\"p\"}}", "missing_field", "action"},
    {"{\"action\":\"create\",\"type\":\"planet\",\"info\":{}}", "invalid_value", "type"},
    {"{\"action\":\"create\",\"info\":{}}", "missing_field", "type"},
    {"{\"action\":7,\"type\":\"project\"}", "wrong_type", "action"},
    {SHOP("\"colour\":1,\"info\":{\"name\":\"x\"}"), "unknown_field", "colour"},
    {SHOP("\"info\":[]"), "wrong_type", "info"},
    {INFO("\"colour\":1"), "unknown_field", "info.colour"},
    {INFO("\"backend\":{\"health-check\":{\"colour\":1}}"), "unknown_field",
     "info.backend.health-check.colour"},
    {SHOP("\"info\":{}"), "missing_field", "info.name"},
    {SHOP("\"info\":{\"name\":7}"), "wrong_type", "info.name"},
    {SHOP("\"info\":{\"name\":\"77\"}"), "invalid_value", "info.name"},
    {SHOP("\"info\":{\"name\":\"---\"}"), "invalid_value", "info.name"},
    {SHOP("\"info\":{\"name\":\"a\\nb\"}"), "invalid_value", "info.name"},
    {SHOP("\"info\":{\"name\":\"a/b\"}"), "invalid_value", "info.name"},
    {SHOP("\"info\":{\"name\":\"\"}"), "out_of_range", "info.name"},
    {SHOP("\"info\":{\"name\":\"SHOP\"}"), "name_taken", "info.name"},
    {"{\"action\":\"create\",\"type\":\"instance\",\"info\":{\"name\":\"x\"}}", "missing_field",
     "project"},
    {"{\"action\":\"create\",\"type\":\"instance\",\"project\":\"no\",\"info\":{\"name\":\"x\"}}",
     "not_found", "project"},
    {INFO("\"traffic_type\":\"udp\""), "invalid_value", "info.traffic_type"},
    {INFO("\"traffic_type\":\"tcp\""), "missing_field", "info.port"},
    {INFO("\"port\":0"), "out_of_range", "info.port"},
    {INFO("\"port\":65536"), "out_of_range", "info.port"},
    {INFO("\"port\":1000000000000000000000000"), "json_invalid", "info.port"},
    {INFO("\"port\":80.5"), "wrong_type", "info.port"},
    {INFO("\"port\":\"80\""), "wrong_type", "info.port"},
    {INFO("\"port\":9901"), "port_in_use", "info.port"},
    {INFO("\"units\":9"), "out_of_range", "info.units"},
    {INFO("\"subnet\":\"10.2.0.0/24\""), "subnet_differs", "info.subnet"},
    {INFO("\"backend\":{\"entities\":\"10.0.0.1\"}"), "wrong_type", "info.backend.entities"},
    {ENTITY("7"), "wrong_type", "info.backend.entities[0]"},
    {ENTITY("\"10.0.0.256\""), "invalid_value", "info.backend.entities[0].address"},
    {ENTITY("\"10.0.0.1\",\"10.0.0.1:70000\""), "invalid_value", "info.backend.entities[1]"},
    {ENTITY("\"https://10.0.0.1/\""), "not_supported", "info.backend.entities[0]"},
    {ENTITY("\"http://10.0.0.1/path\""), "invalid_value", "info.backend.entities[0]"},
    {ENTITY("\"http://a:b@10.0.0.1/\""), "invalid_value", "info.backend.entities[0]"},
    {ENTITY("\"10.0.0.1\",[\"10.0.0.1:80\"]"), "duplicate_target", "info.backend.entities[1]"},
    {ENTITY("\"224.0.0.1\""), "invalid_value", "info.backend.entities[0].address"},
    {ENTITY("{\"address\":\"10.0.0.1\",\"weight\":1001}"), "out_of_range",
     "info.backend.entities[0].weight"},
    {INFO("\"backend\":{\"health-check\":{\"criteria\":{\"interval\":0}}}"), "out_of_range",
     "info.backend.health-check.criteria.interval"},
    {INFO("\"backend\":{\"health-check\":{\"criteria\":{\"interval\":2,\"timeout\":3}}}"),
     "out_of_range", "info.backend.health-check.criteria.timeout"},
    {INFO("\"backend\":{\"health-check\":{\"request-path\":\"a b\"}}"), "invalid_value",
     "info.backend.health-check.request-path"},
    {"{\"action\":\"info\",\"type\":\"instance\",\"project\":2,\"id\":\"shop\"}", "not_found",
     "id"},
    {"{\"action\":\"delete\",\"type\":\"instance\",\"project\":2,\"id\":3}", "not_found", "id"},
    {"{\"action\":\"info\",\"type\":\"instance\",\"project\":1,\"id\":-1}", "wrong_type", "id"},
    {"{\"action\":\"info\",\"type\":\"instance\",\"project\":1}", "missing_field", "id"},
    {"{\"action\":\"update\",\"type\":\"instance\",\"project\":1,\"id\":\"shop\",\"info\":"
     "{\"traffic_type\":\"tcp\"}}",
     "immutable_field", "info.traffic_type"},
    {"{\"action\":\"update\",\"type\":\"instance\",\"project\":1,\"id\":\"shop\",\"info\":"
     "{\"name\":\"y\"}}",
     "immutable_field", "info.name"},
    {PROJECT("\"subnet\":\"10.1.0.0/25\""), "subnet_overlaps", "info.subnet"},
    {PROJECT("\"subnet\":\"10.90.7.0/24\""), "subnet_overlaps", "info.subnet"},
    {PROJECT("\"subnet\":\"10.1.0.1/24\""), "invalid_value", "info.subnet"},
    {PROJECT("\"subnet\":\"10.0.0.0/8\""), "out_of_range", "info.subnet"},
    {PROJECT("\"subnet\":\"10.5.0.0/30\""), "out_of_range", "info.subnet"},
    {PROJECT("\"subnet\":\"127.0.0.0/24\""), "invalid_value", "info.subnet"},
    {PROJECT("\"subnet\":\"fd00::/64\""), "out_of_range", "info.subnet"},
    {PROJECT("\"instances\":[{}]"), "invalid_value", "instances"},
    {"{\"action\":\"delete\",\"type\":\"project\",\"project\":1}", "not_empty", NULL},
    {"{\"action\":\"create\",\"type\":\"project\",\"info\":{\"name\":\"Other\"}}", "name_taken",
     "info.name"},
};

static void test_bad_envelopes_are_refused_and_change_nothing(void **state)
{
    struct world *world = *state;
    make_shop(world);
    char *before = everything(world);
    for (size_t i = 0; i < ARRAY_LEN(envelopes); i++) {
        struct reply reply = ask(world, "POST", "/v1/requests", envelopes[i].body);
        const char *code = text_at(reply.json, "error.code");
        const char *field = text_at(reply.json, "error.field");
        if (strcmp(code, envelopes[i].code) != 0 ||
            strcmp(field, envelopes[i].field != NULL ? envelopes[i].field : "(none)") != 0) {
            print_error("%s\n→ %s\n", envelopes[i].body, reply.head);
        }
        assert_string_equal(text_at(reply.json, "status"), "fail");
        assert_string_equal(code, envelopes[i].code);
        assert_string_equal(field, envelopes[i].field != NULL ? envelopes[i].field : "(none)");
        assert_in_range(reply.status, 400, 412);
        reply_free(&reply);
    }
    char *after = everything(world);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static const struct {
    const char *method, *path, *body;
    int status;
    const char *code, *field;
} problems[] = {
    {"GET", "/v1/nothing", "", 404, "no_such_path", NULL},
    {"DELETE", "/v1/events", "", 405, "method_not_allowed", NULL},
    {"GET", "/v1/projects/%zz", "", 400, "invalid_path", NULL},
    {"GET", "/v1/projects/99", "", 404, "not_found", NULL},
    {"POST", "/v1/projects", "[]", 400, "wrong_type", NULL},
    {"POST", "/v1/projects", "{\"name\":\"q\",\"id\":7}", 400, "read_only_field", "id"},
    {"POST", "/v1/projects", "{\"name\":\"q\",\"label\":\"q\"}", 400, "read_only_field", "label"},
    {"POST", "/v1/projects", "{\"name\":null}", 400, "wrong_type", "name"},
    {"PATCH", "/v1/projects/1", "{\"name\":\"q\"}", 400, "immutable_field", "name"},
    {"PATCH", "/v1/projects/1", "{\"subnet\":\"10.7.0.0/24\"}", 409, "in_use", "subnet"},
    {"DELETE", "/v1/projects/1", "", 409, "not_empty", NULL},
    {"GET", "/v1/projects/2/load-balancers/shop", "", 404, "not_found", NULL},
    {"GET", "/v1/projects/2/load-balancers/4", "", 404, "not_found", NULL},
    {"DELETE", "/v1/projects/2/load-balancers/4", "", 404, "not_found", NULL},
    {"PATCH", "/v1/projects/1/load-balancers/shop", "{\"units\":9}", 400, "out_of_range", "units"},
    {"PATCH", "/v1/projects/1/load-balancers/shop", "{\"status\":{}}", 400, "read_only_field",
     "status"},
    {"PATCH", "/v1/projects/1/load-balancers/shop", "{\"listeners\":[]}", 400, "out_of_range",
     "listeners"},
    {"PATCH", "/v1/projects/1/load-balancers/shop", "{\"listeners\":null}", 400, "missing_field",
     "listeners"},
    {"PATCH", "/v1/projects/1/load-balancers/shop",
     "{\"listeners\":[{\"port\":80,\"target_group_id\":3},{\"port\":80,\"target_group_id\":3}]}",
     409, "port_in_use", "listeners[1].port"},
    {"PATCH", "/v1/projects/1/load-balancers/shop",
     "{\"listeners\":[{\"port\":80,\"target_group_id\":99}]}", 404, "not_found",
     "listeners[0].target_group_id"},
    {"PATCH", "/v1/projects/1/load-balancers/shop",
     "{\"listeners\":[{\"id\":77,\"port\":80,\"target_group_id\":3}]}", 404, "not_found",
     "listeners[0].id"},
    {"PATCH", "/v1/projects/1/load-balancers/shop",
     "{\"listeners\":[{\"port\":80,\"protocol\":\"tcp\",\"target_group_id\":3}]}", 400,
     "protocol_mismatch", "listeners[0].protocol"},
    {"POST", "/v1/projects/2/load-balancers",
     "{\"name\":\"n\",\"listeners\":[{\"port\":80,\"target_group_id\":3}]}", 404, "not_found",
     "listeners[0].target_group_id"},
    {"POST", "/v1/projects/1/load-balancers?wait=soon",
     "{\"name\":\"n\",\"listeners\":[{\"port\":80,\"target_group_id\":3}]}", 400,
     "invalid_parameter", "wait"},
    {"DELETE", "/v1/projects/1/target-groups/shop", "", 409, "in_use", NULL},
    {"POST", "/v1/projects/1/target-groups", "{\"name\":\"Shop\"}", 409, "name_taken", "name"},
    {"POST", "/v1/projects/1/target-groups",
     "{\"name\":\"n\",\"targets\":[{\"address\":\"10.0.0.1\"}]}", 400, "missing_field",
     "targets[0].port"},
    {"POST", "/v1/projects/1/target-groups", "{\"name\":\"n\",\"health_check\":{\"codes\":\"9\"}}",
     400, "out_of_range", "health_check.codes"},
    {"POST", "/v1/projects/1/target-groups",
     "{\"name\":\"n\",\"health_check\":{\"codes\":\"300-200\"}}", 400, "invalid_value",
     "health_check.codes"},
    {"GET", "/v1/events?after=x", "", 400, "invalid_parameter", "after"},
    {"GET", "/v1/events?project=nobody", "", 404, "not_found", NULL},
    {"PUT", "/v1/nodes/lab/observed", "{\"node\":\"other\"}", 400, NULL, NULL},
    {"PUT", "/v1/nodes/lab/observed", "{", 400, NULL, NULL},
};

static void test_bad_rest_requests_are_problems_and_change_nothing(void **state)
{
    struct world *world = *state;
    make_shop(world);
    char *before = everything(world);
    for (size_t i = 0; i < ARRAY_LEN(problems); i++) {
        struct reply reply = ask(world, problems[i].method, problems[i].path, problems[i].body);
        const char *code = text_at(reply.json, "code"), *field = text_at(reply.json, "field");
        if (reply.status != problems[i].status ||
            (problems[i].code != NULL && strcmp(code, problems[i].code) != 0) ||
            (problems[i].field != NULL && strcmp(field, problems[i].field) != 0)) {
            print_error("%s %s %s\n→ %s\n", problems[i].method, problems[i].path, problems[i].body,
                        reply.head);
        }
        assert_int_equal(reply.status, problems[i].status);
        assert_non_null(strstr(reply.head, "application/problem+json"));
        if (problems[i].code != NULL) {
            assert_string_equal(code, problems[i].code);
        }
        if (problems[i].field != NULL) {
            assert_string_equal(field, problems[i].field);
        }
        reply_free(&reply);
    }
    char *after = everything(world);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_ten_megabytes_of_json_are_too_much(void **state)
{
    struct world *world = *state;
    size_t len = 10 << 20;
    char *body = malloc(len);
    memset(body, 'x', len);
    memcpy(body, "{\"name\":\"", 9);
    memcpy(body + len - 2, "\"}", 2);
    int fd = dial(world);
    send_request(world, fd, "POST", "/v1/projects", "", (struct str){body, len});
    struct reply reply = receive(world, fd);
    assert_int_equal(reply.status, 413);
    assert_string_equal(text_at(reply.json, "code"), "json_too_large");
    reply_free(&reply);
    free(body);
}

static void test_a_web_page_cannot_change_anything(void **state)
{
    struct world *world = *state;
    struct reply reply =
        ask_with(world, "POST", "/v1/projects",
                 "Origin: http://evil.example\r\nContent-Type: text/plain\r\n", "{\"name\":\"p\"}");
    assert_int_equal(reply.status, 403);
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/projects", "");
    assert_int_equal(json_array_size(json_object_get(reply.json, "items")), 0);
    reply_free(&reply);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bad_envelopes_are_refused_and_change_nothing),
        TEST(test_bad_rest_requests_are_problems_and_change_nothing),
        TEST(test_ten_megabytes_of_json_are_too_much),
        TEST(test_a_web_page_cannot_change_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
