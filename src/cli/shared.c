// SPDX-License-Identifier: Apache-2.0
#include "cli/shared.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "cli/output.h"

enum { POLL_MS = 100, WAIT_DEFAULT_S = 60, WEIGHT_MAX = 1000 };

void json_release(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

int print_answer(const json_t *body)
{
    print_json(body, false);
    return EXIT_OK;
}

int need_project(const struct call *call, const char **ret_project)
{
    *ret_project = call_project(call);
    if (*ret_project == NULL) {
        tell_error("which project? Say it with --project or $WEIR_PROJECT");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int get_lb(struct call *call, const char *project, const char *name, json_t **ret_balancer)
{
    cleanup(free_ptr) char *path = client_path("/v1/projects/%s/load-balancers/%s", project, name);
    return client_get(&call->client, path, ret_balancer);
}

int pick_listener(const struct call *call, const json_t *balancer, const json_t **ret_listener)
{
    const json_t *listeners = json_object_get(balancer, "listeners");
    uint64_t port = call_number(call, OPTION_LISTENER, 0);
    size_t i;
    json_t *listener;
    if (port == 0 && json_array_size(listeners) == 1) {
        *ret_listener = json_array_get(listeners, 0);
        return EXIT_OK;
    }
    if (port == 0) {
        tell_error("it has %zu listeners: say which with --listener PORT",
                   json_array_size(listeners));
        return EXIT_USAGE;
    }
    json_array_foreach(listeners, i, listener)
    {
        if (json_number(listener, "port") == port) {
            *ret_listener = listener;
            return EXIT_OK;
        }
    }
    tell_error("it has no listener on port %llu", (unsigned long long)port);
    return EXIT_REFUSED;
}

void format_health_check(const json_t *check, char *buffer, size_t size)
{
    uint64_t port = json_number(check, "port");
    bool http = strcasecmp(json_text(check, "protocol"), "http") == 0;
    if (json_is_false(json_object_get(check, "enabled"))) {
        snprintf(buffer, size, "off");
        return;
    }
    char at[32] = "";
    if (port > 0) {
        snprintf(at, sizeof(at), " port %llu", (unsigned long long)port);
    }
    snprintf(buffer, size, "%s%s%s%s every %llu s", http ? "HTTP" : "TCP", http ? " " : "",
             http ? json_text(check, "path") : "", at,
             (unsigned long long)json_number(check, "interval_s"));
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static uint64_t wait_end_ms(const struct call *call)
{
    return clock_now_ms(&clock_system) + call_number(call, OPTION_TIMEOUT, WAIT_DEFAULT_S) * 1000;
}

// Tells what is new in the list `key` of the status since the last look: one line for each item
// whose `state_key` differs.
static void tell_changes(const json_t *before, const json_t *now, const char *key,
                         const char *state_key, const char *noun)
{
    const json_t *old_items = json_object_get(before, key);
    size_t i, j;
    json_t *item, *old;
    json_array_foreach(json_object_get(now, key), i, item)
    {
        const char *was = "";
        json_array_foreach(old_items, j, old)
        {
            if (json_number(old, "id") == json_number(item, "id") &&
                strcmp(json_text(old, "address"), json_text(item, "address")) == 0) {
                was = json_text(old, state_key);
            }
        }
        const char *state = json_text(item, state_key);
        if (strcmp(was, state) == 0) {
            continue;
        }
        const char *reason = json_text(item, "reason"), *node = json_text(item, "node");
        const char *number =
            json_number(item, "id") > 0 ? number_text(json_number(item, "id")) : "";
        tell_progress("%s %s%s%s%s%s: %s%s%s%s", noun, number, number[0] != '\0' ? " at " : "",
                      json_text(item, "address"), node[0] != '\0' ? " on " : "", node, state,
                      reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "");
    }
}

int wait_active(struct call *call, const char *project, const char *name, json_t **ret_balancer)
{
    uint64_t end_ms = wait_end_ms(call);
    cleanup(json_release) json_t *before = NULL;
    const char *state = "";
    for (;;) {
        json_t *now = NULL;
        int code = get_lb(call, project, name, &now);
        if (code != EXIT_OK) {
            return code;
        }
        const json_t *status = json_object_get(now, "status");
        const json_t *old = json_object_get(before, "status");
        tell_changes(old, status, "units", "state", "unit");
        tell_changes(old, status, "targets", "verdict", "target");
        if (strcmp(state, json_text(status, "state")) != 0) {
            tell_progress("%s: %s", json_text(now, "name"), json_text(status, "state"));
        }
        json_decref(before);
        before = now;
        state = json_text(status, "state");
        // A state that was seen before the last change says nothing about it.
        const json_t *seen = json_object_get(status, "generation");
        bool current =
            seen == NULL || json_integer_value(seen) >= (json_int_t)json_number(now, "generation");
        if (current && strcmp(state, "active") == 0) {
            break;
        }
        if (clock_now_ms(&clock_system) >= end_ms) {
            tell_error("%s is still %s after %llu s", name, state,
                       (unsigned long long)call_number(call, OPTION_TIMEOUT, WAIT_DEFAULT_S));
            return EXIT_TIMED_OUT;
        }
        pause_ms(POLL_MS);
    }
    if (ret_balancer != NULL) {
        *ret_balancer = json_incref(before);
    }
    return EXIT_OK;
}

int wait_gone(struct call *call, const char *path, const char *name)
{
    uint64_t end_ms = wait_end_ms(call);
    for (;;) {
        struct answer answer;
        int code = client_send(&call->client, "GET", path, NULL, NULL, &answer);
        if (code != EXIT_OK) {
            return code;
        }
        long status = answer.status;
        answer_free(&answer);
        if (status == 404) {
            return EXIT_OK;
        }
        if (clock_now_ms(&clock_system) >= end_ms) {
            tell_error("%s is still there after %llu s", name,
                       (unsigned long long)call_number(call, OPTION_TIMEOUT, WAIT_DEFAULT_S));
            return EXIT_TIMED_OUT;
        }
        pause_ms(POLL_MS);
    }
}

int target_split(char *text, char **ret_place, int *ret_weight)
{
    // A URL may hold "=" in its query; nothing behind its host counts, so the last one decides.
    char *equal = strrchr(text, '=');
    int weight = -1;
    if (equal != NULL) {
        uint64_t number;
        if (str_to_u64(str_of(equal + 1), WEIGHT_MAX, &number) < 0) {
            return -EINVAL;
        }
        *equal = '\0';
        weight = (int)number;
    }
    if (text[0] == '\0') {
        return -EINVAL;
    }
    *ret_place = text;
    *ret_weight = weight;
    return 0;
}

int target_place(const char *place, char *address, size_t size, unsigned *ret_port)
{
    uint64_t port = 0;
    const char *scheme = strstr(place, "://");
    if (scheme != NULL) {
        port = strncasecmp(place, "https", 5) == 0 ? 443 : 80;
        place = scheme + 3;
    }
    size_t len = strcspn(place, scheme != NULL ? "/?#" : "");
    const char *end = place + len;
    const char *host_end = end, *colon = NULL;
    if (place[0] == '[') {
        const char *bracket = memchr(place, ']', len);
        if (bracket == NULL || (bracket + 1 != end && bracket[1] != ':')) {
            return -EINVAL;
        }
        place++;
        host_end = bracket;
        colon = bracket + 1 != end ? bracket + 1 : NULL;
    } else {
        const char *first = memchr(place, ':', len);
        // More than one colon without brackets: an IPv6 address without a port.
        if (first != NULL && memchr(first + 1, ':', (size_t)(end - first - 1)) == NULL) {
            colon = host_end = first;
        }
    }
    if (colon != NULL &&
        (str_to_u64((struct str){colon + 1, (size_t)(end - colon - 1)}, 65535, &port) < 0 ||
         port == 0)) {
        return -EINVAL;
    }
    size_t host_len = (size_t)(host_end - place);
    if (host_len == 0 || host_len >= size) {
        return -EINVAL;
    }
    memcpy(address, place, host_len);
    address[host_len] = '\0';
    *ret_port = (unsigned)port;
    return 0;
}
