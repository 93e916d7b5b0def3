// SPDX-License-Identifier: Apache-2.0
// An HTTP client on a loop, by libcurl's multi interface: for reports and long polls of the agent,
// probes of the controller, and the like. Never blocks the loop (libcurl resolves names in a thread
// of its own). Connections are kept and used again. No redirects, no proxies, no cookies.
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "event/loop.h"

struct http_client;

int http_client_new(struct loop *loop, struct http_client **ret_client);
// Every call must have ended or been cancelled. Accepts NULL, returns NULL.
struct http_client *http_client_free(struct http_client *client);

struct http_ask {
    const char *method;          // "GET", "PUT" …
    const char *url;             // http:// or https://
    const char *unix_socket;     // path to connect to instead of the URL's host; NULL: none
    const char *headers[8];      // "If-Match: 3"; ends at the first NULL
    struct str body;             // copied; sent when not empty or the method is PUT, POST or PATCH
    uint32_t connect_timeout_ms; // 0: 2,000
    uint32_t timeout_ms;         // of the whole call; 0: 10,000
    size_t answer_max;           // bytes of body; a longer one fails with -EMSGSIZE. 0: 16 MiB
    bool fresh_connection;       // neither use a kept connection nor keep this one
};

struct http_answer {
    int error;        // 0, or negative errno: -ECONNREFUSED, -ETIMEDOUT, -EMSGSIZE, -EIO …
    const char *text; // what failed, in words; "" when nothing did
    unsigned status;  // HTTP's; 0 when error is set
    struct str body;  // ended by NUL; borrowed for the call of done
};

struct http_call {
    struct http_client *client;
    void *easy; // libcurl's handle
    void *header_list;
    // The call is over; the struct may be used again inside.
    void (*done)(struct http_call *call, const struct http_answer *answer);
    char *body; // of the answer so far
    size_t body_len, body_max;
    bool too_long;
    char error_text[256];
    void *owner;
};

// On failure (-ENOMEM, -EINVAL) done is not called. done never comes from inside this function.
int http_client_call(struct http_client *client, const struct http_ask *ask, struct http_call *call,
                     void (*done)(struct http_call *, const struct http_answer *));
// No callback follows. Does nothing on a call that is over (or was zeroed and never begun).
void http_call_cancel(struct http_call *call);
static inline bool http_call_is_active(const struct http_call *call)
{
    return call->easy != NULL;
}
