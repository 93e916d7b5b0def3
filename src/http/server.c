// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include "event/acceptor.h"
#include "http/connection.h"

struct listener {
    struct acceptor acceptor;
    struct http_server *server;
    struct addr at; // family 0 for a Unix socket
};

int http_server_new(struct loop *loop, const struct http_server_options *options,
                    void (*asked)(struct http_request *request, void *owner), void *owner,
                    struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return -ENOMEM;
    }
    server->loop = loop;
    server->options = *options;
    if (server->options.body_max == 0) {
        server->options.body_max = 1 << 20;
    }
    if (server->options.connections_max == 0) {
        server->options.connections_max = 1000;
    }
    if (server->options.stream_queue_max == 0) {
        server->options.stream_queue_max = 1 << 20;
    }
    server->asked = asked;
    server->owner = owner;
    list_init(&server->connections);
    *ret_server = server;
    return 0;
}

// Who is silent must not keep others out: the connection gives way that waits longest for its
// client to say something. False when all have requests under way.
static bool make_room(struct http_server *server)
{
    LIST_FOREACH (&server->connections, link) {
        struct connection *connection = CONTAINER_OF(link, struct connection, link);
        if (connection->state == CONNECTION_HEAD || connection->state == CONNECTION_BODY ||
            connection->state == CONNECTION_LINGERING) {
            connection_close(connection);
            return true;
        }
    }
    return false;
}

static void accepted(struct acceptor *acceptor, int fd, const struct addr *peer)
{
    struct listener *listener = CONTAINER_OF(acceptor, struct listener, acceptor);
    struct http_server *server = listener->server;
    struct http_peer who = {.addr = *peer, .is_unix = listener->at.family == 0};
    struct ucred credentials;
    socklen_t len = sizeof(credentials);
    if (server->connection_count >= server->options.connections_max && !make_room(server)) {
        close_fd(&fd);
        return;
    }
    if (who.is_unix) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0) {
            close_fd(&fd);
            return;
        }
        who.uid = credentials.uid;
        who.gid = credentials.gid;
        who.pid = credentials.pid;
    }
    connection_open(server, fd, &who);
}

static int listener_add(struct http_server *server, struct listener **ret_listener,
                        struct error *error)
{
    if (server->listener_count == HTTP_SERVER_LISTENERS_MAX) {
        return error_set(error, -E2BIG, "at most %d listeners", HTTP_SERVER_LISTENERS_MAX);
    }
    *ret_listener = calloc(1, sizeof(**ret_listener));
    if (*ret_listener == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    (*ret_listener)->server = server;
    return 0;
}

int http_server_listen(struct http_server *server, const struct addr *at, struct error *error)
{
    struct listener *listener;
    int status = listener_add(server, &listener, error);
    if (status < 0) {
        return status;
    }
    const struct acceptor_options options = {.free_bind = true};
    listener->at = *at;
    status = acceptor_open(&listener->acceptor, server->loop, at, &options, accepted);
    if (status < 0) {
        char text[ADDR_TEXT_LEN];
        free(listener);
        return error_set(error, status, "cannot listen on %s: %s", addr_format(at, text),
                         strerror(-status));
    }
    acceptor_local(&listener->acceptor, &listener->at);
    server->listeners[server->listener_count++] = listener;
    return 0;
}

int http_server_listen_unix(struct http_server *server, const char *path, unsigned mode,
                            struct error *error)
{
    struct listener *listener;
    int status = listener_add(server, &listener, error);
    if (status < 0) {
        return status;
    }
    status = acceptor_open_unix(&listener->acceptor, server->loop, path, mode, accepted);
    if (status < 0) {
        free(listener);
        return error_set(error, status, "cannot listen on %s: %s", path, strerror(-status));
    }
    server->listeners[server->listener_count++] = listener;
    return 0;
}

const struct addr *http_server_address(const struct http_server *server, size_t index)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        if (server->listeners[i]->at.family != 0 && index-- == 0) {
            return &server->listeners[i]->at;
        }
    }
    return NULL;
}

void http_server_free_when_idle(struct http_server *server)
{
    if (server->closing && server->connection_count == 0) {
        free(server);
    }
}

void http_server_close(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    while (server->listener_count > 0) {
        struct listener *listener = server->listeners[--server->listener_count];
        acceptor_close(&listener->acceptor);
        free(listener);
    }
    server->closing = true;
    LIST_FOREACH (&server->connections, link) {
        connection_close(CONTAINER_OF(link, struct connection, link));
    }
    http_server_free_when_idle(server);
}
