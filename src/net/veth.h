// SPDX-License-Identifier: Apache-2.0
// Pairs of virtual Ethernet interfaces. One request makes both ends where they belong, with their
// names, MAC addresses and the bridge of the near one: nothing is moved or renamed afterwards, so
// there is no moment with a half-made pair under a wrong name. The near end comes up with it; the
// far one is for the caller to bring up (the kernel cannot in the same request).
#pragma once

#include "net/link.h"

struct veth_end {
    const char *name;
    int netns_fd;   // -1: the namespace of the netlink socket
    uint8_t mac[6]; // all zero: the kernel chooses
};

// Into the batch. near.netns_fd must be -1 when master is not 0 (a bridge of the same namespace).
void veth_create(struct netlink *netlink, const struct veth_end *near, unsigned master,
                 const struct veth_end *far, uint32_t mtu);
