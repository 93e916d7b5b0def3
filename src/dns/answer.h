// SPDX-License-Identifier: Apache-2.0
// From a DNS question's bytes to an answer's bytes, without I/O. Authoritative only: no recursion,
// no zone transfer, nothing outside the zone (REFUSED). Follows RFC 1034, 1035 (messages), 2308
// (negative answers), 6891 (EDNS), 8020 (NXDOMAIN), 8482 (ANY), 9619 (one question). The question's
// letters come back as they were written ("0x20"). Wire form by libldns.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/zone.h"

enum {
    DNS_UDP_PLAIN_MAX = 512, // RFC 1035 §4.2.1
    DNS_UDP_EDNS_MAX = 1232, // dnsflagday.net/2020: never a fragment
    DNS_STREAM_MAX = 65535,
};

struct dns_transport {
    bool stream;       // TCP: answers up to DNS_STREAM_MAX, never truncated below it
    uint64_t rotation; // where the list of addresses starts; any number
};

// Writes the answer to `room` bytes at ret_answer and returns its length; 0 when nothing must be
// sent (not a question at all, or memory is out).
size_t dns_answer(const struct zone *zone, struct str question, struct dns_transport transport,
                  uint8_t *ret_answer, size_t room);
