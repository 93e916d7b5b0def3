// SPDX-License-Identifier: Apache-2.0
// The agent's inside, shared by agent*.c alone: its records of what is, one for each object, each
// with the part that the plan looks at (`actual`) and what is needed to act on it and to report it.
// Only the loop's thread touches them; a worker's job carries copies.
#pragma once

#include "agent/agent.h"
#include "agent/apply_network.h"
#include "agent/control_client.h"
#include "agent/observe.h"
#include "agent/plan.h"
#include "agent/runtime.h"
#include "agent/unit_files.h"
#include "agent/worker.h"
#include "event/child.h"
#include "event/timer.h"

enum {
    BEAT_MS = 1000,
    REPORT_GAP_MS = 10, // between reports of changes, because each is the whole document
    LOOK_BEATS = 10,    // between looks at what really is in the kernel
    LOG_CUT_BEATS = 30, // between looks at the size of units' logs
    SILENCE_MS = 5000,  // a unit that owes an answer for so long has failed
    STEADY_MS = 60000,  // after serving for so long, earlier crashes are forgotten
    DRAIN_DEADLINE_MS = 30000,
    DOCUMENT_MAX = 16 << 20,
};

// How the attempts at an object's actions go.
struct attempts {
    unsigned failures; // in a row
    char error[256];   // of the last; "" after a success
};

struct agent_unit {
    struct list link;
    struct agent *agent;
    struct actual_unit actual;
    struct attempts attempts;
    struct runtime_op op; // one at a time: actual.busy
    struct process_watch process;
    pid_t pid;
    uint64_t start_time; // of pid, in clock ticks
    uint64_t started_at_ms;
    uint32_t starts;
    unsigned crashes;         // in a row
    bool stopping;            // its end is our doing
    bool drained;             // it was told to drain: its end is no crash
    bool silent;              // it owed an answer for too long, and has said nothing since
    bool push_failed;         // the last snapshot did not arrive for a reason that may pass
    char crash[256];          // how it ended by itself; "" when it did not
    char snapshot_error[256]; // why the newest snapshot was refused
    struct control_client *control;
    struct unit_control_answer *told; // the last state; NULL: none since it was started
    struct arena told_arena;
    // Targets outside, of the snapshot of this version.
    uint64_t outside_version;
    struct addr *outside;
    size_t outside_count;
    bool outside_known;
};

struct agent_network {
    struct list link;
    struct actual_network actual;
    struct attempts attempts;
};

struct agent_document {
    struct arena arena;
    struct desired *desired;
    uint64_t digest; // of its text
};

struct controller_link;
struct desired_store;

struct agent {
    const struct agent_config *config;
    struct loop *loop;
    struct mailbox mailbox;
    struct worker make, remove, disk;
    const struct runtime_ops *runtime_ops;
    struct runtime_config runtime_config;
    struct unit_runtime *runtime;
    bool networked, mailbox_open, settled, ending;

    struct agent_document *document; // NULL: none came yet
    uint64_t applied_generation;
    struct actual_front front;
    struct attempts front_attempts;
    struct actual_outside outside;
    struct attempts outside_attempts;
    char outside_record[UNIT_PATH_LEN];
    struct prefix *closed; // the projects' subnets, as outside_update saw them last; owned
    size_t closed_count;
    struct list networks;  // of struct agent_network
    struct list units;     // of struct agent_unit
    struct prefix *routes; // owned
    size_t route_count;
    struct refusal *refusals; // of the last plan; owned
    size_t refusal_count;

    struct task plan_task, report_task;
    struct timer plan_timer, beat_timer, report_timer;
    uint64_t reported_at_ms;
    unsigned beats;
    uint64_t network_actions; // begun so far
    struct watch monitor;     // of the machine's links
    int monitor_fd;
    bool looking, look_soon;
    size_t jobs; // under way

    struct signal_watch signals;
    struct desired_store *store;
    struct controller_link *link;
    uint64_t started_at_ms; // wall clock
    uint64_t sequence;
};

// agent.c
// Takes over a new document. text: the JSON it was parsed from, kept on disk when keep.
int agent_take_document(struct agent *agent, struct str text, bool keep, struct error *error);
void agent_plan_soon(struct agent *agent);
struct agent_network *agent_find_network(struct agent *agent, uint64_t project_id);
struct agent_unit *agent_find_unit(struct agent *agent, uint64_t unit_id);
struct agent_network *agent_get_network(struct agent *agent, uint64_t project_id); // or a new one
struct agent_unit *agent_get_unit(struct agent *agent, uint64_t unit_id);          // NULL: memory
const struct desired_unit *agent_find_desired(const struct agent *agent, uint64_t unit_id);

// agent_apply.c
void agent_apply(struct agent *agent, const struct action *action);
// Looks at the kernel again, on a worker; what differs from the records is planned anew.
void agent_look(struct agent *agent);
// Told at once when a link of ours is taken away; without it the next look finds it. -errno.
int agent_monitor_open(struct agent *agent);
void agent_monitor_close(struct agent *agent);
void agent_take_routes(struct agent *agent, const struct sighting *sighting);

// agent_unit.c
// A running unit that was found or started: watches its process and its control socket.
void unit_attach(struct agent_unit *unit, pid_t pid, uint64_t start_time);
void unit_start(struct agent_unit *unit, const struct desired_unit *desired);
void unit_stop(struct agent_unit *unit);
void unit_push(struct agent_unit *unit, const struct desired_unit *desired);
void unit_drain(struct agent_unit *unit);
void unit_beat(struct agent_unit *unit);
// Nothing of it is left.
void unit_forget(struct agent_unit *unit);
// The agent ends, the unit goes on.
void unit_leave(struct agent_unit *unit);
void attempts_fail(struct agent *agent, struct attempts *attempts, uint64_t *retry_at_ms,
                   const char *what, uint64_t id, const struct error *error);
void attempts_succeed(struct attempts *attempts, uint64_t *retry_at_ms);

// agent_outside.c
// Brings the units' lists of targets outside up to date; true when there are any.
bool outside_update(struct agent *agent);
// All of them, for a job, which frees them. NULL: memory.
struct addr *outside_collect(const struct agent *agent, size_t *ret_count);
struct prefix *outside_copy_closed(const struct agent *agent);

// agent_report.c
// Something changed that a report should tell at once.
void agent_report_soon(struct agent *agent);
void agent_report(struct agent *agent);

// desired_store.c
int desired_store_open(struct agent *agent, struct desired_store **ret_store, struct error *error);
struct desired_store *desired_store_close(struct desired_store *store);
// Takes text. Failures are logged and tried again.
void desired_store_keep(struct desired_store *store, char *text);
void desired_store_beat(struct desired_store *store);

// controller_link.c
int controller_link_open(struct agent *agent, struct controller_link **ret_link,
                         struct error *error);
struct controller_link *controller_link_close(struct controller_link *link);
// Takes text, the newest observed document; an older one not sent yet is dropped.
void controller_link_report(struct controller_link *link, char *text);
