// SPDX-License-Identifier: Apache-2.0
// What shall happen to the units of one load balancer now: a list of actions, from what is wanted,
// what is recorded and what is seen. Pure; reconcile.c carries it out in one store transaction.
// Carrying out a plan half or twice does no harm: the next plan starts from what is recorded then.
//
//   primaries    as many as wanted; a failed one counts, until it is deleted
//   replacement  one for each failed primary, under the failover budget; when it fails itself it is
//                deleted and made anew, with a growing wait
//                its primary returns → it is recycled · its primary is deleted → it becomes primary
#pragma once

#include "control/failover.h"

enum plan_action_kind {
    PLAN_MOVE,    // unit → state
    PLAN_PROMOTE, // a replacement becomes primary
    PLAN_CREATE,  // a new unit of this role
    PLAN_REMOVE,  // the record goes: its address is free
};

struct plan_action {
    enum plan_action_kind kind;
    size_t unit;           // index in the input; of the unit that is replaced for PLAN_CREATE
    enum unit_state state; // of PLAN_MOVE
    enum unit_role role;   // of PLAN_CREATE
    uint32_t step;         // of the crash workflow, 0 otherwise
    const char *why;
};

struct plan_input {
    const struct failover_unit *units; // of this load balancer, by id
    size_t unit_count;
    uint32_t wanted;
    bool deleting;
    uint32_t replacements_left;     // what the budget still allows
    uint64_t replace_not_before_ms; // after a replacement that failed
};

enum { PLAN_ACTIONS_MAX = 64 }; // the rest follows in the next plan

struct plan {
    struct plan_action actions[PLAN_ACTIONS_MAX];
    size_t action_count;
    uint64_t check_ms;       // plan again then, at the latest; UINT64_MAX: no need
    uint32_t held_back;      // replacements that the budget did not allow
    bool replacement_failed; // one was given up: the next one waits
    bool finished;           // deleting, and no unit is left that matters: the object may go
};

void plan_balancer(const struct plan_input *input, const struct failover_settings *settings,
                   uint64_t now_ms, struct plan *ret_plan);
