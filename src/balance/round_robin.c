// SPDX-License-Identifier: Apache-2.0
// Weighted round robin, smooth: a target of weight w is due every 1/w of the balancer's clock, and
// the one that is due first is next (earliest deadline first; stride scheduling, Waldspurger 1995).
// So in every cycle of as many choices as there is weight each gets exactly its weight, evenly
// spread and not in a burst, and equal weights take turns.
#include "balance/algorithm.h"

// Of the clock, for weight 1. 1/1000 of it is still a number of 22 bits.
static const uint64_t cycle = UINT64_C(1) << 32;
// At which all keys are set back; far from where they overflow.
static const uint64_t clock_limit = UINT64_C(1) << 62;

static uint64_t stride_of(const struct balancer_target *target)
{
    return cycle / target->weight;
}

// Half a stride from now: in the middle of its first share of the cycle.
static void round_robin_enter(struct balancer *balancer, struct balancer_target *target)
{
    uint64_t first = balancer->now + stride_of(target) / 2;
    if (target->key < first) {
        target->key = first;
    }
}

static void set_clock_back(struct balancer *balancer)
{
    for (uint32_t i = 0; i < balancer->count; i++) {
        struct balancer_target *target = &balancer->targets[i];
        target->key = target->key > balancer->now ? target->key - balancer->now : 0;
    }
    balancer->now = 0;
}

static void round_robin_chosen(struct balancer *balancer, struct balancer_target *target)
{
    if (target->key > balancer->now) {
        balancer->now = target->key;
    }
    target->key += stride_of(target);
    if (balancer->now > clock_limit) {
        set_clock_back(balancer);
    }
}

const struct balancer_ops balancer_round_robin = {
    .name = "round_robin",
    .enter = round_robin_enter,
    .chosen = round_robin_chosen,
};
