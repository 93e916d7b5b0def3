// SPDX-License-Identifier: Apache-2.0
// The course of a request. Each state has a step, which does what can be done now and returns the
// state to go on with, or REQUEST_PAUSE to wait for the next event; run() does nothing but that.
//
//     HEAD ──head whole──▶ CHOOSE ──new connection──▶ CONNECT ──open──▶ SEND ──▶ AWAIT ──▶ RELAY
//      │                    │ ▲ │                        │               ▲  │      │ │       │
//      │                    │ │ └──────idle one──────────┼───────────────┘  │      │ │       │
//      │                    │ └──failed: next target─────┘ (closed under us: once more)      │
//      │ refused            │ no target                            101, TCP: TUNNEL  │       │
//      ▼                    ▼                                                        │       │
//    ANSWER ◀───────────────┴───────────── late, broken, refused ────────────────────┘       │
//      │                                                                        answer whole │
//      └──────────▶ FINISH ──▶ GONE    ◀─────────────────────────────────────────────────────┘
//
// The request's body flows from SEND on, beside whatever the answer does. Once the answer's head is
// queued to the client nothing can be said any more: what breaks then breaks the connection.
// The connection of a TCP listener begins in CHOOSE and goes by CONNECT and SEND to TUNNEL.
//
// Memory: a request is the client's (client->request) and freed by run() when it is GONE; so an
// event is the last thing its caller does with it.
#include <assert.h>

#include "proxy/request.h"

void request_release_room(struct request *request)
{
    if (request->room_is_own) {
        free(request->room);
    } else if (request->room != NULL) {
        pool_return(&request->worker->room_pool, request->room);
    }
    request->room = NULL;
    request->room_is_own = false;
}

static void request_free(struct request *request)
{
    struct client *client = request->client;
    struct worker *worker = request->worker;
    request_leave_target(request, false);
    body_free(&request->body);
    body_free(&request->answer);
    if (request->head != NULL) {
        pool_return(&worker->head_pool, request->head);
    }
    request_release_room(request);
    view_unref(request->view);
    client->request = NULL;
    pool_return(&worker->request_pool, request);
}

void request_leave_target(struct request *request, bool keep)
{
    struct backend *backend = request->backend;
    request->backend = NULL;
    if (request->chosen) {
        request->chosen = false;
        view_release(request->view, request->listener->group, request->target);
    }
    if (backend != NULL && keep) {
        backend->served++;
        backend_keep(backend);
    } else if (backend != NULL) {
        backend_close(backend, !backend->ended);
    }
}

void request_drop(struct request *request)
{
    request_free(request);
}

// ---- What flows through -----------------------------------------------------------------------

// The answer cannot be ended as it was begun. Where the client can see that from the framing, what
// it got so far reaches it; where the end of the connection would pass for the end of the body, it
// gets a reset (RFC 9112 §8).
static enum request_state break_answer(struct request *request)
{
    COUNT(request->worker, answers_broken);
    request_leave_target(request, false);
    if (body_end_is_visible(&request->answer)) {
        client_linger(request->client);
    } else {
        client_abort(request->client);
    }
    return REQUEST_GONE;
}

enum request_state request_refuse(struct request *request, unsigned status, const char *reason)
{
    if (request->is_tcp) {
        request_leave_target(request, false);
        client_abort(request->client);
        return REQUEST_GONE;
    }
    if (request->answer_begun) {
        return break_answer(request);
    }
    request->own_status = (uint16_t)status;
    request->own_reason = reason;
    request_leave_target(request, false);
    return REQUEST_ANSWER;
}

static enum request_state move_body(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    struct loop *loop = request->worker->loop;
    if (request->body.ended) {
        return REQUEST_PAUSE;
    }
    enum body_step step = body_move(&request->body, &client->input, &backend->stream);
    // One with a length was refused with its head; a chunked one shows its length as it comes.
    uint64_t most = request->listener->limits.body_bytes;
    if (most != 0 && request->body.passed > most) {
        return request_refuse(request, 413, "body_too_large");
    }
    switch (step) {
    case BODY_MORE:
        if (client->ended) {
            return request_refuse(request, 400, "body_incomplete");
        }
        stream_resume(&client->stream);
        client_wait(client, DEADLINE_CLIENT_BODY, request_timeouts(request)->client_body_ms);
        return REQUEST_PAUSE;
    case BODY_FULL:
        stream_pause(&client->stream);
        deadline_clear(&client->deadline);
        backend->deadline.mark = stream_queued(&backend->stream);
        deadline_set(loop, &backend->deadline, DEADLINE_SEND, request_timeouts(request)->send_ms);
        return REQUEST_PAUSE;
    case BODY_ENDED:
        deadline_clear(&client->deadline);
        if (!request->answer_begun) {
            deadline_set(loop, &backend->deadline, DEADLINE_TARGET_RESPONSE,
                         request_timeouts(request)->target_response_ms);
        }
        return REQUEST_PAUSE;
    case BODY_REFUSED:
        return request_refuse(request, request->body.chunks.refused_status,
                              request->body.chunks.refusal);
    case BODY_NO_MEMORY:
        break;
    }
    return request_refuse(request, 503, "no_memory");
}

static enum request_state move_answer(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    const struct timeouts *timeouts = request_timeouts(request);
    uint64_t passed_before = request->answer.passed;
    enum body_step step = request->answer.ended
                              ? BODY_ENDED
                              : body_move(&request->answer, &backend->input, &client->stream);
    counter_add(&request->worker->counters, COUNTER_bytes_to_clients,
                request->answer.passed - passed_before);
    switch (step) {
    case BODY_MORE:
        if (backend->ended && request->answer.in == HTTP1_BODY_UNTIL_CLOSE) {
            return body_end(&request->answer, &client->stream) ? REQUEST_FINISH
                                                               : break_answer(request);
        }
        if (backend->ended) {
            return break_answer(request);
        }
        stream_resume(&backend->stream);
        deadline_set(request->worker->loop, &backend->deadline, DEADLINE_TARGET_BODY,
                     timeouts->target_body_ms);
        return REQUEST_PAUSE;
    case BODY_FULL:
        stream_pause(&backend->stream);
        deadline_clear(&backend->deadline);
        client_wait(client, DEADLINE_SEND, timeouts->send_ms);
        return REQUEST_PAUSE;
    case BODY_ENDED:
        return REQUEST_FINISH;
    default:
        return break_answer(request);
    }
}

// ---- The states -------------------------------------------------------------------------------

static enum request_state step_await(struct request *request)
{
    enum request_state next = move_body(request);
    return next != REQUEST_PAUSE ? next : request_step_await(request);
}

static enum request_state step_relay(struct request *request)
{
    enum request_state next = move_body(request);
    return next != REQUEST_PAUSE ? next : move_answer(request);
}

static enum request_state step_finish(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    if (backend != NULL) {
        // What the target says past its answer, or has not taken of the request, would be mixed
        // with the next one.
        request_leave_target(request, request->answer_keep_alive && request->body.ended &&
                                          backend->input == NULL && !backend->ended &&
                                          stream_queued(&backend->stream) == 0);
    }
    client->requests++;
    if (!request->keep_alive) {
        client_linger(client);
    }
    return REQUEST_GONE;
}

static enum request_state step_tunnel(struct request *request)
{
    return REQUEST_PAUSE; // tunnel.c moves the bytes
}

#define TO(state) (1u << REQUEST_##state)

static const struct {
    enum request_state (*run)(struct request *request);
    unsigned moves; // the states that may follow, but GONE and PAUSE
} steps[] = {
    [REQUEST_HEAD] = {request_step_head, TO(CHOOSE) | TO(ANSWER) | TO(FINISH)},
    [REQUEST_CHOOSE] = {request_step_choose, TO(CONNECT) | TO(SEND) | TO(ANSWER)},
    [REQUEST_CONNECT] = {request_step_connect, TO(CHOOSE) | TO(SEND) | TO(ANSWER)},
    [REQUEST_SEND] = {request_step_send, TO(AWAIT) | TO(TUNNEL) | TO(CHOOSE) | TO(ANSWER)},
    [REQUEST_AWAIT] = {step_await, TO(RELAY) | TO(TUNNEL) | TO(CHOOSE) | TO(ANSWER)},
    [REQUEST_RELAY] = {step_relay, TO(FINISH)},
    [REQUEST_ANSWER] = {request_step_answer, TO(FINISH)},
    [REQUEST_FINISH] = {step_finish, 0},
    [REQUEST_TUNNEL] = {step_tunnel, 0},
};

static void run(struct request *request, enum request_state next)
{
    while (next != REQUEST_PAUSE) {
        if (next == REQUEST_GONE) {
            request_free(request);
            return;
        }
        assert(next == request->state || (steps[request->state].moves & 1u << next) != 0);
        request->state = (uint8_t)next;
        next = steps[next].run(request);
    }
}

static void go_on_with(struct request *request, enum request_state next)
{
    struct client *client = request->client;
    run(request, next);
    if (client->request == NULL) {
        client_run(client);
    }
}

void request_go_on(struct request *request)
{
    go_on_with(request, (enum request_state)request->state);
}

static struct request *request_new(struct client *client)
{
    struct worker *worker = client->worker;
    struct request *request = pool_take(&worker->request_pool);
    if (request != NULL) {
        memset(request, 0, offsetof(struct request, id));
        request->client = client;
        request->worker = worker;
        request->view = view_ref(worker->view);
        request->listener = client->listener->compiled;
        request->body.ended = true;
        client->request = request;
    }
    return request;
}

void request_begin(struct client *client)
{
    const struct compiled_listener *listener = client->listener->compiled;
    if (listener == NULL || listener->protocol != PROTOCOL_HTTP) { // removed or changed meanwhile
        client_linger(client);
        return;
    }
    struct request *request = request_new(client);
    if (request == NULL) {
        client_abort(client);
        return;
    }
    run(request, REQUEST_HEAD);
}

void request_begin_tcp(struct client *client)
{
    struct request *request = request_new(client);
    if (request == NULL) {
        client_abort(client);
        return;
    }
    COUNT(client->worker, tcp_sessions);
    request->is_tcp = true;
    request->state = REQUEST_CHOOSE;
    run(request, REQUEST_CHOOSE);
}

// ---- Events of the client's connection --------------------------------------------------------

bool request_takes_bytes(const struct request *request)
{
    return request->state == REQUEST_TUNNEL;
}

bool request_wants_input(const struct request *request)
{
    return request->state == REQUEST_HEAD || !request->body.ended;
}

void request_client_received(struct request *request, struct buf *taken)
{
    tunnel_client_received(request, taken);
}

void request_client_bytes(struct request *request)
{
    // Before a target is connected the body waits where it is.
    if (request->state == REQUEST_HEAD || request->state >= REQUEST_AWAIT) {
        request_go_on(request);
    } else {
        stream_pause(&request->client->stream);
    }
}

void request_client_ended(struct request *request)
{
    if (request->state == REQUEST_TUNNEL) {
        tunnel_ended(request);
    } else if (request->state == REQUEST_HEAD || request->state >= REQUEST_AWAIT) {
        request_go_on(request);
    }
}

void request_client_sent(struct request *request)
{
    struct client *client = request->client;
    if (request->state == REQUEST_TUNNEL) {
        tunnel_sent(request);
    } else if (request->state == REQUEST_RELAY && stream_is_paused(&request->backend->stream)) {
        if (client->deadline.kind == DEADLINE_SEND) {
            deadline_clear(&client->deadline);
        }
        request_go_on(request);
    }
}

void request_client_gone(struct request *request)
{
    COUNT(request->worker, requests_aborted);
    request_free(request);
}

static void give_up_client(struct request *request)
{
    struct client *client = request->client;
    request_client_gone(request);
    client_abort(client);
}

void request_client_late(struct request *request, enum deadline_kind kind)
{
    struct client *client = request->client;
    switch (kind) {
    case DEADLINE_CLIENT_HEADER:
        COUNT(request->worker, timeout_client_header);
        go_on_with(request, request_refuse(request, 408, "client_header"));
        break;
    case DEADLINE_CLIENT_BODY:
        COUNT(request->worker, timeout_client_body);
        go_on_with(request, request_refuse(request, 408, "client_body"));
        break;
    case DEADLINE_SEND:
        if (!deadline_progressed(request->worker->loop, &client->deadline,
                                 stream_queued(&client->stream),
                                 request_timeouts(request)->send_ms)) {
            COUNT(request->worker, timeout_send);
            give_up_client(request);
        }
        break;
    case DEADLINE_TUNNEL_IDLE:
        COUNT(request->worker, timeout_tunnel_idle);
        request_free(request);
        client_close(client);
        break;
    default: // of a time before this request
        break;
    }
}

// ---- Events of the target's connection --------------------------------------------------------

void request_backend_connected(struct request *request)
{
    request->connected = true;
    request_go_on(request);
}

void request_backend_received(struct request *request, struct buf *taken)
{
    if (request->state == REQUEST_TUNNEL) {
        tunnel_backend_received(request, taken);
        return;
    }
    buf_list_append(&request->backend->input, taken);
    request_go_on(request);
}

void request_backend_ended(struct request *request)
{
    if (request->state == REQUEST_TUNNEL) {
        tunnel_ended(request);
    } else {
        request_go_on(request);
    }
}

void request_backend_sent(struct request *request)
{
    struct backend *backend = request->backend;
    if (request->state == REQUEST_TUNNEL) {
        tunnel_sent(request);
    } else if (!request->body.ended && stream_is_paused(&request->client->stream)) {
        if (backend->deadline.kind == DEADLINE_SEND) {
            deadline_clear(&backend->deadline);
        }
        request_go_on(request);
    }
}

void request_backend_failed(struct request *request, int error)
{
    if (request->state == REQUEST_TUNNEL) {
        tunnel_failed(request);
    } else if (request->state == REQUEST_CONNECT) {
        go_on_with(request, request_connect_failed(request, error));
    } else if (request->answer.in == HTTP1_BODY_UNTIL_CLOSE && request->answer_begun) {
        // A reset is no end of a body.
        go_on_with(request, break_answer(request));
    } else {
        request->backend->ended = true;
        request_go_on(request);
    }
}

void request_backend_late(struct request *request, enum deadline_kind kind)
{
    struct worker *worker = request->worker;
    struct backend *backend = request->backend;
    switch (kind) {
    case DEADLINE_CONNECT:
        COUNT(worker, timeout_connect);
        go_on_with(request, request_connect_failed(request, -ETIMEDOUT));
        break;
    case DEADLINE_TARGET_RESPONSE:
        COUNT(worker, timeout_target_response);
        go_on_with(request, request_refuse(request, 504, "target_response"));
        break;
    case DEADLINE_TARGET_BODY:
        COUNT(worker, timeout_target_body);
        go_on_with(request, request_refuse(request, 504, "target_body"));
        break;
    case DEADLINE_SEND:
        if (!deadline_progressed(worker->loop, &backend->deadline, stream_queued(&backend->stream),
                                 request_timeouts(request)->send_ms)) {
            COUNT(worker, timeout_send);
            go_on_with(request, request_refuse(request, 504, "send"));
        }
        break;
    default:
        break;
    }
}
