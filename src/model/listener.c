// SPDX-License-Identifier: Apache-2.0
#include "model/listener.h"

const char *const protocol_names[] = {"http", "tcp", NULL};

enum { MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS };

#define TIMEOUT(member, default_ms, line)                               \
    {                                                                   \
#member, FIELD_INTEGER, FIELD_AT(struct timeouts, member),      \
            .min = 1, .max = DAY_MS, .number = default_ms, .text = line \
    }

static const struct field timeouts_fields[] = {
    TIMEOUT(client_header_ms, MINUTE_MS, "From a request's first byte to the end of its head"),
    TIMEOUT(client_idle_ms, MINUTE_MS, "Between two requests of one connection"),
    TIMEOUT(client_body_ms, MINUTE_MS, "Without a byte of a request's body"),
    TIMEOUT(connect_ms, 5000, "To connect to one target"),
    TIMEOUT(target_response_ms, MINUTE_MS, "From the request sent to the end of the answer's head"),
    TIMEOUT(target_body_ms, MINUTE_MS, "Without a byte of an answer's body"),
    TIMEOUT(tunnel_idle_ms, 60 * MINUTE_MS, "tcp and upgraded connections: no byte either way"),
    TIMEOUT(send_ms, MINUTE_MS, "Without the other side taking a byte"),
};

const struct schema timeouts_schema = {
    "timeouts",
    "How long each state of a connection may last, in milliseconds",
    sizeof(struct timeouts),
    SCHEMA_FIELDS(timeouts_fields),
};

static const struct field listener_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct listener, id), .flags = FIELD_OPTIONAL,
     .text = "Set by Weir; in a change it says which of the present listeners is meant"},
    {"protocol", FIELD_ENUM, FIELD_AT(struct listener, protocol), .names = protocol_names,
     .text = "What is spoken: http is understood, tcp is passed on"},
    {"port", FIELD_INTEGER, FIELD_AT(struct listener, port), .min = 1, .flags = FIELD_REQUIRED,
     .text = "Unique in the load balancer; 9901 is the units' own"},
    {"target_group_id", FIELD_INTEGER, FIELD_AT(struct listener, target_group_id), .min = 1,
     .flags = FIELD_REQUIRED, .text = "Where its requests go; a target group of the same project"},
    {"body_max_bytes", FIELD_INTEGER, FIELD_AT(struct listener, body_max_bytes),
     .max = INT64_C(1) << 50, .text = "A longer request body is refused with 413; 0: no limit"},
    {"timeouts", FIELD_OBJECT, FIELD_AT(struct listener, timeouts), .schema = &timeouts_schema,
     .text = "How long each state of a connection may last"},
};

const struct schema listener_schema = {
    "listener",
    "The protocol and port a load balancer takes traffic on, and where it goes",
    sizeof(struct listener),
    SCHEMA_FIELDS(listener_fields),
};
