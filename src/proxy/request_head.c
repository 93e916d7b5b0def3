// SPDX-License-Identifier: Apache-2.0
// The steps of a request that read a head and write it anew: the request's (HEAD) and the answer's
// (AWAIT).
#include "proxy/request.h"

static bool take_head(struct request *request)
{
    if (request->head == NULL) {
        request->head = pool_take(&request->worker->head_pool);
        if (request->head == NULL) {
            return false;
        }
        http1_head_init(request->head);
    }
    return true;
}

static void return_head(struct request *request)
{
    pool_return(&request->worker->head_pool, request->head);
    request->head = NULL;
}

static void consume(struct buf **input, uint32_t len)
{
    struct buf *first = *input;
    first->start += len;
    if (buf_len(first) == 0) {
        *input = first->next;
        buf_release(first);
    }
}

// ---- The request ------------------------------------------------------------------------------

// Spreads eight nibbles over eight bytes and turns each into its digit: all eight at once, because
// every request needs four of these.
static uint64_t eight_hex_digits(uint32_t random)
{
    uint64_t x = random;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101; // 1 where the nibble > 9
    return x + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

static void choose_id(struct request *request, const struct http1_head *head)
{
    struct str own = head != NULL ? headers_find_request_id(head) : (struct str){0};
    if (own.at != NULL) {
        request->id_len = (uint8_t)own.len;
        memcpy(request->id, own.at, own.len);
        return;
    }
    request->id_len = REQUEST_ID_LEN;
    for (unsigned i = 0; i < REQUEST_ID_LEN; i += 8) {
        uint64_t digits = eight_hex_digits((uint32_t)random_next(&request->worker->random));
        memcpy(request->id + i, &digits, sizeof(digits));
    }
}

// Builds the head for the target in the request's room, or one of its own when it is long.
static bool build_head(struct request *request, const struct http1_head *head, uint32_t head_len)
{
    struct client *client = request->client;
    size_t size = head_len + HEAD_ADDED;
    request->room_is_own = size > HEAD_ROOM;
    request->room = request->room_is_own ? malloc(size) : pool_take(&request->worker->room_pool);
    if (request->room == NULL) {
        request->room_is_own = false;
        return false;
    }
    struct writer writer;
    writer_init(&writer, request->room, size);
    headers_write_request(&writer, head,
                          &(struct headers_request){
                              .host = request->listener->host,
                              .client = {client->address, client->address_len},
                              .forwarded = request->listener->forwarded,
                              .request_id = {request->id, request->id_len},
                          });
    request->room_len = (uint32_t)writer_len(&writer);
    return !writer.overflowed;
}

static enum request_state begin_request(struct request *request, uint32_t head_len)
{
    struct http1_head *head = request->head;
    struct client *client = request->client;
    deadline_clear(&client->deadline);
    request->method = head->method;
    request->version_minor = head->version_minor;
    request->keep_alive = head->keep_alive;
    request->upgrade = head->upgrade.len > 0;
    choose_id(request, head);
    body_init(&request->body, (enum http1_body)head->body, head->content_length,
              (enum http1_body)head->body);
    enum request_state next = REQUEST_CHOOSE;
    if (request->listener->is_status) {
        next = request_answer_status(request, head);
    } else {
        COUNT(request->worker, requests);
        if (!build_head(request, head, head_len)) {
            next = request_refuse(request, 503, "no_memory");
        }
    }
    return_head(request);
    consume(&client->input, head_len);
    return next;
}

enum request_state request_step_head(struct request *request)
{
    struct client *client = request->client;
    if (!take_head(request) || buf_list_join(&client->input) < 0) {
        choose_id(request, NULL);
        return request_refuse(request, 503, "no_memory");
    }
    int len =
        http1_parse_request(request->head, buf_str(client->input), &request->listener->limits);
    if (len > 0) {
        return begin_request(request, (uint32_t)len);
    }
    if (len < 0) {
        COUNT(request->worker, requests_refused);
        choose_id(request, NULL);
        request->method = HTTP1_OTHER;
        request->body.ended = false; // wherever it ends
        return request_refuse(request, (unsigned)-len, request->head->refusal);
    }
    if (client->ended) { // no request to speak of; answers to others may still be on their way
        client_linger(client);
        return REQUEST_GONE;
    }
    if (client->deadline.kind != DEADLINE_CLIENT_HEADER) {
        choose_id(request, NULL);
        request->body.ended = false;
        client_wait(client, DEADLINE_CLIENT_HEADER, request_timeouts(request)->client_header_ms);
    }
    stream_resume(&client->stream);
    return REQUEST_PAUSE;
}

// ---- The answer -------------------------------------------------------------------------------

static void count_answer(struct worker *worker, unsigned status)
{
    if (status < 300) {
        COUNT(worker, answers_2xx);
    } else if (status < 400) {
        COUNT(worker, answers_3xx);
    } else if (status < 500) {
        COUNT(worker, answers_4xx);
    } else {
        COUNT(worker, answers_5xx);
    }
}

static enum http1_body framing_for(const struct request *request, enum http1_body from_target)
{
    if (from_target != HTTP1_BODY_CHUNKED && from_target != HTTP1_BODY_UNTIL_CLOSE) {
        return from_target;
    }
    return request->version_minor > 0 ? HTTP1_BODY_CHUNKED : HTTP1_BODY_UNTIL_CLOSE;
}

enum head_kind { HEAD_FINAL, HEAD_INTERIM, HEAD_SWITCH };

static bool send_head(struct request *request, enum head_kind kind, uint32_t head_len)
{
    struct worker *worker = request->worker;
    struct buf *bytes = buf_new_sized(worker->loop, head_len + HEAD_ADDED);
    if (bytes == NULL) {
        return false;
    }
    struct headers_response context = {
        .date = worker_date(worker),
        .request_id = {request->id, request->id_len},
        .framing = (enum http1_body)request->answer.out,
        .closes = !request->keep_alive,
        .says_keep_alive = request->version_minor == 0,
    };
    struct writer writer;
    writer_init(&writer, bytes->data, bytes->size);
    if (kind == HEAD_FINAL) {
        headers_write_response(&writer, request->head, &context);
    } else if (kind == HEAD_INTERIM) {
        headers_write_interim(&writer, request->head);
    } else {
        headers_write_switch(&writer, request->head, &context);
    }
    bytes->end = (uint32_t)writer_len(&writer);
    if (writer.overflowed) {
        buf_release(bytes);
        return false;
    }
    counter_add(&worker->counters, COUNTER_bytes_to_clients, bytes->end);
    stream_send(&request->client->stream, bytes);
    return true;
}

// The target closed, or failed, before the head of an answer was whole. An idle connection may be
// closed by its target while a request is on its way there; then it was most likely not looked at,
// and a method that may be repeated is (RFC 9110 §9.2.2), if nothing of the request is lost.
static enum request_state target_closed(struct request *request)
{
    struct backend *backend = request->backend;
    bool replayable = request->body.passed == 0 &&
                      !(request->body.in == HTTP1_BODY_CHUNKED && request->body.ended);
    if (backend->input == NULL && request->interims == 0 && backend->served > 0 &&
        !request->fresh && replayable &&
        http1_method_is_idempotent((enum http1_method)request->method)) {
        COUNT(request->worker, retries_race);
        request->fresh = true;
        request_leave_target(request, false);
        return REQUEST_CHOOSE;
    }
    return request_refuse(request, 502,
                          backend->input == NULL ? "target_closed" : "target_closed_in_head");
}

static enum request_state begin_switch(struct request *request, uint32_t head_len)
{
    if (!request->upgrade || !request->body.ended || request->head->upgrade.len == 0) {
        return request_refuse(request, 502, "unasked_upgrade");
    }
    if (!send_head(request, HEAD_SWITCH, head_len)) {
        return request_refuse(request, 503, "no_memory");
    }
    request->answer_begun = true;
    COUNT(request->worker, tunnels);
    return_head(request);
    request_release_room(request);
    consume(&request->backend->input, head_len);
    return request_begin_tunnel(request);
}

static enum request_state begin_answer(struct request *request, uint32_t head_len)
{
    struct http1_head *head = request->head;
    struct client *client = request->client;
    enum http1_body in = (enum http1_body)head->body;
    body_init(&request->answer, in, head->content_length, framing_for(request, in));
    request->answer_keep_alive = head->keep_alive && in != HTTP1_BODY_UNTIL_CLOSE;
    // A body that is not whole when its answer comes is not waited for.
    request->keep_alive = request->keep_alive && request->body.ended && client_may_go_on(client) &&
                          body_end_is_visible(&request->answer);
    if (!send_head(request, HEAD_FINAL, head_len)) {
        return request_refuse(request, 503, "no_memory");
    }
    request->answer_begun = true;
    count_answer(request->worker, head->status);
    return_head(request);
    request_release_room(request);
    consume(&request->backend->input, head_len);
    return REQUEST_RELAY;
}

enum request_state request_step_await(struct request *request)
{
    struct backend *backend = request->backend;
    while (backend->input != NULL) {
        if (!take_head(request) || buf_list_join(&backend->input) < 0) {
            return request_refuse(request, 503, "no_memory");
        }
        int len = http1_parse_response(request->head, buf_str(backend->input),
                                       &http1_limits_default, (enum http1_method)request->method);
        if (len < 0) {
            return request_refuse(request, 502, request->head->refusal);
        }
        if (len == 0) {
            break;
        }
        if (request->head->status == 101) {
            return begin_switch(request, (uint32_t)len);
        }
        if (request->head->status >= 200) {
            return begin_answer(request, (uint32_t)len);
        }
        if (++request->interims > INTERIM_MAX) {
            return request_refuse(request, 502, "too_many_interim_answers");
        }
        // HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
        if (request->version_minor > 0 && !send_head(request, HEAD_INTERIM, (uint32_t)len)) {
            return request_refuse(request, 503, "no_memory");
        }
        COUNT(request->worker, answers_1xx);
        consume(&backend->input, (uint32_t)len);
        http1_head_init(request->head);
    }
    return backend->ended ? target_closed(request) : REQUEST_PAUSE;
}
