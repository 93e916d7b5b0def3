// SPDX-License-Identifier: Apache-2.0
// Network interfaces. Functions that take a `struct netlink` and no error put a request into its
// batch (see netlink.h); the others ask at once.
#pragma once

#include <net/if.h>

#include "base/addr.h"
#include "net/netlink.h"

struct link {
    unsigned index;
    unsigned master; // index of the bridge it is a port of; 0: none
    bool up;
    uint8_t mac[6];
    uint32_t mtu;
    char name[IFNAMSIZ];
    char kind[16]; // "veth", "bridge"; "" for hardware
};

struct link_list {
    struct link *items;
    size_t count, room;
};

// All of the namespace; the caller frees with link_list_free (also after a failure).
int link_list_read(struct netlink *netlink, struct link_list *ret_list, struct error *error);
void link_list_free(struct link_list *list);
// NULL when there is none.
const struct link *link_list_find(const struct link_list *list, const char *name);

// -ENODEV when there is none (error is not set then).
int link_get(struct netlink *netlink, const char *name, struct link *ret_link, struct error *error);

// Into the batch. By name, so that no index has to be known; -ENAMETOOLONG and the like come at
// commit.
void link_set_up(struct netlink *netlink, const char *name, bool up);
void link_set_mtu(struct netlink *netlink, const char *name, uint32_t mtu);
void link_set_mac(struct netlink *netlink, const char *name, const uint8_t mac[6]);
void link_set_master(struct netlink *netlink, const char *name, unsigned master);
void link_rename(struct netlink *netlink, unsigned index, const char *name);
void link_move(struct netlink *netlink, const char *name, int netns_fd);
// A link that is gone already is no failure.
void link_delete(struct netlink *netlink, const char *name);

// A socket that becomes readable when a link of the calling thread's namespace comes, goes or
// changes.
int link_monitor_open(int *ret_fd);
// Reads what came, without waiting; gone is called for each link that went. Returns true when some
// news were lost (the socket's buffer was full), so that the caller looks at everything.
bool link_monitor_read(int fd, void (*gone)(const char *name, void *context), void *context);

// A MAC address of ours (locally administered) that always follows from the same address, so that
// neighbours' caches stay right when an interface is made again. role: 1 for front, 2 for back …
void link_derive_mac(uint8_t role, const struct addr *addr, uint8_t ret_mac[6]);

// True when the name is a valid interface name for us: 1–15 of [A-Za-z0-9_-].
bool link_name_valid(const char *name);
