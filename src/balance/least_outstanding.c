// SPDX-License-Identifier: Apache-2.0
// Least outstanding requests, weighted: the target for which (outstanding + 1) / weight is
// smallest, the load it would have with one more; among equals they take turns.
#include "balance/algorithm.h"

static void least_outstanding_key(struct balancer *balancer, struct balancer_target *target)
{
    (void)balancer;
    target->key = (((uint64_t)target->outstanding + 1) << 24) / target->weight;
}

const struct balancer_ops balancer_least_outstanding = {
    .name = "least_outstanding",
    .enter = least_outstanding_key,
    .chosen = least_outstanding_key,
    .counted = least_outstanding_key,
};
