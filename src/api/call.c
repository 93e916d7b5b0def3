// SPDX-License-Identifier: Apache-2.0
// What all functions of routes share: reading the request, answering, waiting.
#include "api/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"

// ── Reading ──────────────────────────────────────────────────────────────────────────────────

const char *call_value(struct call *call, size_t index)
{
    struct str copy = arena_copy(&call->arena, call->match.values[index]);
    if (copy.at == NULL) {
        error_set(&call->error, -ENOMEM, "out of memory");
    }
    return copy.at;
}

const char *call_parameter(struct call *call, const char *name)
{
    char room[512];
    struct str value;
    if (http_request_parameter(call->request, str_of(name), room, sizeof(room), &value) < 0) {
        error_set_field(&call->error, -EINVAL, "invalid_parameter", name,
                        "the parameter %s is badly encoded or too long", name);
        return NULL;
    }
    struct str copy = arena_copy(&call->arena, value);
    if (copy.at == NULL) {
        error_set(&call->error, -ENOMEM, "out of memory");
    }
    return copy.at;
}

int call_number(struct call *call, const char *name, uint64_t max, uint64_t absent,
                uint64_t *ret_number)
{
    const char *text = call_parameter(call, name);
    if (text == NULL) {
        return call->error.code;
    }
    if (text[0] == '\0') {
        *ret_number = absent;
        return 0;
    }
    if (str_to_u64(str_of(text), max, ret_number) < 0) {
        return error_set_field(&call->error, -EINVAL, "invalid_parameter", name,
                               "the parameter %s must be an integer from 0 to %" PRIu64, name, max);
    }
    return 0;
}

int call_if_match(struct call *call, uint64_t *ret_generation)
{
    const struct http1_field *field = http1_find(call->request->head, HTTP1_IF_MATCH, 0);
    *ret_generation = 0;
    if (field == NULL || str_equal(field->value, STR("*"))) {
        return 0;
    }
    struct str tag = field->value;
    if (tag.len > 2 && tag.at[0] == '"' && tag.at[tag.len - 1] == '"') {
        tag = (struct str){tag.at + 1, tag.len - 2};
    }
    if (str_to_u64(tag, INT64_MAX, ret_generation) < 0 || *ret_generation == 0) {
        return error_set_field(&call->error, -ESTALE, "precondition_failed", "If-Match",
                               "If-Match must hold one ETag as it was given, such as \"3\"");
    }
    return 0;
}

int call_need_body(struct call *call)
{
    return json_is_object(call->body) ? 0
                                      : error_set_field(&call->error, -EINVAL, "wrong_type", NULL,
                                                        "the body must be a JSON object");
}

int call_project(struct call *call, struct project **ret_project)
{
    const char *ref = call_value(call, 0);
    return ref == NULL ? call->error.code
                       : service_project_find(call->api->service, ref, &call->arena, ret_project,
                                              &call->error);
}

// ── Answering ────────────────────────────────────────────────────────────────────────────────

static void answer_clear(struct api_answer *answer)
{
    json_decref(answer->body);
    free(answer->text);
    *answer = (struct api_answer){0};
}

int answer_json(struct call *call, unsigned status, json_t *json, uint64_t etag)
{
    if (json == NULL) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    const char *location = call->answer.location;
    call->answer.location = NULL;
    answer_clear(&call->answer);
    call->answer =
        (struct api_answer){.status = status, .body = json, .etag = etag, .location = location};
    return 0;
}

int answer_object(struct call *call, unsigned status, const struct schema *schema,
                  const void *object, uint64_t etag)
{
    return answer_json(call, status, schema_print(schema, object), etag);
}

int answer_items(struct call *call, const struct schema *schema, const void *items, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count && array != NULL; i++) {
        json_t *item = schema_print(schema, (const char *)items + i * schema->size);
        if (item == NULL || json_array_append_new(array, item) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return answer_json(call, 200, array != NULL ? json_pack("{s:o}", "items", array) : NULL, 0);
}

int answer_nothing(struct call *call)
{
    answer_clear(&call->answer);
    call->answer.status = 204;
    return 0;
}

int answer_location(struct call *call, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    call->answer.location = arena_copy(&call->arena, str_of(text)).at;
    return call->answer.location != NULL ? 0 : error_set(&call->error, -ENOMEM, "out of memory");
}

static void add_header(struct http_reply *reply, size_t *count, const char *name, const char *value)
{
    reply->headers[*count] = (struct http_header){str_of(name), str_of(value)};
    (*count)++;
}

static void send_text(struct call *call, unsigned status, const char *type, const char *text)
{
    struct http_reply reply = {.status = status};
    size_t headers = 0;
    char etag[32];
    if (text != NULL) {
        reply.content_type = str_of(type);
        reply.body = str_of(text);
    }
    if (call->answer.etag != 0 && status < 300) {
        snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", call->answer.etag);
        add_header(&reply, &headers, "ETag", etag);
    }
    if (call->answer.location != NULL && status == 201) {
        add_header(&reply, &headers, "Location", call->answer.location);
    }
    if (status == 405) {
        add_header(&reply, &headers, "Allow", call->match.allow);
    }
    add_header(&reply, &headers, "Cache-Control", "no-store");
    struct http_request *request = call->request;
    call->request = NULL; // it is the server's again: `gone` no longer concerns us
    request->gone = NULL;
    http_request_reply(request, &reply);
    call_free(call);
}

static void send_json(struct call *call, unsigned status, const char *type, json_t *json)
{
    char *text = json != NULL ? json_doc_print(json) : NULL;
    json_decref(json);
    send_text(call, text != NULL ? status : 503, type, text);
    free(text);
}

// What only the operator can mend, a full disk above all, is told in the log as well; at most every
// ten seconds, however many ask.
static void complain(struct call *call, unsigned status)
{
    struct api *api = call->api;
    uint64_t now_ms = loop_now_ms(api->options.loop);
    if (status >= 500 && status != 504 && now_ms >= api->complain_at_ms) {
        api->complain_at_ms = now_ms + 10000;
        log_error("a request failed: %s", call->error.text);
    }
}

void call_continue(struct call *call, int result)
{
    if (result == API_TAKEN || result == API_WAIT) {
        return;
    }
    if (result < 0) {
        if (call->error.code == 0) {
            error_set(&call->error, result, "%s", strerror(-result));
        }
        complain(call, problem_status(&call->error));
        json_t *json = call->is_envelope ? envelope_error_json(call->body, &call->error)
                                         : problem_json(&call->error);
        send_json(call, problem_status(&call->error),
                  call->is_envelope ? "application/json" : "application/problem+json", json);
    } else if (call->answer.text != NULL) {
        send_text(call, call->answer.status, "application/json", call->answer.text);
    } else if (call->answer.body != NULL) {
        json_t *body = call->answer.body;
        call->answer.body = NULL;
        send_json(call, call->answer.status, "application/json", body);
    } else {
        send_text(call, call->answer.status, "", NULL);
    }
}

void call_free(struct call *call)
{
    if (call->is_waiting) {
        controller_wait_cancel(&call->waiter);
        timer_cancel(&call->deadline);
    }
    resolve_cancel(call);
    answer_clear(&call->answer);
    request_release(&call->envelope);
    json_decref(call->body);
    arena_reset(&call->arena);
    free(call);
}

// ── Waiting ──────────────────────────────────────────────────────────────────────────────────

static void look_again(struct call *call)
{
    int r = call->again(call);
    if (r == API_WAIT && call->expired) {
        abort(); // a function that cannot decide at its deadline is wrong
    }
    call_continue(call, r);
}

static void woken(struct controller_waiter *waiter)
{
    look_again(waiter->owner);
}

static void deadline_fired(struct timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, deadline);
    call->expired = true;
    controller_wait_cancel(&call->waiter);
    look_again(call);
}

int call_wait(struct call *call, uint64_t wait_ms, int (*again)(struct call *call))
{
    call->again = again;
    if (wait_ms == 0) {
        call->expired = true;
        return again(call);
    }
    call->is_waiting = true;
    call->waiter = (struct controller_waiter){.woken = woken, .owner = call};
    list_init(&call->waiter.link);
    timer_init(&call->deadline, deadline_fired);
    timer_set(call->api->options.loop, &call->deadline, wait_ms);
    return again(call);
}
