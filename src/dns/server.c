// SPDX-License-Identifier: Apache-2.0
#include "dns/server.h"

#include "base/clock.h"
#include "dns/answer.h"
#include "event/acceptor.h"
#include "event/dgram.h"
#include "event/stream.h"
#include "event/timer.h"

// Unsent bytes of one connection before its reading pauses: more than the answers to what one
// received buffer can ask, so that a client which sends many questions at once is served.
enum { QUEUE_MAX = 256 << 10 };

struct door { // one address
    struct dgram dgram;
    struct acceptor acceptor;
    struct dns_server *server;
    struct addr at;
};

struct dns_server {
    struct loop *loop;
    struct zone *zone;
    struct door doors[DNS_SERVER_ADDRESSES_MAX];
    size_t door_count;
    struct list connections; // the longest idle first
    size_t connection_count;
    bool closing;
    struct random_state random;
    struct dns_server_counters counters;
    uint8_t answer[2 + DNS_STREAM_MAX];
};

// A question on TCP is two bytes of length and the message (RFC 1035 §4.2.2); it may come in any
// pieces, and several may come at once.
struct connection {
    struct stream stream;
    struct dns_server *server;
    struct list link;
    struct timer idle;
    bool peer_ended;
    size_t have; // bytes of input
    uint8_t input[2 + DNS_STREAM_QUESTION_MAX];
};

static size_t server_answer(struct dns_server *server, struct str question, bool stream,
                            uint8_t *room_at, size_t room)
{
    // Not a counter: resolvers ask for A and AAAA in turn, and one that counts both would give
    // every client the same of two addresses.
    struct dns_transport transport = {.stream = stream, .rotation = random_next(&server->random)};
    size_t len = dns_answer(server->zone, question, transport, room_at, room);
    if (stream) {
        server->counters.questions_tcp++;
    } else {
        server->counters.questions_udp++;
    }
    server->counters.dropped += len == 0;
    return len;
}

static void datagram_received(struct dgram *dgram, struct str bytes, const struct addr *peer,
                              const struct addr *local)
{
    struct dns_server *server = CONTAINER_OF(dgram, struct door, dgram)->server;
    size_t len = server_answer(server, bytes, false, server->answer, DNS_UDP_EDNS_MAX);
    if (len > 0 && dgram_send(dgram, (struct str){(char *)server->answer, len}, peer, local) < 0) {
        server->counters.dropped++;
    }
}

static void connection_close(struct connection *connection)
{
    timer_cancel(&connection->idle);
    stream_close(&connection->stream);
}

// Answers the whole questions that have arrived. False when the connection is to be closed.
static bool connection_answer(struct connection *connection)
{
    struct dns_server *server = connection->server;
    size_t at = 0;
    while (connection->have - at >= 2 && stream_queued(&connection->stream) < QUEUE_MAX) {
        size_t len = (size_t)connection->input[at] << 8 | connection->input[at + 1];
        if (len > DNS_STREAM_QUESTION_MAX || len == 0) {
            return false;
        }
        if (connection->have - at - 2 < len) {
            break;
        }
        struct str question = {(const char *)connection->input + at + 2, len};
        size_t answer_len =
            server_answer(server, question, true, server->answer + 2, DNS_STREAM_MAX);
        if (answer_len == 0) {
            return false;
        }
        server->answer[0] = (uint8_t)(answer_len >> 8);
        server->answer[1] = (uint8_t)answer_len;
        if (stream_send_copy(&connection->stream, server->answer, 2 + answer_len) < 0) {
            return false;
        }
        at += 2 + len;
    }
    memmove(connection->input, connection->input + at, connection->have - at);
    connection->have -= at;
    return true;
}

static void connection_received(struct stream *stream, struct buf *taken)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    struct dns_server *server = connection->server;
    list_remove(&connection->link);
    list_append(&server->connections, &connection->link);
    timer_set(server->loop, &connection->idle, DNS_STREAM_IDLE_MS);
    while (buf_len(taken) > 0) {
        size_t room = sizeof(connection->input) - connection->have;
        size_t part = MIN(room, buf_len(taken));
        memcpy(connection->input + connection->have, taken->data + taken->start, part);
        connection->have += part;
        taken->start += (uint32_t)part;
        // part is 0 when the answers pile up because the client does not read them.
        if (part == 0 || !connection_answer(connection)) {
            connection_close(connection);
            break;
        }
    }
    buf_release(taken);
    if (stream_is_open(stream) && stream_queued(stream) >= QUEUE_MAX) {
        stream_pause(stream);
    }
}

static void connection_sent(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    if (!connection_answer(connection)) {
        connection_close(connection);
    } else if (connection->peer_ended && stream_queued(stream) == 0) {
        connection_close(connection);
    } else if (stream_is_paused(stream) && stream_queued(stream) < QUEUE_MAX) {
        stream_resume(stream);
    }
}

static void connection_ended(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    connection->peer_ended = true;
    if (stream_queued(stream) == 0) {
        connection_close(connection);
    }
}

static void connection_failed(struct stream *stream, int error)
{
    connection_close(CONTAINER_OF(stream, struct connection, stream));
}

static void server_free_when_idle(struct dns_server *server)
{
    if (server->closing && server->connection_count == 0) {
        zone_free(server->zone);
        free(server);
    }
}

static void connection_closed(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    struct dns_server *server = connection->server;
    list_remove(&connection->link);
    server->connection_count--;
    free(connection);
    server_free_when_idle(server);
}

static const struct stream_ops connection_ops = {
    .received = connection_received,
    .ended = connection_ended,
    .sent = connection_sent,
    .failed = connection_failed,
    .closed = connection_closed,
};

static void connection_idle(struct timer *timer)
{
    connection_close(CONTAINER_OF(timer, struct connection, idle));
}

static void stream_accepted(struct acceptor *acceptor, int fd, const struct addr *peer)
{
    struct dns_server *server = CONTAINER_OF(acceptor, struct door, acceptor)->server;
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL ||
        stream_open(&connection->stream, server->loop, fd, &connection_ops) < 0) {
        close_fd(&fd);
        free(connection);
        return;
    }
    connection->server = server;
    list_append(&server->connections, &connection->link);
    timer_init(&connection->idle, connection_idle);
    timer_set(server->loop, &connection->idle, DNS_STREAM_IDLE_MS);
    if (++server->connection_count > DNS_STREAMS_MAX) {
        server->counters.streams_refused++;
        LIST_FOREACH (&server->connections, link) {
            struct connection *oldest = CONTAINER_OF(link, struct connection, link);
            if (stream_is_open(&oldest->stream)) {
                connection_close(oldest);
                break;
            }
        }
    }
}

static int door_open(struct door *door, struct loop *loop, const struct addr *at,
                     struct error *error)
{
    char text[ADDR_TEXT_LEN];
    const struct acceptor_options options = {.free_bind = true, .backlog = 256};
    int status = acceptor_open(&door->acceptor, loop, at, &options, stream_accepted);
    if (status < 0) {
        return error_set(error, status, "cannot serve DNS by TCP on %s: %s", addr_format(at, text),
                         strerror(-status));
    }
    door->at = *at;
    acceptor_local(&door->acceptor, &door->at); // port 0: UDP takes what TCP was given
    status = dgram_open(&door->dgram, loop, &door->at, true, datagram_received);
    if (status < 0) {
        acceptor_close(&door->acceptor);
        return error_set(error, status, "cannot serve DNS by UDP on %s: %s",
                         addr_format(&door->at, text), strerror(-status));
    }
    return 0;
}

static void doors_close(struct dns_server *server)
{
    while (server->door_count > 0) {
        struct door *door = &server->doors[--server->door_count];
        acceptor_close(&door->acceptor);
        dgram_close(&door->dgram);
    }
}

int dns_server_open(struct loop *loop, const struct addr *at, size_t count, struct zone *zone,
                    struct dns_server **ret_server, struct error *error)
{
    if (count > DNS_SERVER_ADDRESSES_MAX) {
        return error_set(error, -E2BIG, "at most %d addresses for DNS", DNS_SERVER_ADDRESSES_MAX);
    }
    struct dns_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    server->loop = loop;
    random_seed(&server->random, monotonic_ns());
    list_init(&server->connections);
    for (size_t i = 0; i < count; i++) {
        server->doors[i].server = server;
        int status = door_open(&server->doors[i], loop, &at[i], error);
        if (status < 0) {
            doors_close(server);
            free(server);
            return status;
        }
        server->door_count++;
    }
    server->zone = zone;
    *ret_server = server;
    return 0;
}

void dns_server_set_zone(struct dns_server *server, struct zone *zone)
{
    zone_free(server->zone);
    server->zone = zone;
}

const struct dns_server_counters *dns_server_counters(const struct dns_server *server)
{
    return &server->counters;
}

const struct addr *dns_server_address(const struct dns_server *server, size_t index)
{
    return index < server->door_count ? &server->doors[index].at : NULL;
}

void dns_server_close(struct dns_server *server)
{
    if (server == NULL) {
        return;
    }
    doors_close(server);
    server->closing = true;
    LIST_FOREACH (&server->connections, link) {
        connection_close(CONTAINER_OF(link, struct connection, link));
    }
    server_free_when_idle(server);
}
