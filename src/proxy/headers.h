// SPDX-License-Identifier: Apache-2.0
// Heads as they go on: built anew from what was parsed, never copied raw. Pure.
//
// To a target: the request's start and Host; its end-to-end fields; X-Forwarded-For with the
// client's address appended to what came (RFC 7239 names the practice); X-Forwarded-Proto and -Port
// as the listener knows them, whatever the client claimed; X-Request-Id; the framing. To a client:
// the end-to-end fields; Date when the target sent none (RFC 9110 §6.6.1); X-Request-Id; the
// framing; what this connection will do.
#pragma once

#include "codec/http1.h"

enum { REQUEST_ID_LEN = 32 };

struct headers_request {
    struct str host;      // for HTTP/1.0 without one
    struct str client;    // its IP address
    struct str forwarded; // "X-Forwarded-Proto: …\r\nX-Forwarded-Port: …\r\n"
    struct str request_id;
};
void headers_write_request(struct writer *writer, const struct http1_head *head,
                           const struct headers_request *context);

struct headers_response {
    struct str date; // "Date: …\r\n"
    struct str request_id;
    enum http1_body framing;
    bool closes;          // this is the last answer on the connection
    bool says_keep_alive; // the client is HTTP/1.0 and must be told
};
void headers_write_response(struct writer *writer, const struct http1_head *head,
                            const struct headers_response *context);
// 1xx but 101: nothing is added.
void headers_write_interim(struct writer *writer, const struct http1_head *head);
void headers_write_switch(struct writer *writer, const struct http1_head *head,
                          const struct headers_response *context);

// The client's own id is kept when it is one field of 8–64 of A–Z a–z 0–9 . _ -, so that a trace
// spans several services; otherwise .at is NULL and Weir makes one.
struct str headers_find_request_id(const struct http1_head *head);
