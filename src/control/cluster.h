// SPDX-License-Identifier: Apache-2.0
// The cluster as the controller knows it: what is recorded (the store, read once and kept up by
// revisions), what was seen (reports and probes, never stored) and what follows from both (desired
// documents, DNS, events). It has no loop, no socket and no clock of its own, so the same code runs
// in a simulation (tests/sim):
//
//        store ──cluster_load──▶┐                        ┌──▶ transactions (units, nodes, events)
//      reports ─cluster_observe─▶  marks what it touches │
//       probes ──cluster_probe──▶  ... cluster_run(now) ─┼──▶ desired documents, snapshots
//         time ─────────────────▶┘                       ├──▶ DNS names (ops->publish)
//                                                        └──▶ who waits is told (ops->notify)
//
// cluster_run is level-triggered: it works off what is marked, each object once however often it
// was marked, and looks at nothing else. All that must survive a kill -9 is in the store; a run
// that was cut anywhere is finished by the next one.
//
// Memory: every recorded object has an arena of its own and is replaced whole. Thread: one.
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "control/balancer_plan.h"
#include "control/ipam.h"
#include "control/service.h"
#include "control/steering.h"
#include "control/table.h"
#include "model/label.h"
#include "model/node.h"

enum {
    CLUSTER_NODES_MAX = 10000,
    CLUSTER_RELEASES_MAX = 4096, // released addresses remembered
    CLUSTER_EVENTS_PENDING_MAX = 512,
    CLUSTER_EVENTS_KEPT = 10000,
    CLUSTER_EVENTS_PRUNE = 500,   // so many are deleted at once
    CLUSTER_EVENTS_FLUSH_MS = 50, // an event waits so long for a transaction to go with
    CLUSTER_BEAT_MS = 500,        // cluster_run comes at least so often,
    CLUSTER_STALL_MS = 1500,      // else the process was stopped and must not judge by silence
    FLAP_MEMORY_MS = 10 * 60 * 1000,
};

// What every recorded object begins with.
struct record {
    uint64_t id;
    uint64_t revision;
    struct arena arena;
    bool present; // while the store is read
};

struct cluster_project {
    struct record record;
    struct project project;
};

struct cluster_group {
    struct record record;
    struct target_group group;
    bool has_names; // a target that is no address
};

struct cluster_resolved {
    struct record record; // id: hash of the host
    struct resolved resolved;
};

struct cluster_balancer {
    struct record record;
    struct load_balancer balancer;
    struct list dirty;         // linked while it waits for a plan
    struct steering steering;  // as in DNS now
    struct steering announced; // as an event told last
    uint64_t check_ms;         // plan again then
    uint64_t replace_not_before_ms;
    uint32_t replacement_failures; // in a row
    uint64_t crash_at_ms;          // when the oldest crash that is being handled was found; 0: none
    enum load_balancer_state state, told_state;
    bool state_known, served, held_back, waits_for_node, waits_for_address;
};

struct cluster_node {
    struct list link;
    char name[NAME_MAX_LEN + 1];
    uint64_t id, revision;   // of its record; 0: not recorded yet
    uint64_t heard_ms;       // last report, or when this controller began to wait for one
    uint64_t last_report_at; // wall clock
    uint32_t units;          // on it, by the records
    bool heard, missing, recorded_missing;
    bool answers;              // a unit of it answers probes
    struct arena arena;        // of the report
    struct observed *observed; // NULL before the first
    bool dirty;
    uint64_t generation;
    char *desired; // text; NULL: not computed yet
    size_t desired_len;
};

struct cluster_unit {
    struct record record;
    struct unit unit;
    struct cluster_node *node;
    // seen
    const struct observed_unit *observed; // in its node's report; NULL
    bool was_known;
    uint32_t serving_pid;
    bool probe_answered;
    uint32_t probe_failures;
    enum evidence evidence;
    uint64_t evidence_at_ms, state_at_ms;
    uint32_t flaps;
    uint64_t failed_at_ms; // the last time
    // derived
    bool was_desired, was_draining;
    uint64_t wanted_since, dropped_since; // generations of its node's document with and without it
    char *snapshot;
    uint64_t snapshot_version;
    char *desired; // its part of the node's document, of this version and drain
    uint64_t desired_version;
    bool desired_draining;
    char refusal[128]; // the last refusal of a snapshot that was told
};

struct pending_event {
    struct event event; // texts point into the fields below
    char kind[32], object[24], what[224], why[224];
};

struct cluster_ops {
    void *owner;
    void (*publish)(void *owner); // DNS names or addresses changed: cluster_names
    void (*notify)(void *owner);  // a status or a desired document changed
    void (*log)(void *owner, bool is_error, const char *text);
};

struct cluster {
    struct service *service; // store, clock, zone, subnets
    struct cluster_ops ops;
    struct failover_settings failover;
    struct table projects, groups, resolved, balancers, units;
    struct list nodes;
    size_t node_count;
    struct list dirty; // balancers
    bool opened;
    bool names_changed, told, projects_deleting;
    bool probes_blind;
    uint64_t run_at_ms, judge_from_ms;
    uint64_t retry_ms;        // the store failed: not before; 0
    uint64_t orphan_check_ms; // units whose load balancer is gone
    struct ipam_release releases[CLUSTER_RELEASES_MAX];
    size_t release_count, release_next;
    struct pending_event events[CLUSTER_EVENTS_PENDING_MAX];
    size_t event_count;
    uint64_t event_flush_ms; // 0: none waits
    uint64_t events_dropped;
    bool deciding;                       // events are of a decision that is not recorded yet,
    size_t decided_from;                 // from this one on
    uint64_t event_oldest, event_newest; // ids in the store; 0: none
};

// Reads everything. error: what is damaged, or what the store says.
int cluster_open(struct cluster *cluster, struct service *service, const struct cluster_ops *ops,
                 const struct failover_settings *failover, struct error *error);
void cluster_close(struct cluster *cluster); // writes events that wait

// Reads what others changed since; for the store's watch.
void cluster_load(struct cluster *cluster);
// Units, too: after a conflict, or when what was recorded could not be kept in memory.
void cluster_load_all(struct cluster *cluster);

// An agent's report; copied. -EINVAL with text, -ENOMEM, -ENOSPC (too many nodes).
int cluster_observe(struct cluster *cluster, const struct observed *observed, struct error *error);

// Units to be probed, and what came of it.
bool cluster_wants_probe(const struct cluster_unit *unit);
void cluster_probe(struct cluster *cluster, uint64_t unit_id, bool answered);

// Does all that is due; returns the monotonic time by which it must be called again.
uint64_t cluster_run(struct cluster *cluster);

// The names in DNS, in the arena: "shop.john" and where it leads.
struct cluster_name {
    const char *name;
    const struct addr *addresses;
    size_t count;
};
int cluster_names(const struct cluster *cluster, struct arena *arena,
                  struct cluster_name **ret_names, size_t *ret_count);

// For users and the API (struct service_hooks).
int cluster_status(struct cluster *cluster, const struct load_balancer *balancer,
                   struct arena *arena, struct load_balancer_status **ret_status);
struct cluster_node *cluster_find_node(const struct cluster *cluster, const char *name);
// ── Between the files of the cluster ─────────────────────────────────────────────────────────
void cluster_mark(struct cluster *cluster, struct cluster_balancer *balancer);
void cluster_mark_node(struct cluster_node *node);
void cluster_mark_all_nodes(struct cluster *cluster);
// What stands for an id where there is only a name; it just has to differ.
uint64_t cluster_hash(const char *name);
struct cluster_node *cluster_add_node(struct cluster *cluster, const char *name);
// cluster_seen.c: evidence from reports, probes and time.
void cluster_judge(struct cluster *cluster, uint64_t now_ms);
void cluster_judge_unit(struct cluster *cluster, struct cluster_unit *unit, uint64_t now_ms);
uint64_t cluster_next_judgement(const struct cluster *cluster);
void cluster_fill_unit(const struct cluster *cluster, const struct cluster_unit *unit,
                       struct failover_unit *ret_unit);
// cluster_place.c
struct place {
    struct cluster *cluster;
    const struct cluster_balancer *balancer;
    const struct cluster_node *avoid; // where the unit that is replaced just died; NULL
    struct cluster_unit *const *made; // in the same transaction, not recorded yet
    size_t made_count;
    struct arena *arena;
    uint64_t now_ms;
};
// NULL: no node is ready.
struct cluster_node *cluster_place_node(const struct place *place);
// Fills front and back. -ENOSPC, -ENOENT (the project is gone), -ENOMEM.
int cluster_place_addresses(const struct place *place, struct unit *unit);
// cluster_status.c
bool cluster_same_addresses(const struct steering *a, const struct steering *b);
void cluster_steer(struct cluster *cluster, struct cluster_balancer *balancer);
// cluster_plan.c
void cluster_carry_out(struct cluster *cluster, struct cluster_balancer *balancer, uint64_t now_ms);
// Takes away units whose load balancer is gone already.
void cluster_take_orphans(struct cluster *cluster, uint64_t now_ms);
// The unit is as recorded now.
int cluster_adopt_unit(struct cluster *cluster, struct cluster_unit *unit, const struct unit *as,
                       uint64_t revision);
void cluster_drop_unit(struct cluster *cluster, struct cluster_unit *unit);
// cluster_document.c
void cluster_update_document(struct cluster *cluster, struct cluster_node *node);
// cluster_events.c
void cluster_event(struct cluster *cluster, const struct event *event);
void cluster_events_decide(struct cluster *cluster);
void cluster_events_decided(struct cluster *cluster, bool recorded);
// Adds what waits to a transaction; cluster_events_written once it is committed.
int cluster_events_gather(struct cluster *cluster, struct store_transaction *transaction,
                          size_t *ret_count);
void cluster_events_written(struct cluster *cluster, size_t count);
void cluster_events_flush(struct cluster *cluster, uint64_t now_ms);
void cluster_events_open(struct cluster *cluster);
void cluster_log(struct cluster *cluster, bool is_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
