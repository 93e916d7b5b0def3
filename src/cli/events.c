// SPDX-License-Identifier: Apache-2.0
// weir events: what Weir did on its own, oldest first. --follow asks again with the last id and
// lets the controller hold the answer back until there is something (a long poll); a controller
// that is restarted meanwhile is waited for.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

enum { HOLD_MS = 20000, RETRY_MS = 500 };

static void print_event(const json_t *event)
{
    static const struct {
        const char *part, *color;
    } kinds[] = {{"failed", "red"},      {"lost", "red"},       {"refused", "red"},
                 {"unhealthy", "red"},   {"serving", "green"},  {"healthy", "green"},
                 {"recovered", "green"}, {"started", "green"},  {"replac", "yellow"},
                 {"recycled", "yellow"}, {"deleted", "yellow"}, {"dns", "bold"}};
    const char *kind = json_text(event, "kind"), *color = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && color == NULL; i++) {
        color = strstr(kind, kinds[i].part) != NULL ? kinds[i].color : NULL;
    }
    // 2026-11-23T20:00:00.123Z: the time of the day is enough on a line.
    const char *at = json_text(event, "at");
    cleanup(free_ptr) char *time = text_clean(strlen(at) >= 23 ? at + 11 : at);
    cleanup(free_ptr) char *what = text_clean(json_text(event, "what"));
    cleanup(free_ptr) char *why = text_clean(json_text(event, "why"));
    uint64_t step = json_number(event, "step");
    char number[16] = "", row[64];
    if (step > 0) {
        snprintf(number, sizeof(number), "step %u", (unsigned)MIN(step, UINT64_C(99)));
    }
    snprintf(row, sizeof(row), "%-22s", kind);
    printf("%5llu  %.12s  %-6s  ", (unsigned long long)json_number(event, "id"), time, number);
    print_colored(stdout, color, row);
    printf("  %s%s%s%s\n", what, why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "");
}

// The path of the next page; lb: id of the load balancer, 0: all.
static char *events_path(const struct call *call, uint64_t lb, bool has_after, uint64_t after,
                         bool hold)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return NULL;
    }
    fprintf(stream, "/v1/events?limit=%llu",
            (unsigned long long)call_number(call, OPTION_LIMIT, 100));
    const char *project = call_project(call);
    if (project != NULL) {
        cleanup(free_ptr) char *encoded = client_path("&project=%s", project);
        fputs(encoded != NULL ? encoded : "", stream);
    }
    if (lb != 0) {
        fprintf(stream, "&load_balancer=%llu", (unsigned long long)lb);
    }
    if (has_after) {
        fprintf(stream, "&after=%llu", (unsigned long long)after);
    }
    if (hold) {
        fprintf(stream, "&wait_ms=%d", HOLD_MS);
    }
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void print_page(const struct call *call, const json_t *body, uint64_t *last)
{
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(body, "items"), i, event)
    {
        if (call->json) {
            print_json(event, true);
        } else {
            print_event(event);
        }
        *last = MAX(*last, json_number(event, "id"));
    }
    fflush(stdout);
}

// One held request after the other until the user ends it. Told once when the controller is away.
static int follow(struct call *call, uint64_t lb, uint64_t last)
{
    call->client.timeout_ms = HOLD_MS + 10000;
    bool away = false;
    while (!ferror(stdout)) {
        cleanup(free_ptr) char *path = events_path(call, lb, true, last, true);
        cleanup(json_release) json_t *body = NULL;
        struct answer answer;
        call->client.quiet = away;
        int code = client_send(&call->client, "GET", path, NULL, NULL, &answer);
        if (code == EXIT_UNREACHABLE) {
            away = true;
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
            continue;
        }
        body = answer.body;
        if (code != EXIT_OK || answer.status >= 400) {
            return code != EXIT_OK ? code : client_tell_refusal(&answer);
        }
        if (away) {
            tell_error("the controller answers again");
            away = false;
        }
        print_page(call, body, &last);
    }
    return EXIT_OK;
}

int run_events(struct call *call)
{
    uint64_t lb = 0, last = call_number(call, OPTION_AFTER, 0);
    const char *name = call_option(call, OPTION_LB);
    if (name != NULL) {
        const char *project;
        cleanup(json_release) json_t *balancer = NULL;
        int code = need_project(call, &project);
        code = code == EXIT_OK ? get_lb(call, project, name, &balancer) : code;
        if (code != EXIT_OK) {
            return code;
        }
        lb = json_number(balancer, "id");
    }
    bool has_after = call_option(call, OPTION_AFTER) != NULL;
    bool follows = call_option(call, OPTION_FOLLOW) != NULL;
    cleanup(free_ptr) char *path = events_path(call, lb, has_after, last, false);
    cleanup(json_release) json_t *body = NULL;
    int code = client_get(&call->client, path, &body);
    if (code != EXIT_OK) {
        return code;
    }
    if (call->json && !follows) {
        return print_answer(body);
    }
    print_page(call, body, &last);
    if (follows) {
        return follow(call, lb, last);
    }
    if (json_array_size(json_object_get(body, "items")) == 0) {
        printf("Nothing has happened yet.\n");
    }
    return EXIT_OK;
}
