// SPDX-License-Identifier: Apache-2.0
// The zone: an immutable set of names with addresses, built whole from what should be answered now
// and swapped as a pointer; nobody edits one. Names that exist only because something lies below
// them ("john.weir.internal" above "shop.john.weir.internal") are in it as empty ones, so that
// NODATA and NXDOMAIN are told apart (RFC 8020).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

enum {
    DNS_NAME_MAX = 255,              // bytes of a name in wire form, RFC 1035 §2.3.4
    ZONE_TTL_S = 5,                  // of load balancers' addresses, and how long "no" may be kept
    ZONE_INFRASTRUCTURE_TTL_S = 300, // of SOA, NS and the name server's own address
};

struct zone;

struct zone_name {
    struct str name; // relative to the origin, "shop.john"; labels of a-z 0-9 -
    const struct addr *addresses;
    size_t address_count; // 0: the name exists without addresses
};

struct zone_source {
    struct str origin;                   // "weir.internal"
    uint32_t serial;                     // of the SOA; grows with each change (RFC 1982)
    const struct addr *server_addresses; // of ns1.<origin>, for NS and glue
    size_t server_address_count;
    const struct zone_name *names; // borrowed for the call; a name may come once
    size_t name_count;
};

// -EINVAL with text in error for a name that is none; -EEXIST for one that comes twice; -ENOMEM.
int zone_build(const struct zone_source *source, struct zone **ret_zone, struct error *error);
// Accepts NULL, returns NULL.
struct zone *zone_free(struct zone *zone);

struct zone_entry {
    const uint8_t *wire; // lower case
    size_t wire_len;
    struct addr *addresses; // IPv4 first
    uint16_t v4_count, v6_count;
};

enum zone_match { ZONE_OUTSIDE, ZONE_NO_NAME, ZONE_FOUND };
// wire: a name in wire form without compression, any case. *ret_entry is set when found and lives
// as long as the zone.
enum zone_match zone_find(const struct zone *zone, const uint8_t *wire, size_t wire_len,
                          const struct zone_entry **ret_entry);

const struct zone_entry *zone_apex(const struct zone *zone);
const struct zone_entry *zone_server(const struct zone *zone); // ns1.<origin>
uint32_t zone_serial(const struct zone *zone);

// "shop.john" + "weir.internal" → wire form in lower case. Returns its length or -EINVAL.
int dns_name_to_wire(struct str name, struct str origin, uint8_t ret_wire[static DNS_NAME_MAX]);
