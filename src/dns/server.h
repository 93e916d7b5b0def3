// SPDX-License-Identifier: Apache-2.0
// The DNS server: one zone on several addresses, by UDP and TCP (RFC 7766), on one loop. The zone
// is swapped whole; a question under way is answered from the one it met.
#pragma once

#include "base/err.h"
#include "dns/zone.h"
#include "event/loop.h"

enum {
    DNS_SERVER_ADDRESSES_MAX = 8,
    DNS_STREAMS_MAX = 128,          // TCP connections at once; one more closes the longest idle
    DNS_STREAM_IDLE_MS = 10000,     // RFC 7766 §6.2.3: a few seconds
    DNS_STREAM_QUESTION_MAX = 2048, // a longer question closes its connection
};

struct dns_server;

struct dns_server_counters {
    uint64_t questions_udp, questions_tcp;
    uint64_t dropped;         // no answer was due, or the socket's buffer was full
    uint64_t streams_refused; // connections closed to make room
};

// at: up to DNS_SERVER_ADDRESSES_MAX addresses with ports; they need not exist on the machine yet.
// zone is taken. -EADDRINUSE, -EACCES … with text; then nothing stays open and zone is still the
// caller's.
int dns_server_open(struct loop *loop, const struct addr *at, size_t count, struct zone *zone,
                    struct dns_server **ret_server, struct error *error);
// Takes the new zone, frees the old one.
void dns_server_set_zone(struct dns_server *server, struct zone *zone);
const struct dns_server_counters *dns_server_counters(const struct dns_server *server);
// Where it listens (with the port chosen for 0), in the order given.
const struct addr *dns_server_address(const struct dns_server *server, size_t index);
// Closes sockets and frees zone and server once the loop has let go of the streams. Accepts NULL.
void dns_server_close(struct dns_server *server);
