// SPDX-License-Identifier: Apache-2.0
// The crash workflow of one unit: what is known of it (evidence) and its state make its next state.
// Pure: no store, no clock, no network; balancer_plan.h puts the units of one load balancer
// together.
//
//                 placed on a node
//                        │
//                        ▼      agent: serving
//                    starting ───────────────────▶ serving ◀─────────────────┐
//                        │                          │  │                     │ 5. serves again and
//     agent: failed,     │        1. found dead     │  │ not wanted          │    stays so for the
//     or start time over │◀─────────────────────────┘  │ any more            │    stable time: its
//                        ▼                             │                     │    replacement is
//                     failed ──────────────────────────┼─────────────────────┘    recycled
//                     (leaving)
//                        │   2. a replacement is       │
//                        │      placed                 ▼
//                        │   3. DNS is renewed      leaving    out of DNS; serves whoever has the
//        4. dead past    │                             │       address cached for one TTL more
//        the threshold,  │                             ▼
//        replacement     │                          draining   finishes what it has
//        serves          │                             │
//                        ▼                             │
//                    deleting ◀────────────────────────┘   its node removes it
//                        │
//                        ▼  the node reports without it
//                       gone
//
// Invariants: only starting and serving units are in DNS (steering.h has the fail-open rule); a
// failed unit is deleted only when its replacement serves, so a mistake about many units deletes
// none of them; an address is given again only after its unit is gone.
#pragma once

#include <stdint.h>

#include "model/observed.h"
#include "model/unit.h"

// What is known of a unit now, from two witnesses: its node's agent, and the controller's own probe
// of the unit's status listener.
enum evidence {
    EVIDENCE_UNKNOWN, // nobody spoke yet (the controller has just started)
    EVIDENCE_ABSENT,  // the node does not have it
    EVIDENCE_STARTING,
    EVIDENCE_SERVING,
    EVIDENCE_SUSPECT,     // the agent says serving, one probe failed
    EVIDENCE_UNREACHABLE, // the agent says serving, but probes fail
    EVIDENCE_DRAINING,
    EVIDENCE_STOPPED, // it ended in order
    EVIDENCE_FAILED,  // the agent says so: the process ended, or never came up
    EVIDENCE_LOST,    // its node does not report, and probes do not reach it
};
extern const char *const evidence_names[];

enum {
    PROBE_INTERVAL_MS = 1000,
    PROBE_TIMEOUT_MS = 500,
    PROBE_FAILURES = 2, // in a row
};

struct witness {
    bool node_heard;   // it reported to this controller
    bool node_missing; // no report for report_lost_ms, and the controller may judge
    bool known;        // its last report names the unit
    bool applied;      // its last report is of a desired document that has the unit
    bool was_serving;  // this same process (pid) was reported serving before
    enum observed_unit_state state;
    bool probe_answered;     // at least once, in this controller's life
    bool neighbour_answers;  // another unit of the same node answers: the way there is good
    uint32_t probe_failures; // in a row
    bool probes_blind;       // every probe fails while agents say serving: it is our own network
};
enum evidence evidence_judge(const struct witness *witness);
// Is somebody sure that it serves?
bool evidence_is_serving(enum evidence evidence);

struct failover_settings {
    uint32_t failure_threshold_ms; // step 4
    uint32_t stable_ms;            // step 5
    uint32_t start_timeout_ms;
    uint32_t leave_ms; // a DNS TTL and a little
    uint32_t drain_ms;
    uint32_t report_lost_ms;
    uint32_t node_forget_ms;
    uint32_t replacements_max;           // the failover budget: so many at once,
    uint32_t replacements_percent;       // or this part of all units, whichever is more
    uint32_t retry_min_ms, retry_max_ms; // wait before the next replacement of the same unit
};

// One row a setting: its default and its text.
struct failover_setting {
    const char *name;
    uint16_t offset; // in struct failover_settings
    uint32_t number;
    const char *text;
};
extern const struct failover_setting failover_setting_table[];
extern const size_t failover_setting_count;
void failover_settings_defaults(struct failover_settings *settings);
// Replacements that may exist at once among so many units.
uint32_t failover_budget(const struct failover_settings *settings, uint32_t units);

// One unit, as the plan sees it. Times are monotonic.
struct failover_unit {
    const struct unit *unit;
    enum evidence evidence;
    uint64_t evidence_at_ms; // when it began to be this (serving and suspect count as one)
    uint64_t state_at_ms;    // when unit->state began
    uint32_t flaps;          // failures in the recent past: each doubles the stable time
    const char *said;        // the agent's own words about a failure; ""
    bool gone;               // its node has confirmed that it is not there (for deleting)
    bool node_forgotten;     // its node is away for longer than node_forget_ms
};

// How long a unit must serve before step 5 believes it: doubled with each flap, up to the failure
// threshold.
uint64_t failover_stable_ms(const struct failover_settings *settings, uint32_t flaps);
// Starting, serving or failed: it counts as a unit of its load balancer.
bool failover_is_alive(enum unit_state state);
// Is the move in the table above?
bool failover_move_allowed(enum unit_state from, enum unit_state to);
// The state that follows from the unit's own state and evidence alone. *ret_why: a reason for a
// person (static text or unit->said), set when it differs from the present state. *ret_check_ms is
// lowered to the time when the answer may change by itself.
enum unit_state failover_next(const struct failover_unit *unit,
                              const struct failover_settings *settings, uint64_t now_ms,
                              const char **ret_why, uint64_t *ret_check_ms);
