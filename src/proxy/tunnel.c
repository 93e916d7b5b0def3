// SPDX-License-Identifier: Apache-2.0
// Two connections that exchange bytes nobody looks at: a TCP listener's, or an HTTP one after 101.
// The buffers received on one side are sent on the other as they are. A side whose peer does not
// take them is paused at SEND_QUEUE_HIGH; the end of one direction is passed on as such, and a
// failure as a reset. Both sides have one patience: tunnel_idle without a byte either way.
#include "proxy/request.h"

static void note_activity(struct request *request)
{
    client_wait(request->client, DEADLINE_TUNNEL_IDLE, request_timeouts(request)->tunnel_idle_ms);
}

static void forward(struct stream *from, struct stream *to, struct buf *taken)
{
    stream_send(to, taken);
    if (stream_queued(to) >= SEND_QUEUE_HIGH) {
        stream_pause(from);
    }
}

static void forward_all(struct buf **input, struct stream *from, struct stream *to)
{
    while (*input != NULL) {
        struct buf *first = *input;
        *input = first->next;
        forward(from, to, first);
    }
}

// Both directions have ended and all is sent.
static bool close_when_done(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    if (!client->ended || !backend->ended || stream_queued(&client->stream) > 0 ||
        stream_queued(&backend->stream) > 0) {
        return false;
    }
    request_drop(request);
    client_close(client);
    return true;
}

enum request_state request_begin_tunnel(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    deadline_clear(&backend->deadline);
    note_activity(request);
    stream_resume(&client->stream);
    stream_resume(&backend->stream);
    forward_all(&client->input, &client->stream, &backend->stream);
    forward_all(&backend->input, &backend->stream, &client->stream);
    if (client->ended) {
        stream_finish(&backend->stream);
    }
    if (backend->ended) {
        stream_finish(&client->stream);
    }
    return REQUEST_TUNNEL;
}

void tunnel_client_received(struct request *request, struct buf *taken)
{
    note_activity(request);
    forward(&request->client->stream, &request->backend->stream, taken);
}

void tunnel_backend_received(struct request *request, struct buf *taken)
{
    note_activity(request);
    counter_add(&request->worker->counters, COUNTER_bytes_to_clients, buf_len(taken));
    forward(&request->backend->stream, &request->client->stream, taken);
}

void tunnel_ended(struct request *request)
{
    if (request->client->ended) {
        stream_finish(&request->backend->stream);
    }
    if (request->backend->ended) {
        stream_finish(&request->client->stream);
    }
    close_when_done(request);
}

void tunnel_sent(struct request *request)
{
    struct client *client = request->client;
    struct backend *backend = request->backend;
    if (close_when_done(request)) {
        return;
    }
    note_activity(request);
    if (stream_queued(&backend->stream) == 0) {
        stream_resume(&client->stream);
    }
    if (stream_queued(&client->stream) == 0) {
        stream_resume(&backend->stream);
    }
}

void tunnel_failed(struct request *request)
{
    struct client *client = request->client;
    request_drop(request);
    client_abort(client);
}
