// SPDX-License-Identifier: Apache-2.0
// Bridges: no spanning tree, a MAC address of their own that no port changes, up at once.
#pragma once

#include "net/link.h"

// Into the batch. One that exists is left as it is.
void bridge_create(struct netlink *netlink, const char *name, const uint8_t mac[6], uint32_t mtu);
