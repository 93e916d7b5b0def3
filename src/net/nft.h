// SPDX-License-Identifier: Apache-2.0
// Packet filter rules through the command `nft -j -f -` (its library is GPL; a command is not
// linked). Every table of ours begins with "weir"; no other is ever touched. Blocks until the
// command ends (tens of ms, 10 s at the most): for worker threads.
#pragma once

#include "base/addr.h"
#include "base/err.h"

// What lets units reach targets outside: their packets leave with the machine's own address.
struct nft_outside {
    const char *table;    // "weir" or "weir-NAME"
    struct prefix inside; // the front subnet
    const char *bridge;   // "weir0"
    // Interfaces on which we enabled forwarding: what comes in there is forwarded only when it
    // answers a unit, so the machine does not become a router for others.
    const char *const *guarded;
    size_t guarded_count;
    // What units never reach this way: the projects' subnets, which are nowhere but in namespaces.
    const struct prefix *closed;
    size_t closed_count;
};

// True when the command is there and the kernel takes rules from it; else why not.
int nft_check(struct error *error);
// Replaces the table as a whole, in one transaction.
int nft_set_outside(const struct nft_outside *outside, struct error *error);
// One that is not there is no failure.
int nft_delete_table(const char *table, struct error *error);
