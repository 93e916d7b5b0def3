// SPDX-License-Identifier: Apache-2.0
#include "control/ipam.h"

#include <stdlib.h>
#include <string.h>

static uint32_t subnet_size(const struct prefix *subnet)
{
    unsigned host_bits = (subnet->family == 4 ? 32U : 128U) - subnet->bits;
    return host_bits >= 20 ? 1U << 20 : 1U << host_bits; // more than a million is never walked
}

static uint32_t ip4(const uint8_t ip[static 4])
{
    return (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
}

// The place of an address in a subnet; UINT32_MAX when it is not of it.
static uint32_t position_of(const struct prefix *subnet, const struct addr *addr)
{
    if (!prefix_contains(subnet, addr)) {
        return UINT32_MAX;
    }
    if (addr->family == 4) {
        return ip4(addr->ip) - ip4(subnet->ip);
    }
    return ip4(addr->ip + 12) - ip4(subnet->ip + 12);
}

struct ipam_range ipam_front_range(const struct prefix *subnet)
{
    uint32_t size = subnet_size(subnet);
    uint32_t first = size > 4 * IPAM_FRONT_FIRST ? IPAM_FRONT_FIRST : 2;
    return (struct ipam_range){.subnet = *subnet, .first = first, .last = size - 2};
}

struct ipam_range ipam_back_range(const struct prefix *subnet)
{
    uint32_t size = subnet_size(subnet);
    return (struct ipam_range){
        .subnet = *subnet, .first = size / 2, .last = size - 2, .from_top = true};
}

struct addr ipam_gateway(const struct prefix *subnet)
{
    struct addr addr = {0};
    prefix_nth(subnet, 1, &addr);
    return addr;
}

// What is known of each position of a range.
struct position {
    bool used, resting;
    uint64_t released_at_ms;
};

static void mark_positions(const struct ipam_range *range, const struct ipam_taken *taken,
                           uint64_t now_ms, struct position *positions)
{
    for (size_t i = 0; i < taken->used_count; i++) {
        uint32_t at = position_of(&range->subnet, &taken->used[i]);
        if (at >= range->first && at <= range->last) {
            positions[at - range->first].used = true;
        }
    }
    for (size_t i = 0; i < taken->released_count; i++) {
        const struct ipam_release *release = &taken->released[i];
        uint32_t at = position_of(&range->subnet, &release->addr);
        if (at >= range->first && at <= range->last && release->at_ms + IPAM_REST_MS > now_ms) {
            struct position *position = &positions[at - range->first];
            position->resting = true;
            position->released_at_ms = MAX(position->released_at_ms, release->at_ms);
        }
    }
}

int ipam_pick(const struct ipam_range *range, const struct ipam_taken *taken, uint64_t now_ms,
              struct addr *ret_addr)
{
    if (range->first > range->last) {
        return -ENOSPC;
    }
    uint32_t count = range->last - range->first + 1;
    struct position *positions = calloc(count, sizeof(*positions));
    if (positions == NULL) {
        return -ENOMEM;
    }
    mark_positions(range, taken, now_ms, positions);
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = range->from_top ? count - 1 - i : i;
        const struct position *position = &positions[at];
        if (position->used) {
            continue;
        }
        if (!position->resting) {
            best = at;
            break;
        }
        if (best == UINT32_MAX || position->released_at_ms < positions[best].released_at_ms) {
            best = at;
        }
    }
    free(positions);
    return best == UINT32_MAX ? -ENOSPC
                              : prefix_nth(&range->subnet, (uint64_t)range->first + best, ret_addr);
}

int ipam_pick_subnet(const struct prefix *pool, uint8_t bits, const struct prefix *used,
                     size_t used_count, struct prefix *ret_subnet)
{
    unsigned width = pool->family == 4 ? 32 : 128;
    if (bits < pool->bits || bits > width || bits - pool->bits > 20) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < 1ULL << (bits - pool->bits); i++) {
        struct addr first;
        if (width - bits >= 44 || prefix_nth(pool, i << (width - bits), &first) < 0) {
            return -ENOSPC;
        }
        struct prefix subnet = {.family = pool->family, .bits = bits};
        memcpy(subnet.ip, first.ip, sizeof(subnet.ip));
        bool free_one = true;
        for (size_t k = 0; k < used_count && free_one; k++) {
            free_one = !prefix_overlaps(&subnet, &used[k]);
        }
        if (free_one) {
            *ret_subnet = subnet;
            return 0;
        }
    }
    return -ENOSPC;
}
