// SPDX-License-Identifier: Apache-2.0
// Which node runs a new unit. Pure. In this order: a ready node; the one with the fewest units of
// the same load balancer (they spread; two on one node only when there is no other); not the one
// where the unit it replaces just died; the least loaded; the first by name, so that the same input
// gives the same answer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placement_node {
    const char *name;
    bool ready;
    uint32_t units;          // all it runs
    uint32_t balancer_units; // of this load balancer
    bool avoid;              // a unit of this load balancer just died here
};

// Index of the node, or -ENOENT when none is ready.
int placement_choose(const struct placement_node *nodes, size_t count);
