// SPDX-License-Identifier: Apache-2.0
// Which address is next: front addresses of units, back addresses of units, subnets of projects.
// Pure: what is taken comes in as arrays, nothing is remembered here.
//
// A released address rests before it is given again (IPAM_REST_MS): a client may have the old
// answer of a DNS cache, or a connection half open. When nothing else is left, the one that rests
// longest is taken, for an address too early harms less than no unit at all.
#pragma once

#include <stddef.h>

#include "base/addr.h"

enum {
    IPAM_REST_MS = 10 * 60 * 1000,
    IPAM_FRONT_FIRST = 16, // the first addresses of the front subnet are the administrator's
    IPAM_PROJECT_BITS = 24,
};

struct ipam_range {
    struct prefix subnet;
    uint32_t first, last; // usable positions in the subnet, both included
    bool from_top;        // which end is given first
};

struct ipam_release {
    struct addr addr; // port 0
    uint64_t at_ms;   // monotonic
};

struct ipam_taken {
    const struct addr *used; // port 0; others than of this range are ignored
    size_t used_count;
    const struct ipam_release *released;
    size_t released_count;
};

// All of the subnet but network, gateway, the administrator's and broadcast, from the bottom.
struct ipam_range ipam_front_range(const struct prefix *subnet);
// The upper half of a project's subnet without broadcast, from the top.
struct ipam_range ipam_back_range(const struct prefix *subnet);
// The first address of a subnet.
struct addr ipam_gateway(const struct prefix *subnet);

// -ENOSPC when every address is used.
int ipam_pick(const struct ipam_range *range, const struct ipam_taken *taken, uint64_t now_ms,
              struct addr *ret_addr);

// The first subnet of `bits` in the pool that overlaps none of the used ones; -ENOSPC.
int ipam_pick_subnet(const struct prefix *pool, uint8_t bits, const struct prefix *used,
                     size_t used_count, struct prefix *ret_subnet);
