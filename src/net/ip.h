// SPDX-License-Identifier: Apache-2.0
// Addresses and routes, IPv4 and IPv6.
#pragma once

#include "base/addr.h"
#include "net/netlink.h"

struct ip_address {
    unsigned link; // index
    struct addr addr;
    uint8_t bits; // of its prefix
};
struct ip_address_list {
    struct ip_address *items;
    size_t count, room;
};

struct ip_route {
    struct prefix to; // bits 0: the default route
    struct addr via;  // family 0: none
    unsigned link;    // outgoing; 0: several (multipath) or none
    bool local;       // an address of the machine itself
};
struct ip_route_list {
    struct ip_route *items;
    size_t count, room;
};

// Into the batch. IPv6 addresses are usable at once (no duplicate address detection). One that is
// there already is no failure.
void ip_add_address(struct netlink *netlink, unsigned link, const struct addr *addr, uint8_t bits);
void ip_remove_address(struct netlink *netlink, unsigned link, const struct addr *addr,
                       uint8_t bits);
// via may have family 0 (on-link). Replaces one to the same prefix.
void ip_add_route(struct netlink *netlink, const struct prefix *to, const struct addr *via,
                  unsigned link);

// Free with the _free function, also after a failure.
int ip_list_addresses(struct netlink *netlink, struct ip_address_list *ret_list,
                      struct error *error);
void ip_address_list_free(struct ip_address_list *list);
// Unicast routes of the main table and the addresses of the local one.
int ip_list_routes(struct netlink *netlink, struct ip_route_list *ret_list, struct error *error);
void ip_route_list_free(struct ip_route_list *list);

// The index of the interface that packets to addr leave by. -ENETUNREACH.
int ip_find_route(struct netlink *netlink, const struct addr *addr, unsigned *ret_link,
                  struct error *error);
