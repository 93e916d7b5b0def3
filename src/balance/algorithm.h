// SPDX-License-Identifier: Apache-2.0
// What an algorithm sees of a balancer; for the files of this folder only.
#pragma once

#include "balance/balancer.h"

enum { OUTSIDE = UINT32_MAX };

struct balancer_target {
    uint64_t key;         // the algorithm's
    uint64_t turn;        // of its last choice; ties go to the smallest
    uint32_t weight;      // > 0 when usable
    uint32_t outstanding; // chosen and not yet released
    uint32_t place;       // in the heap; OUTSIDE: no candidate
    bool usable;          // has a weight and does not drain
};

struct balancer {
    const struct balancer_ops *ops;
    uint64_t now;  // the algorithm's own clock
    uint64_t turn; // of the last choice
    uint32_t count, candidates;
    bool fails_open;
    uint32_t *heap; // indices of candidates
    struct balancer_target targets[];
};

struct balancer_ops {
    const char *name;
    // The key of a target that becomes a candidate (again).
    void (*enter)(struct balancer *balancer, struct balancer_target *target);
    // The key after a choice; it never gets smaller by one. outstanding counts the choice already.
    void (*chosen)(struct balancer *balancer, struct balancer_target *target);
    // The key after outstanding changed otherwise. May be NULL.
    void (*counted)(struct balancer *balancer, struct balancer_target *target);
};
