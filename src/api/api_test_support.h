// SPDX-License-Identifier: Apache-2.0
// The API as a client sees it: a real server on a Unix socket, the real controller behind it, the
// store in memory. Shared by the tests of this folder.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/log.h"
#include "codec/json.h"

struct world {
    struct loop *loop;
    struct store *store;
    struct controller *controller;
    struct api *api;
    struct http_server *server;
    char directory[64], path[96];
};

static inline int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct error error = {0};
    log_open("api_test", LOG_LEVEL_ERROR);
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

static inline int teardown(void **state)
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

static inline void reply_free(struct reply *reply)
{
    free(reply->head);
    json_decref(reply->json);
}

static inline int dial(struct world *world)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", world->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static inline void send_request(struct world *world, int fd, const char *method, const char *path,
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

static inline struct reply receive(struct world *world, int fd)
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

static inline struct reply ask_with(struct world *world, const char *method, const char *path,
                                    const char *fields, const char *body)
{
    int fd = dial(world);
    send_request(world, fd, method, path, fields, str_of(body));
    return receive(world, fd);
}

static inline struct reply ask(struct world *world, const char *method, const char *path,
                               const char *body)
{
    return ask_with(world, method, path, "", body);
}

static inline const char *text_at(const json_t *json, const char *path)
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

static inline int64_t number_at(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

static inline void expect(struct world *world, const char *method, const char *path,
                          const char *body, int status)
{
    struct reply reply = ask(world, method, path, body);
    if (reply.status != status) {
        print_error("%s %s %s: %s\n", method, path, body, reply.head);
    }
    assert_int_equal(reply.status, status);
    reply_free(&reply);
}

static inline void make_shop(struct world *world)
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
static inline char *everything(struct world *world)
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
