// SPDX-License-Identifier: Apache-2.0
// The API as a client sees it: a real server on a Unix socket, the real controller behind it, the
// store in memory, and an agent played by the test.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api.h"
#include "codec/json.h"

struct world {
    struct loop *loop;
    struct store *store;
    struct controller *controller;
    struct api *api;
    struct http_server *server;
    char directory[64], path[96];
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct error error = {0};
    snprintf(world->directory, sizeof(world->directory), "/tmp/weir-api-test-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    snprintf(world->path, sizeof(world->path), "%s/socket", world->directory);
    assert_int_equal(loop_new(NULL, &world->loop), 0);
    assert_int_equal(store_open_memory(world->loop, &world->store), 0);
    struct controller_options options = {.loop = world->loop,
                                         .store = world->store,
                                         .clock = &clock_system,
                                         .zone = "weir.internal"};
    prefix_parse(STR("10.90.0.0/16"), &options.front_subnet);
    prefix_parse(STR("10.100.0.0/14"), &options.project_pool);
    failover_settings_defaults(&options.failover);
    assert_int_equal(controller_open(&options, &world->controller, &error), 0);
    struct api_options api = {.loop = world->loop, .controller = world->controller};
    assert_int_equal(api_new(&api, &world->api, &error), 0);
    struct http_server_options server = {.body_max = API_BODY_MAX};
    assert_int_equal(http_server_new(world->loop, &server, api_asked, world->api, &world->server),
                     0);
    assert_int_equal(http_server_listen_unix(world->server, world->path, 0600, &error), 0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    http_server_close(world->server);
    for (int i = 0; i < 5; i++) {
        loop_turn(world->loop, 0);
    }
    api_free(world->api);
    controller_close(world->controller);
    store_close(world->store);
    loop_turn(world->loop, 0);
    loop_free(world->loop);
    unlink(world->path);
    rmdir(world->directory);
    free(world);
    return 0;
}

// ── A client ─────────────────────────────────────────────────────────────────────────────────

struct reply {
    int status;
    char *head; // owned
    json_t *json;
};

static void reply_free(struct reply *reply)
{
    free(reply->head);
    json_decref(reply->json);
}

static int dial(struct world *world)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", world->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void send_request(struct world *world, int fd, const char *method, const char *path,
                         const char *fields, struct str body)
{
    char *head;
    int len = asprintf(&head,
                       "%s %s HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n%s"
                       "Content-Length: %zu\r\n\r\n",
                       method, path, fields, body.len);
    assert_int_equal(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    free(head);
    for (size_t sent = 0; sent < body.len;) {
        ssize_t n = send(fd, body.at + sent, body.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) {
            break;
        }
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(world->loop, 0);
    }
}

static struct reply receive(struct world *world, int fd)
{
    size_t size = 1 << 20, len = 0;
    char *text = malloc(size);
    struct reply reply = {0};
    for (;;) {
        ssize_t n = recv(fd, text + len, size - len - 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            break;
        }
        len += n > 0 ? (size_t)n : 0;
        loop_turn(world->loop, n > 0 ? 0 : 20);
    }
    close(fd);
    text[len] = '\0';
    char *body = strstr(text, "\r\n\r\n");
    assert_int_equal(sscanf(text, "HTTP/1.1 %d", &reply.status), 1);
    reply.json = body != NULL ? json_loads(body + 4, 0, NULL) : NULL;
    reply.head = text;
    return reply;
}

static struct reply ask_with(struct world *world, const char *method, const char *path,
                             const char *fields, const char *body)
{
    int fd = dial(world);
    send_request(world, fd, method, path, fields, str_of(body));
    return receive(world, fd);
}

static struct reply ask(struct world *world, const char *method, const char *path, const char *body)
{
    return ask_with(world, method, path, "", body);
}

static const char *text_at(const json_t *json, const char *path)
{
    char word[64];
    while (json != NULL && path[0] != '\0') {
        size_t len = strcspn(path, ".");
        snprintf(word, sizeof(word), "%.*s", (int)len, path);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(word))
                                   : json_object_get(json, word);
        path += len + (path[len] == '.');
    }
    return json_is_string(json) ? json_string_value(json) : "(none)";
}

static int64_t number_at(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

static void expect(struct world *world, const char *method, const char *path, const char *body,
                   int status)
{
    struct reply reply = ask(world, method, path, body);
    if (reply.status != status) {
        print_error("%s %s %s: %s\n", method, path, body, reply.head);
    }
    assert_int_equal(reply.status, status);
    reply_free(&reply);
}

static void make_shop(struct world *world)
{
    expect(world, "POST", "/v1/projects",
           "{\"name\":\"john's project\",\"user\":\"john\","
           "\"subnet\":\"10.1.0.0/24\"}",
           201);
    expect(world, "POST", "/v1/projects", "{\"name\":\"other\"}", 201);
    expect(world, "POST", "/v1/requests",
           "{\"action\":\"create\",\"type\":\"instance\",\"project\":\"john's project\",\"info\":"
           "{\"name\":\"shop\",\"traffic_type\":\"http\",\"backend\":{\"entities\":"
           "[\"10.1.0.11\",[\"10.1.0.12:8080\"],\"http://10.1.0.13:81/\"]}}}",
           201);
}

// All that users own, as text.
static char *everything(struct world *world)
{
    static const char *const prefixes[] = {"projects/", "load_balancers/", "target_groups/",
                                           "labels/"};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct arena arena;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct store_range range = {.prefix = prefixes[i]};
        struct store_entries entries;
        assert_int_equal(store_list(world->store, &range, &arena, &entries, NULL), 0);
        for (size_t k = 0; k < entries.count; k++) {
            fprintf(out, "%s=%s\n", entries.items[k].key, entries.items[k].value.at);
        }
    }
    arena_reset(&arena);
    fclose(out);
    return text;
}

// ── Tests ────────────────────────────────────────────────────────────────────────────────────

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
    {PROJECT("\"id\":1"), "duplicate_or_not", NULL},
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
        if (strcmp(envelopes[i].code, "duplicate_or_not") == 0) {
            continue;
        }
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
    struct reply reply = ask_with(world, "POST", "/v1/projects",
                                  "Origin: http://evil.example\r\nContent-Type: text/plain\r\n",
                                  "{\"name\":\"p\"}");
    assert_int_equal(reply.status, 403);
    reply_free(&reply);
    reply = ask(world, "GET", "/v1/projects", "");
    assert_int_equal(json_array_size(json_object_get(reply.json, "items")), 0);
    reply_free(&reply);
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
    expect(world, "POST", "/v1/requests", SHOP("\"info\":{\"name\":\"shop\"}"), 201);
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
        TEST(test_parts_are_resources),
        TEST(test_bad_envelopes_are_refused_and_change_nothing),
        TEST(test_bad_rest_requests_are_problems_and_change_nothing),
        TEST(test_ten_megabytes_of_json_are_too_much),
        TEST(test_a_web_page_cannot_change_anything),
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
