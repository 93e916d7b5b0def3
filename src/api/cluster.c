// SPDX-License-Identifier: Apache-2.0
// What is to be seen of the whole: units, nodes, events, health; and the agents' two documents.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/call.h"
#include "codec/json.h"
#include "model/observed.h"

enum { LONG_POLL_MS_MAX = 60000 };

int serve_units(struct call *call)
{
    struct unit *units;
    size_t count;
    int r = service_unit_list(call->api->service, &call->arena, &units, &count, &call->error);
    return r < 0 ? r : answer_items(call, &unit_schema, units, count);
}

int serve_nodes(struct call *call)
{
    struct node *nodes;
    size_t count;
    int r = controller_nodes(call->api->options.controller, &call->arena, &nodes, &count);
    return r < 0 ? error_set(&call->error, r, "out of memory")
                 : answer_items(call, &node_schema, nodes, count);
}

int serve_health(struct call *call)
{
    uint64_t revision = store_revision(call->api->service->store);
    return answer_json(call, 200,
                       json_pack("{s:s, s:s, s:I}", "status", "ok", "version", WEIR_VERSION,
                                 "revision", (json_int_t)revision),
                       0);
}

// ── Agents ───────────────────────────────────────────────────────────────────────────────────

static int again_desired(struct call *call)
{
    struct controller *controller = call->api->options.controller;
    struct desired_text desired;
    int r = controller_desired(controller, call->match.values[0], &desired);
    if (r == 0 && desired.generation > call->waits_for_after) {
        call->answer.status = 200;
        call->answer.text = str_copy(desired.text);
        return call->answer.text != NULL ? 0 : error_set(&call->error, -ENOMEM, "out of memory");
    }
    if (r < 0 && r != -ENOENT) {
        return error_set(&call->error, r, "the desired document cannot be made");
    }
    if (call->expired) {
        return answer_nothing(call);
    }
    controller_wait_desired(controller, call->match.values[0], &call->waiter);
    return API_WAIT;
}

int serve_desired(struct call *call)
{
    uint64_t wait_ms;
    int r = call_number(call, "after", INT64_MAX, 0, &call->waits_for_after);
    if (r == 0) {
        r = call_number(call, "wait_ms", LONG_POLL_MS_MAX, 0, &wait_ms);
    }
    return r < 0 ? r : call_wait(call, wait_ms, again_desired);
}

int serve_observed(struct call *call)
{
    int r = controller_observe(call->api->options.controller, call->match.values[0],
                               call->request->body, &call->error);
    return r < 0 ? r : answer_nothing(call);
}

// ── Events ───────────────────────────────────────────────────────────────────────────────────

// Without `after` the newest; from then on those that follow.
static int look_for_events(struct call *call, size_t limit, json_t **ret_items)
{
    struct service_event_filter filter = {.project_id = call->project_id,
                                          .load_balancer_id = call->load_balancer_id,
                                          .after = call->waits_for_after,
                                          .limit = limit,
                                          .newest = !call->has_after};
    struct event *events;
    size_t count = 0;
    struct arena arena;
    arena_init(&arena, 8192);
    int r = service_event_list(call->api->service, &filter, &arena, &events, &count, &call->error);
    json_t *items = r == 0 ? json_array() : NULL;
    for (size_t i = 0; i < count && items != NULL; i++) {
        json_t *item = schema_print(&event_schema, &events[i]);
        if (item == NULL || json_array_append_new(items, item) < 0) {
            json_decref(items);
            items = NULL;
        } else {
            call->waits_for_after = events[i].id;
            call->has_after = true;
        }
    }
    arena_reset(&arena);
    if (items == NULL) {
        return r < 0 ? r : error_set(&call->error, -ENOMEM, "out of memory");
    }
    *ret_items = items;
    return 0;
}

static int again_events(struct call *call)
{
    json_t *items = NULL;
    int r = look_for_events(call, call->waits_for_id, &items);
    if (r < 0) {
        return r;
    }
    if (json_array_size(items) == 0 && !call->expired) {
        json_decref(items);
        controller_wait_events(call->api->options.controller, &call->waiter);
        return API_WAIT;
    }
    return answer_json(call, 200, json_pack("{s:o}", "items", items), 0);
}

// text/event-stream (WHATWG HTML §9.2): one event a message, its id as id, so that a browser that
// comes back says where it was. A comment now and then keeps the connection alive.
enum { STREAM_KEEPALIVE_MS = 15000 };

static bool send_events(struct call *call, const json_t *items)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        char *text = json_doc_print(item), *message = NULL;
        int len = text == NULL ? -1
                               : asprintf(&message, "id: %" JSON_INTEGER_FORMAT "\ndata: %s\n\n",
                                          json_integer_value(json_object_get(item, "id")), text);
        bool sent =
            len >= 0 && http_request_stream_send(call->request, (struct str){message, (size_t)len});
        free(text);
        free(len >= 0 ? message : NULL);
        if (!sent) {
            return false;
        }
    }
    return true;
}

static int again_stream(struct call *call)
{
    json_t *items = NULL;
    if (call->expired) {
        call->expired = false;
        timer_set(call->api->options.loop, &call->deadline, STREAM_KEEPALIVE_MS);
        if (!http_request_stream_send(call->request, STR(":\n\n"))) {
            return API_TAKEN; // `gone` has freed, or will free, the call
        }
    }
    if (look_for_events(call, call->waits_for_id, &items) == 0) {
        bool sent = send_events(call, items);
        json_decref(items);
        if (!sent) {
            return API_TAKEN;
        }
    }
    controller_wait_events(call->api->options.controller, &call->waiter);
    return API_TAKEN;
}

static int begin_stream(struct call *call)
{
    struct http_reply reply = {.status = 200,
                               .content_type = STR("text/event-stream"),
                               .headers = {{STR("Cache-Control"), STR("no-store")}}};
    http_request_stream_begin(call->request, &reply);
    return call_wait(call, STREAM_KEEPALIVE_MS, again_stream);
}

// project and load_balancer: an id, or a name (a load balancer's needs the project).
static int read_event_filter(struct call *call)
{
    const char *project_ref = call_parameter(call, "project");
    const char *balancer_ref = call_parameter(call, "load_balancer");
    struct project *project = NULL;
    struct load_balancer *balancer;
    if (project_ref == NULL || balancer_ref == NULL) {
        return call->error.code;
    }
    if (project_ref[0] != '\0') {
        int r = service_project_find(call->api->service, project_ref, &call->arena, &project,
                                     &call->error);
        // Events outlive their project: an id need not exist any more.
        if (r == -ENOENT && str_to_u64(str_of(project_ref), INT64_MAX, &call->project_id) == 0) {
            call->error = (struct error){0};
        } else if (r < 0) {
            return r;
        } else {
            call->project_id = project->id;
        }
    }
    if (balancer_ref[0] == '\0' ||
        str_to_u64(str_of(balancer_ref), INT64_MAX, &call->load_balancer_id) == 0) {
        return 0;
    }
    if (project == NULL) {
        return error_set_field(&call->error, -EINVAL, "invalid_parameter", "load_balancer",
                               "the name of a load balancer needs the parameter project");
    }
    int r = service_load_balancer_find(call->api->service, project, balancer_ref, &call->arena,
                                       &balancer, &call->error);
    call->load_balancer_id = r == 0 ? balancer->id : 0;
    return r;
}

int serve_events(struct call *call)
{
    uint64_t wait_ms, limit;
    const struct http1_field *accept = http1_find(call->request->head, HTTP1_ACCEPT, 0);
    const struct http1_field *last = http1_find_name(call->request->head, STR("last-event-id"));
    int r = read_event_filter(call);
    if (r == 0) {
        r = call_number(call, "after", INT64_MAX, 0, &call->waits_for_after);
    }
    if (r == 0) {
        r = call_number(call, "limit", 1000, 100, &limit);
    }
    if (r == 0) {
        r = call_number(call, "wait_ms", LONG_POLL_MS_MAX, 0, &wait_ms);
    }
    if (r < 0) {
        return r;
    }
    call->waits_for_id = MAX(limit, UINT64_C(1));
    const char *after = call_parameter(call, "after");
    call->has_after = after != NULL && after[0] != '\0';
    if (last != NULL && str_to_u64(last->value, INT64_MAX, &call->waits_for_after) == 0) {
        call->has_after = true;
    }
    bool streams = accept != NULL &&
                   memmem(accept->value.at, accept->value.len, "text/event-stream", 17) != NULL;
    return streams ? begin_stream(call) : call_wait(call, wait_ms, again_events);
}
