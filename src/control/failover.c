// SPDX-License-Identifier: Apache-2.0
#include "control/failover.h"

#include <stddef.h>
#include <string.h>

const char *const evidence_names[] = {"unknown", "absent",      "starting", "serving",
                                      "suspect", "unreachable", "draining", "stopped",
                                      "failed",  "lost",        NULL};

#define SETTING(member, default_number, words)                                 \
    {                                                                          \
        .name = #member, .offset = offsetof(struct failover_settings, member), \
        .number = (default_number), .text = (words)                            \
    }

const struct failover_setting failover_setting_table[] = {
    SETTING(failure_threshold_ms, 60000,
            "A unit that stays dead for so long is deleted once its replacement serves"),
    SETTING(stable_ms, 5000,
            "A unit that returns must serve for so long before its replacement is recycled"),
    SETTING(start_timeout_ms, 30000,
            "A unit that does not serve so long after it was placed failed"),
    SETTING(leave_ms, 6000, "A unit out of DNS goes on serving for so long: one TTL and a little"),
    SETTING(drain_ms, 5000, "Then it has so long to finish what it has"),
    SETTING(report_lost_ms, 3000, "A node without a report for so long is lost: three beats"),
    SETTING(node_forget_ms, 86400000,
            "What a node away for so long may still run is forgotten, and its addresses are free"),
    SETTING(replacements_max, 5, "Failover budget: replacements at once"),
    SETTING(replacements_percent, 30, "Failover budget: or this part of all units if that is more"),
    SETTING(retry_min_ms, 1000, "Wait after a replacement that failed itself; doubles each time"),
    SETTING(retry_max_ms, 60000, "The longest such wait"),
};
const size_t failover_setting_count = ARRAY_LEN(failover_setting_table);

void failover_settings_defaults(struct failover_settings *settings)
{
    for (size_t i = 0; i < failover_setting_count; i++) {
        const struct failover_setting *setting = &failover_setting_table[i];
        memcpy((char *)settings + setting->offset, &setting->number, sizeof(uint32_t));
    }
}

uint32_t failover_budget(const struct failover_settings *settings, uint32_t units)
{
    uint32_t share = (uint32_t)((uint64_t)units * settings->replacements_percent / 100);
    return MAX(settings->replacements_max, share);
}

// The agent stands nearest: that a process ended is beyond doubt. That it serves is doubted when
// probes are not answered that used to be, or that a neighbour on the same node answers (a
// controller that never reached a node has no say about it). A silent agent alone proves nothing
// about its units (it may be replaced just now): only when the probe is not answered either, they
// are lost.
enum evidence evidence_judge(const struct witness *witness)
{
    bool probe_good = witness->probe_answered && witness->probe_failures == 0;
    bool probe_counts = witness->probe_answered || witness->neighbour_answers;
    bool probe_bad =
        probe_counts && witness->probe_failures >= PROBE_FAILURES && !witness->probes_blind;
    if (witness->node_missing) {
        if (probe_good) {
            return EVIDENCE_SERVING;
        }
        return witness->probe_answered && witness->probe_failures < PROBE_FAILURES
                   ? EVIDENCE_SUSPECT
                   : EVIDENCE_LOST;
    }
    if (!witness->node_heard) {
        return EVIDENCE_UNKNOWN;
    }
    if (!witness->known) {
        return witness->applied ? EVIDENCE_ABSENT : EVIDENCE_UNKNOWN;
    }
    switch (witness->state) {
    case OBSERVED_UNIT_STARTING:
        // An agent that has just started finds its units and asks them; they served all the time.
        if (!witness->was_serving) {
            return EVIDENCE_STARTING;
        }
        __attribute__((fallthrough));
    case OBSERVED_UNIT_SERVING:
        if (probe_bad) {
            return EVIDENCE_UNREACHABLE;
        }
        return probe_counts && witness->probe_failures > 0 ? EVIDENCE_SUSPECT : EVIDENCE_SERVING;
    case OBSERVED_UNIT_DRAINING:
        return EVIDENCE_DRAINING;
    case OBSERVED_UNIT_STOPPED:
        return EVIDENCE_STOPPED;
    case OBSERVED_UNIT_FAILED:
        break;
    }
    return EVIDENCE_FAILED;
}

bool evidence_is_serving(enum evidence evidence)
{
    return evidence == EVIDENCE_SERVING || evidence == EVIDENCE_SUSPECT;
}

uint64_t failover_stable_ms(const struct failover_settings *settings, uint32_t flaps)
{
    uint64_t most_ms = MAX(settings->stable_ms, settings->failure_threshold_ms);
    return MIN((uint64_t)settings->stable_ms << MIN(flaps, 8U), most_ms);
}

bool failover_is_alive(enum unit_state state)
{
    return state == UNIT_STARTING || state == UNIT_SERVING || state == UNIT_FAILED;
}

bool failover_move_allowed(enum unit_state from, enum unit_state to)
{
    static const uint8_t allowed[] = {
        [UNIT_STARTING] = 1 << UNIT_SERVING | 1 << UNIT_FAILED | 1 << UNIT_DELETING,
        [UNIT_SERVING] = 1 << UNIT_FAILED | 1 << UNIT_LEAVING | 1 << UNIT_DRAINING,
        [UNIT_FAILED] = 1 << UNIT_SERVING | 1 << UNIT_DELETING,
        [UNIT_LEAVING] = 1 << UNIT_DRAINING | 1 << UNIT_DELETING,
        [UNIT_DRAINING] = 1 << UNIT_DELETING,
        [UNIT_DELETING] = 0,
    };
    return from < ARRAY_LEN(allowed) && (allowed[from] >> to & 1) != 0;
}

// Lowers *ret_check_ms to `at`; true when that time has come.
static bool is_due(uint64_t at_ms, uint64_t now_ms, uint64_t *ret_check_ms)
{
    if (now_ms >= at_ms) {
        return true;
    }
    *ret_check_ms = MIN(*ret_check_ms, at_ms);
    return false;
}

static const char *why_dead(const struct failover_unit *unit)
{
    switch (unit->evidence) {
    case EVIDENCE_ABSENT:
        return "its node does not have it any more";
    case EVIDENCE_STARTING:
        return "it was started anew";
    case EVIDENCE_UNREACHABLE:
        return "its health address does not answer, though its process runs";
    case EVIDENCE_DRAINING:
    case EVIDENCE_STOPPED:
        return unit->said[0] != '\0' ? unit->said : "it stopped without having been asked";
    case EVIDENCE_LOST:
        return "its node does not report, and it does not answer either";
    default:
        return unit->said[0] != '\0' ? unit->said : "its process ended";
    }
}

static enum unit_state next_of_starting(const struct failover_unit *unit,
                                        const struct failover_settings *settings, uint64_t now_ms,
                                        const char **ret_why, uint64_t *ret_check_ms)
{
    switch (unit->evidence) {
    case EVIDENCE_SERVING:
    case EVIDENCE_SUSPECT:
        *ret_why = "it serves";
        return UNIT_SERVING;
    case EVIDENCE_FAILED:
    case EVIDENCE_DRAINING:
    case EVIDENCE_STOPPED:
    case EVIDENCE_LOST:
    case EVIDENCE_UNREACHABLE:
        *ret_why = why_dead(unit);
        return UNIT_FAILED;
    case EVIDENCE_UNKNOWN:
    case EVIDENCE_ABSENT:
    case EVIDENCE_STARTING:
        break;
    }
    if (is_due(unit->state_at_ms + settings->start_timeout_ms, now_ms, ret_check_ms)) {
        *ret_why = "it did not serve in time after it was placed";
        return UNIT_FAILED;
    }
    return UNIT_STARTING;
}

static enum unit_state next_of_serving(const struct failover_unit *unit, const char **ret_why)
{
    switch (unit->evidence) {
    case EVIDENCE_UNKNOWN:
    case EVIDENCE_SERVING:
    case EVIDENCE_SUSPECT:
        return UNIT_SERVING;
    default:
        *ret_why = why_dead(unit);
        return UNIT_FAILED;
    }
}

static enum unit_state next_of_failed(const struct failover_unit *unit,
                                      const struct failover_settings *settings, uint64_t now_ms,
                                      const char **ret_why, uint64_t *ret_check_ms)
{
    if (evidence_is_serving(unit->evidence) &&
        is_due(unit->evidence_at_ms + failover_stable_ms(settings, unit->flaps), now_ms,
               ret_check_ms)) {
        *ret_why = "it serves again and stayed so for the stable time";
        return UNIT_SERVING;
    }
    return UNIT_FAILED;
}

static bool is_up(enum evidence evidence)
{
    return evidence == EVIDENCE_UNKNOWN || evidence == EVIDENCE_UNREACHABLE ||
           evidence_is_serving(evidence);
}

enum unit_state failover_next(const struct failover_unit *unit,
                              const struct failover_settings *settings, uint64_t now_ms,
                              const char **ret_why, uint64_t *ret_check_ms)
{
    switch (unit->unit->state) {
    case UNIT_STARTING:
        return next_of_starting(unit, settings, now_ms, ret_why, ret_check_ms);
    case UNIT_SERVING:
        return next_of_serving(unit, ret_why);
    case UNIT_FAILED:
        return next_of_failed(unit, settings, now_ms, ret_why, ret_check_ms);
    case UNIT_LEAVING:
        if (!is_up(unit->evidence)) {
            *ret_why = "it serves no more";
            return UNIT_DELETING;
        }
        if (is_due(unit->state_at_ms + settings->leave_ms, now_ms, ret_check_ms)) {
            *ret_why = "no DNS cache can have its address any more";
            return UNIT_DRAINING;
        }
        return UNIT_LEAVING;
    case UNIT_DRAINING:
        if (unit->evidence == EVIDENCE_ABSENT || unit->evidence == EVIDENCE_STOPPED ||
            unit->evidence == EVIDENCE_FAILED || unit->evidence == EVIDENCE_LOST) {
            *ret_why = "it has finished";
            return UNIT_DELETING;
        }
        if (is_due(unit->state_at_ms + settings->drain_ms, now_ms, ret_check_ms)) {
            *ret_why = "its time to finish is over";
            return UNIT_DELETING;
        }
        return UNIT_DRAINING;
    case UNIT_DELETING:
        break;
    }
    return UNIT_DELETING;
}
