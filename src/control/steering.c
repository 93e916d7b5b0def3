// SPDX-License-Identifier: Apache-2.0
#include "control/steering.h"

// 1–3 as in the header; 0: not to be named at all.
static uint32_t rule_of(const struct failover_unit *unit)
{
    bool serves = evidence_is_serving(unit->evidence);
    switch (unit->unit->state) {
    case UNIT_STARTING:
        return serves ? 1 : 0; // never served: nobody knows its address
    case UNIT_SERVING:
        return serves || unit->evidence == EVIDENCE_UNKNOWN ? 1 : 3;
    case UNIT_FAILED:
    case UNIT_LEAVING:
        return serves ? 2 : 3;
    case UNIT_DRAINING:
    case UNIT_DELETING:
        break;
    }
    return 0;
}

void steering_choose(const struct failover_unit *units, size_t count, bool deleting,
                     struct steering *ret_steering)
{
    *ret_steering = (struct steering){0};
    if (deleting) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t rule = rule_of(&units[i]);
        if (rule != 0 && (ret_steering->rule == 0 || rule < ret_steering->rule)) {
            ret_steering->rule = rule;
        }
        ret_steering->serving += rule == 1;
    }
    for (size_t i = 0; i < count && ret_steering->count < STEERING_ADDRESSES_MAX; i++) {
        if (ret_steering->rule != 0 && rule_of(&units[i]) == ret_steering->rule) {
            ret_steering->addresses[ret_steering->count++] = units[i].unit->front;
        }
    }
}

enum load_balancer_state steering_state(const struct steering *steering, uint32_t wanted,
                                        bool served_before, bool deleting)
{
    if (deleting) {
        return LOAD_BALANCER_DELETING;
    }
    if (steering->serving >= wanted) {
        return LOAD_BALANCER_ACTIVE;
    }
    if (steering->serving > 0) {
        return LOAD_BALANCER_DEGRADED;
    }
    return served_before ? LOAD_BALANCER_FAILED : LOAD_BALANCER_PROVISIONING;
}

static int weight_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_HEALTHY:
        return 4;
    case VERDICT_UNHEALTHY:
        return 3;
    case VERDICT_DRAINING:
        return 2;
    case VERDICT_INITIAL:
        return 1;
    case VERDICT_UNUSED:
        break;
    }
    return 0;
}

struct target_report steering_merge(const struct target_report *a, const struct target_report *b)
{
    const struct target_report *first = weight_of(a->verdict) >= weight_of(b->verdict) ? a : b;
    const struct target_report *second = first == a ? b : a;
    struct target_report merged = *first;
    if (merged.reason[0] == '\0' && second->verdict == VERDICT_UNHEALTHY) {
        merged.reason = second->reason; // healthy, but not to every unit
    }
    return merged;
}
