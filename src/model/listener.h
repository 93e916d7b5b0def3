// SPDX-License-Identifier: Apache-2.0
// A listener: the protocol and port a load balancer takes traffic on, and where it goes.
#pragma once

#include <stdint.h>

#include "model/schema.h"

enum protocol { PROTOCOL_HTTP, PROTOCOL_TCP };
extern const char *const protocol_names[];

// Every state of a connection has one of these.
struct timeouts {
    uint32_t client_header_ms;   // first byte of a request → end of its head
    uint32_t client_idle_ms;     // between requests
    uint32_t client_body_ms;     // without a byte of the body
    uint32_t connect_ms;         // to one target
    uint32_t target_response_ms; // request sent → end of the response's head
    uint32_t target_body_ms;     // without a byte of the response's body
    uint32_t tunnel_idle_ms;     // tcp and upgraded connections: no byte either way
    uint32_t send_ms;            // without the peer taking a byte
};

struct listener {
    uint64_t id;
    enum protocol protocol;
    uint16_t port;
    uint64_t target_group_id;
    uint64_t body_max_bytes; // of a request; 0: no limit
    struct timeouts timeouts;
};

enum { UNIT_STATUS_PORT = 9901, LISTENERS_MAX = 50 };

extern const struct schema timeouts_schema;
extern const struct schema listener_schema;
