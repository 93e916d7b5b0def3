// SPDX-License-Identifier: Apache-2.0
// What the API does for who asks well; bad_input_test.c has the rest.
#include "api/api_test_support.h"

static void test_an_instance_is_made_of_an_envelope(void **state)
{
    struct world *world = *state;
    make_shop(world);
    struct reply reply = ask(world, "POST", "/v1/requests",
                             "{\"action\":\"info\",\"type\":\"instance\",\"project\":1,"
                             "\"info\":{\"name\":\"shop\"}}");
    assert_int_equal(reply.status, 200);
    const json_t *info = json_object_get(reply.json, "info");
    assert_string_equal(text_at(reply.json, "status"), "successful");
    assert_string_equal(text_at(info, "url"), "http://shop.john-s-project.weir.internal/");
    assert_string_equal(text_at(info, "state"), "provisioning");
    assert_string_equal(text_at(info, "subnet"), "10.1.0.0/24");
    assert_string_equal(text_at(info, "backend.entities.0"), "10.1.0.11:80");
    assert_string_equal(text_at(info, "backend.entities.1"), "10.1.0.12:8080");
    assert_string_equal(text_at(info, "backend.entities.2"), "10.1.0.13:81");
    assert_string_equal(text_at(info, "backend.health-check.protocol"), "http");
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/projects/john-s-project/load-balancers/shop", "");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "ETag: \"1\""));
    assert_int_equal(number_at(reply.json, "units"), 2);
    reply_free(&reply);
}

static void test_the_source_documents_forms_are_understood(void **state)
{
    struct world *world = *state;
    expect(world, "POST", "/v1/requests",
           "{\"type\":\"project\",\"user\":\"john\",\"name\":\"john's project\",\"instances\":[]}",
           201);
    struct reply reply = ask(
        world, "POST", "/v1/requests",
        "{\"type\":\"instance\",\"project\":\"john's project\",\"name\":\"a\","
        "\"traffic_type\":\"HTTP\",\"subnet\":\"1.1.1.0/24\",\"backend\":{\"entities\":"
        "[[\"1.1.1.4\",\"http://1.1.1.5/\"]],\"health-check\":{\"protocol\":\"TCP\",\"port\":80,"
        "\"request-path\":\"/\",\"criteria\":{\"interval\":5,\"timeout\":5,\"health-threshold\":2,"
        "\"unhealth-threshold\":2}},\"auto-scaling\":true}}");
    assert_int_equal(reply.status, 201);
    const json_t *info = json_object_get(reply.json, "info");
    assert_string_equal(text_at(info, "backend.health-check.protocol"), "tcp");
    assert_true(json_is_true(json_object_get(json_object_get(info, "backend"), "auto-scaling")));
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/projects/1", "");
    assert_string_equal(text_at(reply.json, "subnet"), "1.1.1.0/24");
    reply_free(&reply);
}

static void test_an_update_changes_what_it_says_and_nothing_else(void **state)
{
    struct world *world = *state;
    make_shop(world);
    struct reply reply =
        ask(world, "POST", "/v1/requests",
            "{\"action\":\"update\",\"type\":\"instance\",\"project\":1,\"id\":\"shop\",\"info\":"
            "{\"port\":81,\"backend\":{\"entities\":[\"10.1.0.20\"]}}}");
    assert_int_equal(reply.status, 200);
    const json_t *info = json_object_get(reply.json, "info");
    assert_int_equal(number_at(info, "port"), 81);
    assert_string_equal(text_at(info, "backend.entities.0"), "10.1.0.20:81");
    assert_int_equal(json_array_size(json_object_get(json_object_get(info, "backend"), "entities")),
                     1);
    reply_free(&reply);
    char *before = everything(world);
    expect(world, "POST", "/v1/requests",
           "{\"action\":\"update\",\"type\":\"instance\",\"project\":1,\"id\":\"shop\",\"info\":"
           "{\"port\":81}}",
           200);
    char *after = everything(world);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_a_check_speaks_what_its_group_speaks(void **state)
{
    struct world *world = *state;
    make_shop(world);
    expect(world, "POST", "/v1/projects/1/target-groups", "{\"name\":\"t\",\"protocol\":\"tcp\"}",
           201);
    const char *path = "/v1/projects/1/target-groups/t";
    static const struct {
        const char *patch, *protocol;
    } steps[] = {
        {"{}", "tcp"},
        {"{\"health_check\":{\"protocol\":\"http\"}}", "http"},
        {"{\"health_check\":{\"interval_s\":7}}", "http"},
        {"{\"health_check\":{\"protocol\":null}}", "tcp"},
        {"{\"health_check\":{\"protocol\":\"http\"}}", "http"},
        {"{\"health_check\":null}", "tcp"},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct reply reply = ask(world, "PATCH", path, steps[i].patch);
        assert_int_equal(reply.status, 200);
        assert_string_equal(text_at(reply.json, "health_check.protocol"), steps[i].protocol);
        reply_free(&reply);
    }
}

static void test_parts_are_resources(void **state)
{
    struct world *world = *state;
    make_shop(world);
    const char *group = "/v1/projects/1/target-groups/shop";
    char path[128];
    expect(world, "POST", "/v1/projects/1/target-groups/shop/targets",
           "{\"address\":\"10.1.0.50\",\"port\":90,\"weight\":3}", 201);
    expect(world, "POST", "/v1/projects/1/target-groups/shop/targets",
           "{\"address\":\"10.1.0.50\",\"port\":90}", 409);
    expect(world, "PUT", "/v1/projects/1/target-groups/shop/targets/10.1.0.50:90", "{\"weight\":0}",
           200);
    struct reply reply =
        ask(world, "GET", "/v1/projects/1/target-groups/shop/targets/10.1.0.50:90", "");
    assert_int_equal(number_at(reply.json, "weight"), 0);
    reply_free(&reply);
    expect(world, "DELETE", "/v1/projects/1/target-groups/shop/targets/10.1.0.50:90", "", 204);
    expect(world, "GET", "/v1/projects/1/target-groups/shop/targets/10.1.0.50:90", "", 404);
    snprintf(path, sizeof(path), "%s/health-check", group);
    expect(world, "PUT", path, "{\"path\":\"/up\",\"interval_s\":9}", 200);
    expect(world, "PUT", path, "{\"interval_s\":2}", 400);
    reply = ask(world, "GET", path, "");
    assert_string_equal(text_at(reply.json, "path"), "/up");
    reply_free(&reply);
    reply = ask(world, "GET", group, "");
    int64_t id = number_at(reply.json, "id");
    reply_free(&reply);
    char body[96];
    const char *listeners = "/v1/projects/1/load-balancers/shop/listeners";
    snprintf(body, sizeof(body), "{\"port\":8080,\"target_group_id\":%d}", (int)id);
    reply = ask(world, "POST", listeners, body);
    assert_int_equal(reply.status, 201);
    int64_t listener = number_at(reply.json, "id");
    reply_free(&reply);
    expect(world, "POST", listeners, body, 409);
    snprintf(path, sizeof(path), "%s/%d", listeners, (int)listener);
    expect(world, "PATCH", path, "{\"timeouts\":{\"connect_ms\":100}}", 200);
    expect(world, "PATCH", path, "{\"port\":80}", 409);
    expect(world, "PATCH", path, "{\"port\":9901}", 400);
    reply = ask(world, "GET", path, "");
    assert_int_equal(number_at(json_object_get(reply.json, "timeouts"), "connect_ms"), 100);
    assert_int_equal(number_at(json_object_get(reply.json, "timeouts"), "send_ms"), 60000);
    reply_free(&reply);
    expect(world, "DELETE", path, "", 204);
    expect(world, "DELETE", path, "", 404);
    reply = ask(world, "GET", listeners, "");
    snprintf(path, sizeof(path), "%s/%d", listeners,
             (int)number_at(json_array_get(json_object_get(reply.json, "items"), 0), "id"));
    reply_free(&reply);
    expect(world, "DELETE", path, "", 409); // the last one
}

static void test_if_match_guards_a_change(void **state)
{
    struct world *world = *state;
    make_shop(world);
    const char *path = "/v1/projects/1/load-balancers/shop";
    struct reply reply = ask_with(world, "PATCH", path, "If-Match: \"1\"\r\n", "{\"units\":3}");
    assert_int_equal(reply.status, 200);
    assert_int_equal(number_at(reply.json, "generation"), 2);
    reply_free(&reply);
    reply = ask_with(world, "PATCH", path, "If-Match: \"1\"\r\n", "{\"units\":4}");
    assert_int_equal(reply.status, 412);
    assert_string_equal(text_at(reply.json, "code"), "precondition_failed");
    reply_free(&reply);
    reply = ask_with(world, "PATCH", path, "If-Match: W/\"x\"\r\n", "{\"units\":4}");
    assert_int_equal(reply.status, 412);
    reply_free(&reply);
    reply = ask_with(world, "DELETE", path, "If-Match: \"7\"\r\n", "");
    assert_int_equal(reply.status, 412);
    reply_free(&reply);
    expect(world, "DELETE", path, "", 204);
    expect(world, "DELETE", "/v1/projects/1", "", 204);
}

static void test_a_wait_for_serving_ends_at_its_time(void **state)
{
    struct world *world = *state;
    make_shop(world);
    struct reply reply =
        ask(world, "PATCH", "/v1/projects/1/load-balancers/shop?wait=serving&timeout_s=0",
            "{\"units\":1}");
    assert_int_equal(reply.status, 504);
    assert_string_equal(text_at(reply.json, "code"), "not_serving");
    reply_free(&reply);
}

static void test_a_deleted_name_is_free_at_once(void **state)
{
    struct world *world = *state;
    make_shop(world);
    expect(world, "POST", "/v1/requests",
           "{\"action\":\"delete\",\"type\":\"instance\",\"project\":1,\"id\":\"shop\"}", 200);
    expect(
        world, "POST", "/v1/requests",
        "{\"action\":\"create\",\"type\":\"instance\",\"project\":1,\"info\":{\"name\":\"shop\"}}",
        201);
}

static void test_events_are_held_until_something_happens(void **state)
{
    struct world *world = *state;
    make_shop(world);
    struct reply reply = ask(world, "GET", "/v1/events?limit=1", "");
    const json_t *items = json_object_get(reply.json, "items");
    assert_int_equal(json_array_size(items), 1);
    int64_t last = number_at(json_array_get(items, 0), "id");
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/events?limit=1&after=0", "");
    assert_string_equal(text_at(reply.json, "items.0.kind"), "project_created");
    reply_free(&reply);
    char path[96];
    snprintf(path, sizeof(path), "/v1/events?after=%d&wait_ms=20000&project=1", (int)last);
    int fd = dial(world);
    send_request(world, fd, "GET", path, "", STR(""));
    for (int i = 0; i < 5; i++) {
        loop_turn(world->loop, 5);
    }
    char nothing;
    assert_int_equal(recv(fd, &nothing, 1, MSG_DONTWAIT), -1);
    expect(world, "PATCH", "/v1/projects/1/load-balancers/shop", "{\"units\":3}", 200);
    reply = receive(world, fd);
    assert_string_equal(text_at(reply.json, "items.0.kind"), "load_balancer_updated");
    reply_free(&reply);
}

static void test_events_stream_and_a_client_that_leaves_is_forgotten(void **state)
{
    struct world *world = *state;
    make_shop(world);
    int fd = dial(world);
    send_request(world, fd, "GET", "/v1/events", "Accept: text/event-stream\r\n", STR(""));
    char text[8192];
    size_t len = 0;
    while (len < sizeof(text) - 1 && strstr(text, "load_balancer_created") == NULL) {
        loop_turn(world->loop, 20);
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
        text[len] = '\0';
    }
    assert_non_null(strstr(text, "text/event-stream"));
    assert_non_null(strstr(text, "id: 1\ndata: {"));
    close(fd);
    for (int i = 0; i < 5; i++) {
        loop_turn(world->loop, 5);
    }
    expect(world, "PATCH", "/v1/projects/1/load-balancers/shop", "{\"units\":3}", 200);
}

// An agent that reports gets the units of a new load balancer, and what it says of them is seen.
static void test_an_agent_gets_its_document_and_its_report_counts(void **state)
{
    struct world *world = *state;
    const char *report = "{\"node\":\"lab\",\"generation\":0,\"sequence\":1,\"runtime\":\"oci\","
                         "\"routes\":[\"192.168.77.0/24\"],\"networks\":[],\"units\":[]}";
    expect(world, "GET", "/v1/nodes/lab/desired?wait_ms=10", "", 204);
    expect(world, "PUT", "/v1/nodes/lab/observed", report, 204);
    expect(world, "POST", "/v1/projects", "{\"name\":\"r\",\"subnet\":\"192.168.0.0/16\"}", 409);
    make_shop(world);
    struct reply reply = {0};
    size_t units = 0;
    for (int64_t after = 0; units < 2; reply_free(&reply)) {
        char path[96];
        snprintf(path, sizeof(path), "/v1/nodes/lab/desired?after=%d&wait_ms=20000", (int)after);
        reply = ask(world, "GET", path, "");
        assert_int_equal(reply.status, 200);
        units = json_array_size(json_object_get(reply.json, "units"));
        after = number_at(reply.json, "generation");
    }
    reply = ask(world, "GET", "/v1/nodes", "");
    assert_string_equal(text_at(reply.json, "items.0.name"), "lab");
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/units", "");
    assert_int_equal(json_array_size(json_object_get(reply.json, "items")), 2);
    reply_free(&reply);
}

static void test_the_description_names_every_path_and_schema(void **state)
{
    struct world *world = *state;
    struct reply reply = ask(world, "GET", "/openapi.json", "");
    assert_int_equal(reply.status, 200);
    const json_t *paths = json_object_get(reply.json, "paths");
    assert_non_null(json_object_get(json_object_get(paths, "/v1/projects"), "post"));
    char *text = json_dumps(reply.json, JSON_COMPACT);
    const json_t *schemas = json_object_get(json_object_get(reply.json, "components"), "schemas");
    for (const char *at = text; (at = strstr(at, "#/components/schemas/")) != NULL;) {
        char name[64];
        at += strlen("#/components/schemas/");
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\""), at);
        if (json_object_get(schemas, name) == NULL) {
            print_error("no schema %s\n", name);
        }
        assert_non_null(json_object_get(schemas, name));
    }
    free(text);
    reply_free(&reply);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_instance_is_made_of_an_envelope),
        TEST(test_the_source_documents_forms_are_understood),
        TEST(test_an_update_changes_what_it_says_and_nothing_else),
        TEST(test_a_check_speaks_what_its_group_speaks),
        TEST(test_parts_are_resources),
        TEST(test_if_match_guards_a_change),
        TEST(test_a_wait_for_serving_ends_at_its_time),
        TEST(test_a_deleted_name_is_free_at_once),
        TEST(test_events_are_held_until_something_happens),
        TEST(test_events_stream_and_a_client_that_leaves_is_forgotten),
        TEST(test_an_agent_gets_its_document_and_its_report_counts),
        TEST(test_the_description_names_every_path_and_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
