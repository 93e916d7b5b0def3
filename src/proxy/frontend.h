// SPDX-License-Identifier: Apache-2.0
// Client connections: accepted, read, one request after the other, closed.
//
//            accepted                 bytes                         answered, keep-alive
//   (listener) ────▶ waiting for a request ────▶ request under way ────▶ waiting …
//                        │ idle, drain, end           │ last answer
//                        ▼                            ▼
//                      closed ◀──── end, late ──── lingering (FIN sent, input thrown away)
//
// An idle connection is this struct and no buffer. Pipelined requests wait in `input`, while
// reading pauses; they are answered one at a time, in order.
#pragma once

#include "event/stream.h"
#include "proxy/deadline.h"
#include "proxy/worker.h"

struct request;

enum { CLIENT_TEXT_LEN = 46 };

struct client {
    struct stream stream;
    struct worker *worker;
    struct worker_listener *listener;
    struct request *request; // NULL: waiting for one
    struct buf *input;       // received and not yet taken
    struct deadline deadline;
    struct list link; // of worker->clients
    uint32_t requests;
    uint32_t linger_bytes;
    bool ended; // the client will send no more
    bool lingering;
    bool closing;
    uint8_t address_len;
    char address[CLIENT_TEXT_LEN]; // for X-Forwarded-For
};

void client_accept(struct worker_listener *listener, int fd, const struct addr *peer);
// Runs the requests that have come, until one has to wait or none is left. For after a request of
// the client has ended.
void client_run(struct client *client);
// Ends the connection: now; now with RST; after what is queued, and politely.
void client_close(struct client *client);
void client_abort(struct client *client);
void client_linger(struct client *client);
// The unit drains: ends it if it waits for a request.
void client_drain(struct client *client);
// The listener was removed or speaks another protocol now: ends it if it waits for a request.
void client_release_listener(struct client *client);
// Whether another request may follow the one under way, as far as this end of it goes.
bool client_may_go_on(const struct client *client);
void client_wait(struct client *client, enum deadline_kind kind, uint64_t after_ms);
