// SPDX-License-Identifier: Apache-2.0
// A whole cluster in one process on a fake clock: the control side as it is, with the memory store,
// and simulated agents that fetch desired documents, start and lose units, and report; all chance
// from one seed. A step moves time to the next thing that happens; after each, what must always
// hold is checked.
#pragma once

#include "control/cluster.h"
#include "model/desired.h"
#include "store/engine.h"

enum {
    WORLD_NODES_MAX = 8,
    WORLD_UNITS_MAX = 256, // of one node, dead ones included
    WORLD_BALANCERS_MAX = 64,
    WORLD_DNS_LATE_MS = 8000, // a dead unit's address may stay in DNS so long at the worst: a lost
                              // node (3 s), two probes (2.5 s), a controller that restarts
    WORLD_HUNG_MS = 20000,    // after so long an agent ends a unit that hangs
};

// One process of a unit on a node, as the world knows it (not as anybody reports it).
struct sim_unit {
    uint64_t id;
    struct addr front;
    enum observed_unit_state state;
    uint32_t pid, starts;
    uint64_t version;
    bool draining;
    bool hung;         // runs, but answers nobody
    bool doomed;       // never comes back when it crashed
    uint64_t serve_ms; // starting until then
    uint64_t again_ms; // crashed: started again then; 0: never
    uint64_t dead_ms;  // since when nobody is served; 0: it serves
};

struct sim_node {
    char name[16];
    struct sim_unit units[WORLD_UNITS_MAX];
    size_t unit_count;
    uint64_t generation, applied;
    char *desired; // what was fetched and is applied at apply_ms
    uint64_t apply_ms, fetched;
    uint64_t report_ms; // the next beat
    uint64_t sequence;
    uint64_t cut_until_ms;   // no way to the controller
    uint64_t agent_until_ms; // the agent is down, its units run
    uint64_t down_until_ms;  // the machine is down
    bool agent_was_down, was_down;
};

struct sim_balancer {
    uint64_t id;
    char name[32];
    uint32_t units;
    bool deleted;
};

struct world {
    uint64_t seed;
    struct random_state random;
    struct clock_fake clock;
    struct store *store;
    struct store_engine engine; // the memory store's, but its disk may be full
    const struct store_engine *memory;
    uint64_t full_until_ms;
    struct service service;
    struct cluster *cluster;
    struct failover_settings failover;
    struct sim_node nodes[WORLD_NODES_MAX];
    size_t node_count;
    struct sim_balancer balancers[WORLD_BALANCERS_MAX];
    size_t balancer_count;
    struct project project;
    struct arena project_arena;
    uint64_t group_id;
    uint64_t controller_ms; // when the controller runs next
    uint64_t probe_ms;
    uint64_t excused_until_ms; // the controller was away or blind: it may be late
    uint32_t next_pid;
    uint64_t steps, faults_off_ms;
    uint64_t crashes, losses, restarts, replacements;
    char failure[512]; // the first thing that did not hold; ""
};

struct world *world_new(uint64_t seed);
struct world *world_free(struct world *world);
void world_step(struct world *world);
// No more faults, all partitions healed; then time passes until everything should be well.
void world_settle(struct world *world);
// Writes the first violation into world->failure.
void world_check(struct world *world);
void world_check_settled(struct world *world);
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
