// SPDX-License-Identifier: Apache-2.0
// One connection of the API's server; between server.c and connection.c only.
//
//        ┌────────────── next request, once the answer is sent ───────────────┐
//        ▼                                                                    │
//      head ──head parsed──▶ body ──whole──▶ asked ──reply──────────────▶ flushing
//        │                    │                └─stream_begin─▶ streaming ─end─┘ │
//        └──── refused ───────┴─────────▶ lingering ◀── no keep-alive ───────────┘
//                                             └──▶ closing
#pragma once

#include "event/stream.h"
#include "event/timer.h"
#include "http/server.h"

enum connection_state {
    CONNECTION_HEAD, // idle, too: then nothing of the next request is there
    CONNECTION_BODY,
    CONNECTION_ASKED,
    CONNECTION_STREAMING,
    CONNECTION_FLUSHING,
    CONNECTION_LINGERING, // FIN is sent or queued; what still comes is dropped
    CONNECTION_CLOSING,
};

struct connection {
    struct stream stream;
    struct http_request request;
    struct http_peer peer;
    struct list link; // of the server
    struct timer timer;
    enum connection_state state;
    bool keep_alive, peer_ended, chunked_answer, timing_header;
    uint32_t queued_before; // at the last look of the send time-out
    uint64_t lingered_bytes;

    char *input; // received and not yet taken
    size_t input_len, input_size;
    char *head_bytes; // of the current request: what head points into
    char *body;
    size_t body_len, body_size;
    struct http1_chunks chunks;
    struct http1_head head;
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    void (*asked)(struct http_request *request, void *owner);
    void *owner;
    struct listener *listeners[HTTP_SERVER_LISTENERS_MAX];
    size_t listener_count;
    struct list connections;
    size_t connection_count;
    bool closing;
};

// Takes fd. On failure fd is closed.
void connection_open(struct http_server *server, int fd, const struct http_peer *peer);
// Closes now; `gone` comes first when a request waits.
void connection_close(struct connection *connection);
// In server.c: frees it when it is closing and has no connection left.
void http_server_free_when_idle(struct http_server *server);
