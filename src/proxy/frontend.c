// SPDX-License-Identifier: Apache-2.0
#include "proxy/frontend.h"

#include "proxy/limits.h"
#include "proxy/request.h"
#include "proxy/view.h"

static const struct stream_ops client_ops;
static void client_timer_fired(struct timer *timer);

static struct client *client_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct client, stream);
}

void client_wait(struct client *client, enum deadline_kind kind, uint64_t after_ms)
{
    client->deadline.mark = stream_queued(&client->stream);
    deadline_set(client->worker->loop, &client->deadline, kind, after_ms);
}

static const struct timeouts *timeouts_of(const struct client *client)
{
    static const struct timeouts removed = {.client_idle_ms = 1, .client_header_ms = 1000};
    const struct compiled_listener *listener = client->listener->compiled;
    return listener != NULL ? &listener->timeouts : &removed;
}

// Room for one more. When there is none, one of the oldest connections that waits for a request, be
// it the first, is closed, as its client must expect at any time (RFC 9112 §9.5).
static bool make_room(struct worker *worker)
{
    if (atomic_load_explicit(&worker->connections, memory_order_relaxed) <
        worker->connections_max) {
        return true;
    }
    int looks = 0;
    LIST_FOREACH (&worker->clients, link) {
        struct client *client = CONTAINER_OF(link, struct client, link);
        if (looks++ == EVICT_LOOKS) {
            break;
        }
        if (client->request == NULL && !client->closing && client->input == NULL &&
            stream_queued(&client->stream) == 0) {
            COUNT(worker, connections_evicted);
            client_close(client);
            return true;
        }
    }
    return false;
}

void client_accept(struct worker_listener *listener, int fd, const struct addr *peer)
{
    struct worker *worker = listener->worker;
    struct client *client =
        listener->is_status || make_room(worker) ? pool_take(&worker->client_pool) : NULL;
    if (client == NULL ||
        stream_open_accepted(&client->stream, worker->loop, fd, &client_ops) < 0) {
        if (client != NULL) {
            pool_return(&worker->client_pool, client);
        }
        COUNT(worker, connections_refused);
        close_fd(&fd);
        return;
    }
    // All but the stream, which is first.
    memset((char *)client + sizeof(client->stream), 0, sizeof(*client) - sizeof(client->stream));
    client->worker = worker;
    client->listener = listener;
    timer_init(&client->deadline.timer, client_timer_fired);
    list_append(&worker->clients, &client->link);
    listener->clients++;
    char text[ADDR_TEXT_LEN];
    client->address_len = (uint8_t)MIN(strlen(addr_format_ip(peer, text)), (size_t)CLIENT_TEXT_LEN);
    memcpy(client->address, text, client->address_len);
    if (!listener->is_status) {
        atomic_fetch_add_explicit(&worker->connections, 1, memory_order_relaxed);
        COUNT(worker, connections_accepted);
    }
    if (listener->compiled != NULL && listener->compiled->protocol == PROTOCOL_TCP) {
        stream_pause(&client->stream);
        request_begin_tcp(client);
    } else {
        client_wait(client, DEADLINE_CLIENT_IDLE,
                    worker->draining ? DRAIN_FIRST_REQUEST_MS
                                     : timeouts_of(client)->client_idle_ms);
    }
}

bool client_may_go_on(const struct client *client)
{
    const struct compiled_listener *listener = client->listener->compiled;
    return !client->ended && !client->worker->draining && listener != NULL &&
           listener->protocol == PROTOCOL_HTTP;
}

static bool may_begin(const struct client *client)
{
    return client->request == NULL && client->input != NULL && !client->closing &&
           !client->lingering && stream_queued(&client->stream) < SEND_QUEUE_HIGH;
}

void client_run(struct client *client)
{
    while (may_begin(client)) {
        request_begin(client);
    }
    if (client->request != NULL || client->closing || client->lingering) {
        return;
    }
    if (client->input == NULL) {
        if (client->ended || client->worker->draining) {
            client_linger(client);
            return;
        }
        stream_resume(&client->stream);
        client_wait(client, DEADLINE_CLIENT_IDLE, timeouts_of(client)->client_idle_ms);
    } else {
        // The next request waits until the client took the answers before it.
        client_wait(client, DEADLINE_SEND, timeouts_of(client)->send_ms);
    }
}

static void client_received(struct stream *stream, struct buf *taken)
{
    struct client *client = client_of(stream);
    counter_add(&client->worker->counters, COUNTER_bytes_from_clients, buf_len(taken));
    if (client->lingering) {
        client->linger_bytes += buf_len(taken);
        buf_release(taken);
        if (client->linger_bytes > LINGER_BYTES) {
            client_close(client);
        }
        return;
    }
    if (client->request != NULL && request_takes_bytes(client->request)) {
        request_client_received(client->request, taken);
        return;
    }
    buf_list_append(&client->input, taken);
    if (client->request == NULL) {
        client_run(client);
    } else if (!request_wants_input(client->request)) {
        stream_pause(stream); // the next request came before the answer to this one
    } else {
        request_client_bytes(client->request);
    }
}

static void client_ended(struct stream *stream)
{
    struct client *client = client_of(stream);
    client->ended = true;
    if (client->lingering) {
        if (stream_queued(stream) == 0) { // else when that is sent
            client_close(client);
        }
    } else if (client->request != NULL) {
        request_client_ended(client->request);
    } else if (client->input == NULL) {
        // It waited for nothing but a next request. What it has not read yet is sent all the same.
        if (stream_queued(stream) > 0) {
            client_linger(client);
        } else {
            client_close(client);
        }
    }
}

static void client_failed(struct stream *stream, int error)
{
    struct client *client = client_of(stream);
    if (client->request != NULL) {
        request_client_gone(client->request);
    }
    COUNT(client->worker, connections_broken);
    client_close(client);
}

static void client_sent(struct stream *stream)
{
    struct client *client = client_of(stream);
    bool tunnel = client->request != NULL && request_takes_bytes(client->request);
    if (stream_is_broken(stream) && !tunnel) {
        // Nobody takes the answer. What the client still said are requests at best.
        client_failed(stream, -EPIPE);
        return;
    }
    if (client->request != NULL) {
        request_client_sent(client->request);
    } else if (client->input != NULL && !client->lingering && !client->closing) {
        client_run(client);
    } else if (client->lingering && client->ended) {
        client_close(client);
    }
}

static void client_closed(struct stream *stream)
{
    struct client *client = client_of(stream);
    struct worker *worker = client->worker;
    struct worker_listener *listener = client->listener;
    list_remove(&client->link);
    pool_return(&worker->client_pool, client);
    worker_forget_client(worker, listener);
}

static const struct stream_ops client_ops = {
    .received = client_received,
    .ended = client_ended,
    .sent = client_sent,
    .failed = client_failed,
    .closed = client_closed,
};

static void client_timer_fired(struct timer *timer)
{
    struct client *client = CONTAINER_OF(timer, struct client, deadline.timer);
    struct worker *worker = client->worker;
    if (!deadline_reached(worker->loop, &client->deadline)) {
        return;
    }
    enum deadline_kind kind = (enum deadline_kind)client->deadline.kind;
    if (client->request != NULL) {
        request_client_late(client->request, kind);
    } else if (kind == DEADLINE_CLIENT_IDLE && stream_queued(&client->stream) > 0) {
        // It does not read its last answer: that is the other patience, which began then.
        uint32_t idle_ms = timeouts_of(client)->client_idle_ms;
        uint32_t send_ms = timeouts_of(client)->send_ms;
        client_wait(client, DEADLINE_SEND, send_ms > idle_ms ? send_ms - idle_ms : 0);
    } else if ((kind != DEADLINE_SEND && kind != DEADLINE_LINGER) ||
               !deadline_progressed(worker->loop, &client->deadline, stream_queued(&client->stream),
                                    timeouts_of(client)->send_ms)) {
        if (kind == DEADLINE_CLIENT_IDLE && !client->listener->is_status) {
            COUNT(worker, timeout_client_idle);
        } else if (kind == DEADLINE_SEND) {
            COUNT(worker, timeout_send);
        }
        client_close(client);
    }
}

void client_close(struct client *client)
{
    if (client->closing) {
        return;
    }
    client->closing = true;
    timer_cancel(&client->deadline.timer);
    buf_list_release(&client->input);
    stream_close(&client->stream);
}

void client_abort(struct client *client)
{
    if (!client->closing) {
        client->closing = true;
        timer_cancel(&client->deadline.timer);
        buf_list_release(&client->input);
        stream_abort(&client->stream);
    }
}

void client_linger(struct client *client)
{
    if (client->closing || client->lingering) {
        return;
    }
    buf_list_release(&client->input);
    if (client->ended && stream_queued(&client->stream) == 0) {
        client_close(client);
        return;
    }
    client->lingering = true;
    stream_finish(&client->stream);
    stream_resume(&client->stream);
    // A long answer may still be queued: it gets the time that a client has to take bytes.
    client_wait(client, DEADLINE_LINGER,
                stream_queued(&client->stream) > COPY_BYTES
                    ? LINGER_MS + timeouts_of(client)->send_ms
                    : LINGER_MS);
}

void client_drain(struct client *client)
{
    if (client->request != NULL || client->closing || client->lingering) {
        return;
    }
    if (client->requests > 0 && stream_queued(&client->stream) == 0) {
        client_close(client);
    } else if (client->requests > 0) {
        client_linger(client);
    } else {
        client_wait(client, DEADLINE_CLIENT_IDLE, DRAIN_FIRST_REQUEST_MS);
    }
}

void client_release_listener(struct client *client)
{
    if (client->request == NULL && client->input == NULL) {
        client_linger(client);
    }
}
