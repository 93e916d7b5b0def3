// SPDX-License-Identifier: Apache-2.0
// The plan: what to do next, from what should be and what is. Pure: no I/O, no clock but the time
// that is handed in, the same answer for the same question.
//
// It is level-triggered and takes one step at a time: an action is planned only when everything it
// stands on is there (a unit's network needs the front bridge and its project's network, a
// container needs its unit's network), and an object that an action is under way on is left alone.
// When an action ended, well or badly, the agent writes down what is now and plans again. So
// nothing has to be remembered about half-done work: what was cut off by a crash, a failure or a
// new document is simply the difference that is left.
//
//   of a unit:   none ─ UNIT_NETWORK_ADD ─▶ network ─ UNIT_START ─▶ running ─ SNAPSHOT_PUSH, DRAIN
//                ◀─ UNIT_NETWORK_REMOVE ──  network ◀── UNIT_STOP ──
//
// In runtime `process` there are no networks: the agent says so by actual.networked = false.
#pragma once

#include "base/arena.h"
#include "model/desired.h"

enum presence {
    PRESENCE_NONE,
    PRESENCE_BROKEN, // something of that name, but not whole
    PRESENCE_READY,
};

enum unit_process {
    UNIT_PROCESS_NONE,
    UNIT_PROCESS_LEFT, // its container is still there, its process has ended
    UNIT_PROCESS_RUNNING,
};

struct actual_front {
    enum presence presence;
    struct prefix subnet;
    struct addr gateway;
    bool busy;            // an action on it is under way; likewise below
    uint64_t retry_at_ms; // no action before; 0: at once; likewise below
};

struct actual_network {
    uint64_t project_id;
    enum presence presence;
    struct prefix subnet;
    struct addr gateway;
    bool busy;
    uint64_t retry_at_ms;
};

struct actual_unit {
    uint64_t id;
    enum presence network;
    uint64_t project_id; // the network's, likewise front and back
    struct addr front, back;
    enum unit_process process;
    bool control_open;         // it has told its state on its control socket
    uint64_t snapshot_version; // it was sent over this connection, or had when that began
    uint64_t serving_version;  // it serves, as it said last
    bool drain_sent;           // over this connection
    bool busy;
    uint64_t retry_at_ms;
};

// Masquerading of units' traffic to targets outside.
struct actual_outside {
    enum presence presence; // broken: set for other targets
    bool busy;
    uint64_t retry_at_ms;
};

struct actual {
    bool networked;
    struct actual_front front;
    struct actual_outside outside;
    struct actual_network *networks; // in any order, ids unique; likewise units
    size_t network_count;
    struct actual_unit *units;
    size_t unit_count;
    const struct prefix *routes; // the machine's own
    size_t route_count;
};

enum action_kind {
    ACTION_FRONT_ADD, // makes it or puts it right
    ACTION_FRONT_REMOVE,
    ACTION_OUTSIDE_ADD,
    ACTION_OUTSIDE_REMOVE,
    ACTION_NETWORK_ADD, // makes it or puts it right
    ACTION_NETWORK_REMOVE,
    ACTION_UNIT_NETWORK_ADD, // after removal of what is broken
    ACTION_UNIT_NETWORK_REMOVE,
    ACTION_UNIT_START,
    ACTION_UNIT_STOP,
    ACTION_SNAPSHOT_PUSH,
    ACTION_DRAIN,
};
extern const char *const action_names[];

struct action {
    enum action_kind kind;
    uint64_t id; // of the project or unit; 0 for the front bridge and the outside
    const struct desired_network *network; // NULL for removals; borrowed from desired
    const struct desired_unit *unit;       // likewise
};

// A network that is not made because it would take away something of the machine's.
struct refusal {
    uint64_t project_id; // 0: the front network
    char text[160];
};

struct plan {
    struct action *actions; // in the order of their urgency; they may all begin at once
    size_t action_count;
    struct refusal *refusals;
    size_t refusal_count;
    bool settled;        // all is as desired, units serve what they should, nothing is under way
    uint64_t wake_at_ms; // plan again then, because something waits for its next attempt; 0: never
};

// desired NULL: nothing shall be, the front bridge included. outside: some unit has a target
// outside its project's and the front subnet. Everything lives in the arena. -ENOMEM.
int plan_make(const struct desired *desired, bool outside, const struct actual *actual,
              uint64_t now_ms, struct arena *arena, struct plan *ret_plan);

// Time until the next attempt after `failures` in a row (≥ 1): 0.2 s, 0.4 s … 30 s.
uint64_t plan_retry_delay_ms(unsigned failures);
// Time until a unit that ended by itself is started again: 1 s, 2 s … 30 s.
uint64_t plan_restart_delay_ms(unsigned crashes);
