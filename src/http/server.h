// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server for APIs on one loop: requests with whole bodies, answers at once, later (long
// poll) or in pieces (events). Not the proxy: here clarity rules, not the last microsecond.
// Connections are kept; pipelined requests are answered one after the other.
//
// A request belongs to the server. It is the owner's to answer from `asked` on, once, now or later,
// unless `gone` came first; after either it must not be touched.
#pragma once

#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "codec/http1.h"
#include "event/loop.h"

enum {
    HTTP_SERVER_LISTENERS_MAX = 8,
    HTTP_SERVER_HEADER_TIMEOUT_MS = 10000, // from a request's first byte to its last header's
    HTTP_SERVER_BODY_TIMEOUT_MS = 30000,   // the same for the body
    HTTP_SERVER_IDLE_TIMEOUT_MS = 60000,   // between requests
    HTTP_SERVER_SEND_TIMEOUT_MS = 30000,   // without the client taking a byte
    HTTP_SERVER_LINGER_MS = 2000,          // after an early refusal, for the client to read it
    HTTP_SERVER_LINGER_BYTES = 32 << 20,   // at most that much is read and dropped meanwhile
};

struct http_server;

struct http_server_options {
    size_t body_max;         // a longer body is answered with 413; 0: 1 MiB
    size_t connections_max;  // one more takes the place of one that asks nothing; 0: 1,000
    size_t stream_queue_max; // unsent bytes of a streamed answer before it counts as gone; 0: 1 MiB
};

struct http_peer {
    struct addr addr; // family 0 on a Unix socket
    bool is_unix;
    uid_t uid; // of the process behind a Unix socket (SO_PEERCRED)
    gid_t gid;
    pid_t pid;
};

struct http_request {
    struct http_server *server;
    const struct http1_head *head; // method, path, query, fields: see codec/http1.h
    struct str body;               // whole; ended by NUL
    const struct http_peer *peer;
    // Set by the owner when it answers later: the client went away, forget the request.
    void (*gone)(struct http_request *request);
    void *owner;
};

struct http_header {
    struct str name, value;
};

struct http_reply {
    unsigned status;
    struct str content_type;       // empty: no such field
    struct str body;               // copied
    struct http_header headers[6]; // ends at the first empty name
};

// asked must answer, or set request->gone and keep the request.
int http_server_new(struct loop *loop, const struct http_server_options *options,
                    void (*asked)(struct http_request *request, void *owner), void *owner,
                    struct http_server **ret_server);
// -EADDRINUSE, -EACCES …, with text.
int http_server_listen(struct http_server *server, const struct addr *at, struct error *error);
int http_server_listen_unix(struct http_server *server, const char *path, unsigned mode,
                            struct error *error);
// Where the index-th TCP listener is (with the port chosen for 0). NULL past the last.
const struct addr *http_server_address(const struct http_server *server, size_t index);
// Closes listeners and connections (with `gone` for requests that wait) and frees the server once
// the loop has let go. Accepts NULL.
void http_server_close(struct http_server *server);

void http_request_reply(struct http_request *request, const struct http_reply *reply);

// A streamed answer: begin, any number of pieces, end. The body of `reply` is ignored. A client
// that goes away or does not read makes `gone` come.
void http_request_stream_begin(struct http_request *request, const struct http_reply *reply);
// False when the request is gone (then `gone` has come, unless it comes from inside of it).
bool http_request_stream_send(struct http_request *request, struct str piece);
void http_request_stream_end(struct http_request *request);

// The value of the first `name=` in the query, %XX and '+' decoded into room; empty when absent,
// -EINVAL when badly encoded, -ENOSPC.
int http_request_parameter(const struct http_request *request, struct str name, char *room,
                           size_t room_size, struct str *ret_value);
