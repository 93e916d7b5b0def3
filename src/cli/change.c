// SPDX-License-Identifier: Apache-2.0
// weir create|update|delete …. A load balancer is created with its listener and its target group in
// one transaction, by the envelope; an update of targets is one PATCH of the whole list, which
// another one's change in between makes start again (If-Match).
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

enum { CONFLICTS_MAX = 8, TARGET_TEXT_MAX = 512 };

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL) {
        json_object_set_new(object, key, json_string(text));
    }
}

static void set_number(json_t *object, const char *key, const struct call *call, enum option_id id)
{
    if (call_option(call, id) != NULL) {
        json_object_set_new(object, key, json_integer((json_int_t)call_number(call, id, 0)));
    }
}

int run_create_project(struct call *call)
{
    cleanup(json_release) json_t *body = json_object();
    set_text(body, "name", call->argument);
    set_text(body, "subnet", call_option(call, OPTION_SUBNET));
    set_text(body, "user", call_option(call, OPTION_USER));
    struct answer answer;
    int code = client_ask(&call->client, "POST", "/v1/projects", body, NULL, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    if (call->json) {
        print_answer(answer.body);
    } else {
        cleanup(free_ptr) char *name = text_clean(json_text(answer.body, "name"));
        cleanup(free_ptr) char *subnet = text_clean(json_text(answer.body, "subnet"));
        printf("Project %s (id %llu) has the subnet %s.\n", name,
               (unsigned long long)json_number(answer.body, "id"), subnet);
    }
    answer_free(&answer);
    return EXIT_OK;
}

int run_update_project(struct call *call)
{
    cleanup(json_release) json_t *body = json_object();
    cleanup(free_ptr) char *path = client_path("/v1/projects/%s", call->argument);
    set_text(body, "subnet", call_option(call, OPTION_SUBNET));
    set_text(body, "user", call_option(call, OPTION_USER));
    if (json_object_size(body) == 0) {
        tell_error("update what? --subnet or --user");
        return EXIT_USAGE;
    }
    struct answer answer;
    int code = client_ask(&call->client, "PATCH", path, body, NULL, &answer);
    if (code == EXIT_OK) {
        if (call->json) {
            print_answer(answer.body);
        } else {
            printf("Updated.\n");
        }
        answer_free(&answer);
    }
    return code;
}

// --target as an entity of the envelope: a text, or an object where it has a weight.
static int add_entity(json_t *entities, const char *argument, uint64_t listener_port)
{
    char text[TARGET_TEXT_MAX], address[256], *place;
    int weight;
    unsigned port;
    if (strlen(argument) >= sizeof(text) ||
        target_split(strcpy(text, argument), &place, &weight) < 0 ||
        target_place(place, address, sizeof(address), &port) < 0) {
        tell_error("\"%s\" is no target; write ADDRESS:PORT, ADDRESS:PORT=WEIGHT or a URL",
                   argument);
        return EXIT_USAGE;
    }
    if (weight < 0) {
        json_array_append_new(entities, json_string(place));
    } else {
        json_array_append_new(entities, json_pack("{s:s, s:I, s:i}", "address", address, "port",
                                                  (json_int_t)(port > 0 ? port : listener_port),
                                                  "weight", weight));
    }
    return EXIT_OK;
}

static json_t *health_check_of(const struct call *call)
{
    json_t *check = json_object();
    const char *protocol = call_option(call, OPTION_HEALTH_PROTOCOL);
    const char *path = call_option(call, OPTION_HEALTH_PATH);
    if (protocol != NULL || path != NULL) {
        bool tcp = protocol != NULL && strcmp(protocol, "tcp") == 0;
        set_text(check, "protocol", tcp ? "TCP" : "HTTP");
    }
    set_text(check, "request-path", path);
    set_number(check, "port", call, OPTION_HEALTH_PORT);
    if (call_option(call, OPTION_HEALTH_INTERVAL) != NULL) {
        json_int_t interval = (json_int_t)call_number(call, OPTION_HEALTH_INTERVAL, 0);
        // A check may not last longer than its interval; 5 s is the default of both.
        json_object_set_new(
            check, "criteria",
            json_pack("{s:I, s:I}", "interval", interval, "timeout", MIN(interval, (json_int_t)5)));
    }
    return check;
}

static void print_created(const json_t *info, bool waited)
{
    cleanup(free_ptr) char *name = text_clean(json_text(info, "name"));
    cleanup(free_ptr) char *url = text_clean(json_text(info, "url"));
    printf("Load balancer %s (id %llu) %s %s\n", name, (unsigned long long)json_number(info, "id"),
           waited ? "serves" : "is coming up at", url);
}

int run_create_lb(struct call *call)
{
    const char *project, *protocol = call_option(call, OPTION_PROTOCOL);
    int code = need_project(call, &project);
    if (code != EXIT_OK) {
        return code;
    }
    const struct option_values *targets = &call->values[OPTION_TARGET];
    bool tcp = protocol != NULL && strcmp(protocol, "tcp") == 0;
    uint64_t port = call_number(call, OPTION_PORT, tcp ? 0 : 80);
    if (port == 0) {
        tell_error("a tcp load balancer needs a --port");
        return EXIT_USAGE;
    }
    cleanup(json_release) json_t *entities = json_array();
    for (size_t i = 0; i < targets->count; i++) {
        code = add_entity(entities, targets->at[i], port);
        if (code != EXIT_OK) {
            return code;
        }
    }
    cleanup(json_release) json_t *backend = json_pack("{s:O}", "entities", entities);
    set_text(backend, "algorithm", call_option(call, OPTION_ALGORITHM));
    cleanup(json_release) json_t *check = health_check_of(call);
    if (json_object_size(check) > 0) {
        json_object_set(backend, "health-check", check);
    }
    cleanup(json_release) json_t *info =
        json_pack("{s:s, s:s, s:I, s:O}", "name", call->argument, "traffic_type",
                  tcp ? "tcp" : "http", "port", (json_int_t)port, "backend", backend);
    if (info == NULL) {
        tell_error("the name is not UTF-8");
        return EXIT_USAGE;
    }
    set_number(info, "units", call, OPTION_UNITS);
    cleanup(json_release) json_t *envelope =
        json_pack("{s:s, s:s, s:s, s:O}", "action", "create", "type", "instance", "project",
                  project, "info", info);
    struct answer answer;
    code = client_ask(&call->client, "POST", "/v1/requests", envelope, NULL, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    cleanup(json_release) json_t *body = answer.body, *active = NULL;
    const json_t *created = json_object_get(body, "info");
    bool wait = call_option(call, OPTION_WAIT) != NULL;
    if (wait) {
        // By id: a name may be another's by then.
        char id[24];
        snprintf(id, sizeof(id), "%llu", (unsigned long long)json_number(created, "id"));
        code = wait_active(call, project, id, &active);
        if (code != EXIT_OK) {
            return code;
        }
    }
    if (call->json) {
        return print_answer(active != NULL ? active : created);
    }
    print_created(created, wait);
    return EXIT_OK;
}

static size_t find_target(const json_t *targets, const char *address, unsigned port)
{
    size_t i;
    json_t *target;
    json_array_foreach(targets, i, target)
    {
        if (strcmp(json_text(target, "address"), address) == 0 &&
            json_number(target, "port") == port) {
            return i;
        }
    }
    return SIZE_MAX;
}

// One --add-target or --remove-target on the list.
static int change_target(json_t *targets, const char *argument, bool remove)
{
    char text[TARGET_TEXT_MAX], address[256], *place;
    int weight;
    unsigned port;
    if (strlen(argument) >= sizeof(text) ||
        target_split(strcpy(text, argument), &place, &weight) < 0 ||
        target_place(place, address, sizeof(address), &port) < 0 || port == 0) {
        tell_error("\"%s\" is no target; write ADDRESS:PORT%s", argument,
                   remove ? "" : " or ADDRESS:PORT=WEIGHT");
        return EXIT_USAGE;
    }
    size_t at = find_target(targets, address, port);
    if (remove) {
        if (at == SIZE_MAX) {
            tell_error("there is no target %s", place);
            return EXIT_REFUSED;
        }
        json_array_remove(targets, at);
    } else if (at != SIZE_MAX) {
        json_object_set_new(json_array_get(targets, at), "weight",
                            json_integer(weight >= 0 ? weight : 1));
    } else {
        json_array_append_new(targets, json_pack("{s:s, s:i, s:i}", "address", address, "port",
                                                 (int)port, "weight", weight >= 0 ? weight : 1));
    }
    return EXIT_OK;
}

// What of the call concerns the target group, as a merge patch of it.
static int group_patch(const struct call *call, const json_t *group, json_t *patch)
{
    const struct option_values *remove = &call->values[OPTION_REMOVE_TARGET];
    const struct option_values *add = &call->values[OPTION_ADD_TARGET];
    if (remove->count + add->count > 0) {
        cleanup(json_release) json_t *targets = json_deep_copy(json_object_get(group, "targets"));
        for (size_t i = 0; i < remove->count + add->count; i++) {
            bool removes = i < remove->count;
            int code = change_target(targets, removes ? remove->at[i] : add->at[i - remove->count],
                                     removes);
            if (code != EXIT_OK) {
                return code;
            }
        }
        json_object_set(patch, "targets", targets);
    }
    set_text(patch, "algorithm", call_option(call, OPTION_ALGORITHM));
    cleanup(json_release) json_t *check = json_object();
    set_text(check, "protocol", call_option(call, OPTION_HEALTH_PROTOCOL));
    set_text(check, "path", call_option(call, OPTION_HEALTH_PATH));
    set_number(check, "port", call, OPTION_HEALTH_PORT);
    set_number(check, "interval_s", call, OPTION_HEALTH_INTERVAL);
    const json_t *present = json_object_get(group, "health_check");
    if (call_option(call, OPTION_HEALTH_INTERVAL) != NULL &&
        json_number(present, "timeout_s") > call_number(call, OPTION_HEALTH_INTERVAL, 0)) {
        set_number(check, "timeout_s", call, OPTION_HEALTH_INTERVAL);
    }
    if (json_object_size(check) > 0) {
        json_object_set(patch, "health_check", check);
    }
    return EXIT_OK;
}

static int update_group(struct call *call, const char *project, uint64_t id)
{
    cleanup(free_ptr) char *path = client_path("/v1/projects/%s/target-groups/%u", project, id);
    for (int attempt = 0;; attempt++) {
        struct answer answer;
        int code = client_ask(&call->client, "GET", path, NULL, NULL, &answer);
        if (code != EXIT_OK) {
            return code;
        }
        cleanup(json_release) json_t *group = answer.body, *patch = json_object();
        code = group_patch(call, group, patch);
        if (code != EXIT_OK || json_object_size(patch) == 0) {
            return code;
        }
        struct answer patched;
        code = client_send(&call->client, "PATCH", path, patch, answer.etag, &patched);
        if (code != EXIT_OK) {
            return code;
        }
        if (patched.status >= 400 && (patched.status != 412 || attempt >= CONFLICTS_MAX)) {
            code = client_tell_refusal(&patched);
        }
        bool again = patched.status == 412 && code == EXIT_OK;
        answer_free(&patched);
        if (!again) {
            return code;
        }
    }
}

static int patch_at(struct call *call, const char *path, const json_t *patch)
{
    struct answer answer;
    int code = client_ask(&call->client, "PATCH", path, patch, NULL, &answer);
    if (code == EXIT_OK) {
        answer_free(&answer);
    }
    return code;
}

int run_update_lb(struct call *call)
{
    static const uint32_t group_options = OPTION_BIT(ADD_TARGET) | OPTION_BIT(REMOVE_TARGET) |
                                          OPTION_BIT(ALGORITHM) | OPTION_BIT(HEALTH_PROTOCOL) |
                                          OPTION_BIT(HEALTH_PATH) | OPTION_BIT(HEALTH_PORT) |
                                          OPTION_BIT(HEALTH_INTERVAL);
    uint32_t given = 0;
    for (int id = 0; id < OPTION_COUNT; id++) {
        given |= call->values[id].count > 0 ? 1u << id : 0;
    }
    const char *project;
    int code = need_project(call, &project);
    if (code != EXIT_OK) {
        return code;
    }
    if (!(given & (group_options | OPTION_BIT(PORT) | OPTION_BIT(UNITS)))) {
        tell_error("update what? See weir help update");
        return EXIT_USAGE;
    }
    cleanup(json_release) json_t *balancer = NULL, *after = NULL;
    code = get_lb(call, project, call->argument, &balancer);
    const json_t *listener = NULL;
    if (code == EXIT_OK && (given & (group_options | OPTION_BIT(PORT)))) {
        code = pick_listener(call, balancer, &listener);
    }
    uint64_t id = json_number(balancer, "id");
    if (code == EXIT_OK && (given & group_options)) {
        code = update_group(call, project, json_number(listener, "target_group_id"));
    }
    if (code == EXIT_OK && (given & OPTION_BIT(UNITS))) {
        cleanup(free_ptr) char *path =
            client_path("/v1/projects/%s/load-balancers/%u", project, id);
        cleanup(json_release) json_t *patch = json_object();
        set_number(patch, "units", call, OPTION_UNITS);
        code = patch_at(call, path, patch);
    }
    if (code == EXIT_OK && (given & OPTION_BIT(PORT))) {
        cleanup(free_ptr) char *path = client_path("/v1/projects/%s/load-balancers/%u/listeners/%u",
                                                   project, id, json_number(listener, "id"));
        cleanup(json_release) json_t *patch = json_object();
        set_number(patch, "port", call, OPTION_PORT);
        code = patch_at(call, path, patch);
    }
    if (code != EXIT_OK) {
        return code;
    }
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)id);
    code = call_option(call, OPTION_WAIT) != NULL ? wait_active(call, project, name, &after)
                                                  : get_lb(call, project, name, &after);
    if (code == EXIT_OK) {
        if (call->json) {
            print_answer(after);
        } else {
            cleanup(free_ptr) char *url =
                text_clean(json_text(json_object_get(after, "status"), "url"));
            printf("Updated; %s\n", url);
        }
    }
    return code;
}

// path: of the object. A 404 while waiting is the end.
static int delete_at(struct call *call, const char *path)
{
    struct answer answer;
    int code = client_ask(&call->client, "DELETE", path, NULL, NULL, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    answer_free(&answer);
    if (call_option(call, OPTION_WAIT) != NULL) {
        code = wait_gone(call, path, call->argument);
    }
    if (code == EXIT_OK && !call->json) {
        printf("Deleted.\n");
    }
    return code;
}

int run_delete_project(struct call *call)
{
    cleanup(free_ptr) char *path = client_path("/v1/projects/%s", call->argument);
    return delete_at(call, path);
}

int run_delete_lb(struct call *call)
{
    const char *project;
    int code = need_project(call, &project);
    if (code != EXIT_OK) {
        return code;
    }
    // By id: the name is free again, and may be another's, while the units go down.
    cleanup(json_release) json_t *balancer = NULL;
    code = get_lb(call, project, call->argument, &balancer);
    if (code != EXIT_OK) {
        return code;
    }
    cleanup(free_ptr) char *path =
        client_path("/v1/projects/%s/load-balancers/%u", project, json_number(balancer, "id"));
    return delete_at(call, path);
}

int run_delete_target_group(struct call *call)
{
    const char *project;
    int code = need_project(call, &project);
    if (code != EXIT_OK) {
        return code;
    }
    cleanup(free_ptr) char *path =
        client_path("/v1/projects/%s/target-groups/%s", project, call->argument);
    return delete_at(call, path);
}
