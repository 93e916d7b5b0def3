// SPDX-License-Identifier: Apache-2.0
// Choosing a target. A balancer holds the targets of one group in a heap by their key; the smallest
// key is next, and among equal keys the one whose last turn is longest ago. What the key means is
// the algorithm: one file each, which ends in a `struct balancer_ops`. Choosing, counting and
// releasing are O(log n) for any number of targets; nothing is allocated after balancer_new.
//
// Candidates are the targets that are healthy, do not drain and have a weight. While none of these
// is healthy, all of them are candidates ("fail open"): a check that is wrong about everything must
// not take the service down.
//
// Targets are known by their index in the array given to balancer_new. One thread owns a balancer.
// The outstanding counts are its own: with several workers each balances its own requests.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct balancer;

struct balancer_member {
    uint32_t weight; // 0: gets nothing new
    bool draining;   // likewise
};

struct balancer_ops;
extern const struct balancer_ops balancer_round_robin;
extern const struct balancer_ops balancer_least_outstanding;

enum { BALANCER_TRIED_MAX = 8 };

// start: the index whose turn is first, so that several balancers of one group need not begin in
// step. Nobody is healthy until balancer_update says so. -ENOMEM.
int balancer_new(const struct balancer_ops *ops, const struct balancer_member *members,
                 uint32_t count, uint32_t start, struct balancer **ret_balancer);
// Accepts NULL, returns NULL.
struct balancer *balancer_free(struct balancer *balancer);

// Asks again who is healthy. O(n); for when a verdict has changed.
void balancer_update(struct balancer *balancer,
                     bool (*is_healthy)(const void *context, uint32_t index), const void *context);

// The next target, which has one more outstanding from now on; never one of those in tried
// (tried_count ≤ BALANCER_TRIED_MAX). -1 when there is none.
int64_t balancer_choose(struct balancer *balancer, const uint32_t *tried, uint32_t tried_count);
// One more, chosen by somebody else (a balancer of an older snapshot).
void balancer_count(struct balancer *balancer, uint32_t index);
// One less.
void balancer_release(struct balancer *balancer, uint32_t index);

uint32_t balancer_outstanding(const struct balancer *balancer, uint32_t index);
bool balancer_fails_open(const struct balancer *balancer);
