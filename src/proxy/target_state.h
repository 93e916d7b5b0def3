// SPDX-License-Identifier: Apache-2.0
// What a unit knows of a target beyond one snapshot: its verdict and its open connections. It is
// known by its group and address, and lives from the first snapshot that names it until the last
// snapshot, check and connection that uses it has gone.
//
// Threads: the registry and `mark` are the control thread's, `entry` and `judged` the health
// thread's, pools[i] worker i's; the rest is atomic.
#pragma once

#include <stdatomic.h>

#include "base/addr.h"
#include "event/mailbox.h"
#include "health/verdict.h"

struct backend_pool;
struct health_entry;

struct target_state {
    struct target_state *next; // in the registry
    uint64_t group_id;
    struct addr address;
    atomic_uint refs;
    atomic_uint verdict; // verdict_pack
    uint64_t mark;       // of the compilation that saw it last
    uint32_t mark_index; // its place in the group there
    struct health_entry *entry;
    // Connections that requests could not make: how many, the reason of the last, and the letter
    // that tells the health thread, which is on its way while letter_sent.
    atomic_uint connect_failures;
    atomic_uint connect_reason; // enum health_reason
    atomic_bool letter_sent;
    struct letter letter;
    uint32_t pool_count;
    struct backend_pool *pools[]; // one a worker
};

struct target_state *target_state_ref(struct target_state *target);
// From any thread. The last reference is the registry's.
void target_state_unref(struct target_state *target);

static inline bool target_state_is_healthy(const struct target_state *target)
{
    struct health_result reason;
    uint32_t packed = atomic_load_explicit(&target->verdict, memory_order_acquire);
    return verdict_unpack(packed, &reason) == VERDICT_HEALTHY;
}

enum { TARGET_REGISTRY_BUCKETS = 1024 };
struct target_registry {
    struct target_state *buckets[TARGET_REGISTRY_BUCKETS];
    uint32_t worker_count;
};

// Finds or makes one, with a new reference for the caller. NULL: memory is out.
struct target_state *target_registry_get(struct target_registry *registry, uint64_t group_id,
                                         const struct addr *address);
// Frees those that only the registry knows.
void target_registry_sweep(struct target_registry *registry);
