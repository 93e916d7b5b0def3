// SPDX-License-Identifier: Apache-2.0
// Where clients are sent, and what a user is told about it. Pure.
//
// In DNS are the units that serve. When none does, the answer falls back, so that a mistake of ours
// or a late recovery is not made worse by an empty answer (fail open):
//   1. starting or serving units that are known to serve, and serving ones nobody spoke about yet
//   2. units that serve but are failed (not stable yet) or leaving
//   3. every unit that is not deleted: the last known
// A load balancer that is being deleted has no addresses.
#pragma once

#include "control/failover.h"
#include "model/load_balancer.h"

enum { STEERING_ADDRESSES_MAX = 32 };

struct steering {
    struct addr addresses[STEERING_ADDRESSES_MAX]; // in the order of unit ids
    size_t count;
    uint32_t serving; // units of the first kind
    uint32_t rule;    // 1–3: which of the above; 0: no unit
};
void steering_choose(const struct failover_unit *units, size_t count, bool deleting,
                     struct steering *ret_steering);

enum load_balancer_state steering_state(const struct steering *steering, uint32_t wanted,
                                        bool served_before, bool deleting);

// The verdicts about one target of several units made one: healthy when one unit says so (then the
// reason names what others see), else unhealthy when one says so, else what the last one says.
struct target_report steering_merge(const struct target_report *a, const struct target_report *b);
