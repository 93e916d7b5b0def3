// SPDX-License-Identifier: Apache-2.0
#include "control/placement.h"

#include <errno.h>
#include <string.h>

// < 0: a is the better place.
static int compare(const struct placement_node *a, const struct placement_node *b)
{
    if (a->balancer_units != b->balancer_units) {
        return a->balancer_units < b->balancer_units ? -1 : 1;
    }
    if (a->avoid != b->avoid) {
        return a->avoid ? 1 : -1;
    }
    if (a->units != b->units) {
        return a->units < b->units ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

int placement_choose(const struct placement_node *nodes, size_t count)
{
    int best = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].ready && (best < 0 || compare(&nodes[i], &nodes[best]) < 0)) {
            best = (int)i;
        }
    }
    return best;
}
