// SPDX-License-Identifier: Apache-2.0
#include "proxy/target_state.h"

#include "proxy/health_thread.h"

struct target_state *target_state_ref(struct target_state *target)
{
    atomic_fetch_add_explicit(&target->refs, 1, memory_order_relaxed);
    return target;
}

void target_state_unref(struct target_state *target)
{
    atomic_fetch_sub_explicit(&target->refs, 1, memory_order_release);
}

// FNV-1a
static uint32_t bucket_of(uint64_t group_id, const struct addr *address)
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i < 8; i++) {
        hash = (hash ^ (uint8_t)(group_id >> (8 * i))) * 16777619u;
    }
    for (int i = 0; i < 16; i++) {
        hash = (hash ^ address->ip[i]) * 16777619u;
    }
    hash = (hash ^ (address->port & 255)) * 16777619u;
    hash = (hash ^ (address->port >> 8)) * 16777619u;
    return (hash ^ hash >> 16) % TARGET_REGISTRY_BUCKETS;
}

struct target_state *target_registry_get(struct target_registry *registry, uint64_t group_id,
                                         const struct addr *address)
{
    struct target_state **bucket = &registry->buckets[bucket_of(group_id, address)];
    for (struct target_state *target = *bucket; target != NULL; target = target->next) {
        if (target->group_id == group_id && addr_equal(&target->address, address)) {
            return target_state_ref(target);
        }
    }
    struct target_state *target =
        calloc(1, sizeof(*target) + registry->worker_count * sizeof(struct backend_pool *));
    if (target == NULL) {
        return NULL;
    }
    target->group_id = group_id;
    target->address = *address;
    target->pool_count = registry->worker_count;
    atomic_init(&target->refs, 2); // the registry's and the caller's

    atomic_init(&target->verdict,
                verdict_pack(&(struct verdict_state){.verdict = VERDICT_INITIAL}));
    list_init(&target->letter.link);
    target->letter.deliver = health_thread_deliver_failures;
    target->next = *bucket;
    *bucket = target;
    return target;
}

void target_registry_sweep(struct target_registry *registry)
{
    for (uint32_t i = 0; i < TARGET_REGISTRY_BUCKETS; i++) {
        for (struct target_state **at = &registry->buckets[i]; *at != NULL;) {
            struct target_state *target = *at;
            if (atomic_load_explicit(&target->refs, memory_order_acquire) == 1) {
                *at = target->next;
                free(target);
            } else {
                at = &target->next;
            }
        }
    }
}
