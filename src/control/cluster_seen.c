// SPDX-License-Identifier: Apache-2.0
// What was seen: agents' reports, answers of probes, silence. All of it is soft state: a controller
// that starts anew knows nothing and waits for a full report period before it judges.
#include <string.h>

#include "control/cluster.h"
#include "control/keys.h"

// ── Reports ──────────────────────────────────────────────────────────────────────────────────

static const char *copy_text(struct arena *arena, const char *text, bool *failed)
{
    struct str copy = arena_copy(arena, str_of(text));
    *failed |= copy.at == NULL;
    return copy.at;
}

static struct target_report *copy_targets(struct arena *arena, const struct target_report *from,
                                          size_t count, bool *failed)
{
    struct target_report *targets = arena_array(arena, struct target_report, count);
    if (targets == NULL) {
        *failed = true;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        targets[i] = from[i];
        targets[i].reason = copy_text(arena, from[i].reason, failed);
    }
    return targets;
}

static struct observed *copy_observed(struct arena *arena, const struct observed *from)
{
    bool failed = false;
    struct observed *copy = arena_new(arena, struct observed);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *from;
    copy->node = copy_text(arena, from->node, &failed);
    copy->routes = arena_array(arena, struct prefix, from->route_count);
    copy->units = arena_array(arena, struct observed_unit, from->unit_count);
    copy->networks = arena_array(arena, struct observed_network, from->network_count);
    if (copy->routes == NULL || copy->units == NULL || copy->networks == NULL) {
        return NULL;
    }
    if (from->route_count > 0) {
        memcpy(copy->routes, from->routes, from->route_count * sizeof(from->routes[0]));
    }
    for (size_t i = 0; i < from->network_count; i++) {
        copy->networks[i] = from->networks[i];
        copy->networks[i].error = copy_text(arena, from->networks[i].error, &failed);
    }
    for (size_t i = 0; i < from->unit_count; i++) {
        const struct observed_unit *unit = &from->units[i];
        copy->units[i] = *unit;
        copy->units[i].error = copy_text(arena, unit->error, &failed);
        copy->units[i].snapshot_error = copy_text(arena, unit->snapshot_error, &failed);
        copy->units[i].targets = copy_targets(arena, unit->targets, unit->target_count, &failed);
    }
    return failed ? NULL : copy;
}

static const struct observed_unit *find_observed(const struct observed *observed, uint64_t id)
{
    for (size_t i = 0; observed != NULL && i < observed->unit_count; i++) {
        if (observed->units[i].id == id) {
            return &observed->units[i];
        }
    }
    return NULL;
}

static bool same_targets(const struct observed_unit *a, const struct observed_unit *b)
{
    if (a == NULL || b == NULL || a->target_count != b->target_count) {
        return a == b;
    }
    for (size_t i = 0; i < a->target_count; i++) {
        if (a->targets[i].verdict != b->targets[i].verdict ||
            !addr_equal(&a->targets[i].address, &b->targets[i].address) ||
            strcmp(a->targets[i].reason, b->targets[i].reason) != 0) {
            return false;
        }
    }
    return true;
}

static void tell_refusal(struct cluster *cluster, struct cluster_unit *unit)
{
    const char *text = unit->observed != NULL ? unit->observed->snapshot_error : "";
    if (strncmp(unit->refusal, text, sizeof(unit->refusal) - 1) == 0) {
        return;
    }
    snprintf(unit->refusal, sizeof(unit->refusal), "%s", text);
    if (text[0] != '\0') {
        char what[128];
        snprintf(what, sizeof(what),
                 "unit %" PRIu64 " refused a snapshot and serves the old one on", unit->record.id);
        cluster_event(cluster, &(struct event){.kind = "snapshot_refused",
                                               .object = "unit",
                                               .object_id = unit->record.id,
                                               .project_id = unit->unit.project_id,
                                               .load_balancer_id = unit->unit.load_balancer_id,
                                               .what = what,
                                               .why = text});
    }
}

// Has its node confirmed that a unit is not there?
static bool is_gone(const struct cluster_unit *unit)
{
    const struct cluster_node *node = unit->node;
    if (!node->heard || node->missing || unit->observed != NULL ||
        node->observed->generation == 0) {
        return false;
    }
    return unit->was_known ||
           (unit->dropped_since != 0 && node->observed->generation >= unit->dropped_since);
}

// What the new report says of one unit; `before` still lives in the old report.
static void take_report(struct cluster *cluster, struct cluster_unit *unit,
                        const struct observed_unit *now, uint64_t now_ms)
{
    const struct observed_unit *before = unit->observed;
    if (!same_targets(before, now)) {
        cluster->told = true;
    }
    unit->observed = now;
    unit->was_known |= now != NULL;
    if (now != NULL && now->state == OBSERVED_UNIT_SERVING) {
        unit->serving_pid = now->pid;
    } else if (now != NULL && now->pid != unit->serving_pid) {
        // The process that answered is gone; its answers say nothing about the next one.
        unit->probe_answered = false;
        unit->probe_failures = 0;
    }
    tell_refusal(cluster, unit);
    cluster_judge_unit(cluster, unit, now_ms);
    struct cluster_balancer *balancer =
        table_find(&cluster->balancers, unit->unit.load_balancer_id);
    if (unit->unit.state == UNIT_DELETING && is_gone(unit)) {
        cluster->orphan_check_ms = 0;
        if (balancer != NULL) {
            cluster_mark(cluster, balancer);
        }
    }
}

static void record_node(struct cluster *cluster, struct cluster_node *node)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    struct error error = {0};
    char key[KEY_LEN];
    key_of_name(key, KEY_NODES, node->name);
    uint64_t id = node->id;
    int r = id != 0 ? 0
                    : store_take_numbers(cluster->service->store, &transaction, KEY_ID_COUNTER, 1,
                                         &id, &error);
    struct node record = {
        .id = id,
        .name = node->name,
        .state = node->missing ? NODE_LOST : NODE_READY,
        .runtime = node->observed != NULL ? node->observed->runtime : RUNTIME_OCI,
        .last_report_at = node->last_report_at,
        .units = node->units,
    };
    size_t events = 0;
    uint64_t revision = 0;
    if (r == 0) {
        store_expect(&transaction, key, node->revision);
        r = service_store_object(&transaction, key, &node_schema, &record);
    }
    if (r == 0) {
        r = cluster_events_gather(cluster, &transaction, &events);
    }
    if (r == 0) {
        r = store_commit(cluster->service->store, &transaction, &revision, &error);
    }
    if (r == 0) {
        node->id = id;
        node->revision = revision;
        node->recorded_missing = node->missing;
        cluster_events_written(cluster, events);
    } else {
        cluster_log(cluster, true, "node %s is not recorded: %s", node->name, error.text);
        cluster->retry_ms = clock_now_ms(cluster->service->clock) + 1000;
    }
    arena_reset(&arena);
}

static void tell_node(struct cluster *cluster, struct cluster_node *node, const char *kind,
                      const char *what, const char *why)
{
    char text[160];
    snprintf(text, sizeof(text), "node %s %s", node->name, what);
    cluster_event(
        cluster,
        &(struct event){
            .kind = kind, .object = "node", .object_id = node->id, .what = text, .why = why});
}

static void wake_balancers_that_wait(struct cluster *cluster)
{
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        if (balancer->waits_for_node) {
            cluster_mark(cluster, balancer);
        }
    }
}

static const struct observed_network *find_network(const struct observed *observed, uint64_t id)
{
    for (size_t i = 0; observed != NULL && i < observed->network_count; i++) {
        if (observed->networks[i].project_id == id) {
            return &observed->networks[i];
        }
    }
    return NULL;
}

// A project's network that a node cannot make, told once for each reason.
static void tell_networks(struct cluster *cluster, const struct cluster_node *node,
                          const struct observed *before)
{
    for (size_t i = 0; i < node->observed->network_count; i++) {
        const struct observed_network *network = &node->observed->networks[i];
        const struct observed_network *old = find_network(before, network->project_id);
        if (network->state != NETWORK_FAILED || (old != NULL && old->state == NETWORK_FAILED &&
                                                 strcmp(old->error, network->error) == 0)) {
            continue;
        }
        char what[160];
        snprintf(what, sizeof(what), "the network of project %" PRIu64 " fails on node %s",
                 network->project_id, node->name);
        cluster_event(cluster, &(struct event){.kind = "network_failed",
                                               .object = "project",
                                               .object_id = network->project_id,
                                               .project_id = network->project_id,
                                               .what = what,
                                               .why = network->error});
    }
}

// A name that goes into paths, URLs and messages.
static bool node_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= NAME_MAX_LEN && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

int cluster_observe(struct cluster *cluster, const struct observed *observed, struct error *error)
{
    if (!node_name_is_valid(observed->node)) {
        return error_set_field(error, -EINVAL, "invalid_value", "node",
                               "a node's name is 1 to 63 letters, digits, '-', '_' and '.'");
    }
    struct cluster_node *node = cluster_find_node(cluster, observed->node);
    if (node == NULL && cluster->node_count >= CLUSTER_NODES_MAX) {
        return error_set_field(error, -ENOSPC, "too_many_nodes", "node",
                               "there are too many nodes");
    }
    struct arena arena;
    arena_init(&arena, 4096);
    struct observed *copy = copy_observed(&arena, observed);
    if (copy != NULL && node == NULL) {
        node = cluster_add_node(cluster, observed->node);
    }
    if (copy == NULL || node == NULL) {
        arena_reset(&arena);
        return error_set(error, -ENOMEM, "out of memory");
    }
    struct clock *clock = cluster->service->clock;
    uint64_t now_ms = clock_now_ms(clock);
    struct arena old = node->arena; // units point into it until take_report
    const struct observed *before = node->observed;
    bool is_new = node->revision == 0, was_away = node->missing || !node->heard;
    node->arena = arena;
    node->observed = copy;
    node->heard = true;
    node->missing = false;
    node->heard_ms = now_ms;
    node->last_report_at = clock->wall_ms(clock);
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->node == node) {
            take_report(cluster, unit, find_observed(copy, unit->record.id), now_ms);
        }
    }
    tell_networks(cluster, node, before);
    arena_reset(&old);
    if (is_new || node->recorded_missing) {
        if (was_away) {
            tell_node(cluster, node, is_new ? "node_joined" : "node_back",
                      is_new ? "joined" : "reports again", "");
        }
        if (now_ms >= cluster->retry_ms) {
            record_node(cluster, node); // else with the next report
        }
        cluster->told = true;
    }
    if (was_away) {
        cluster_mark_node(node);
        wake_balancers_that_wait(cluster);
    }
    return 0;
}

// ── Probes ───────────────────────────────────────────────────────────────────────────────────

bool cluster_wants_probe(const struct cluster_unit *unit)
{
    switch (unit->unit.state) {
    case UNIT_STARTING:
        // Also once it served and that could not be recorded: what probes said must not grow old.
        return unit->serving_pid != 0 || evidence_is_serving(unit->evidence);
    case UNIT_SERVING:
    case UNIT_FAILED:
    case UNIT_LEAVING:
        return true;
    case UNIT_DRAINING:
    case UNIT_DELETING:
        break;
    }
    return false;
}

void cluster_probe(struct cluster *cluster, uint64_t unit_id, bool answered)
{
    struct cluster_unit *unit = table_find(&cluster->units, unit_id);
    if (unit == NULL) {
        return;
    }
    if (answered) {
        unit->probe_answered = true;
        unit->probe_failures = 0;
    } else if (unit->probe_failures < UINT32_MAX) {
        unit->probe_failures++;
    }
    cluster_judge_unit(cluster, unit, clock_now_ms(cluster->service->clock));
}

// ── Judgement ────────────────────────────────────────────────────────────────────────────────

static bool is_applied(const struct cluster_unit *unit)
{
    const struct observed *observed = unit->node->observed;
    if (observed == NULL || observed->generation == 0) {
        return false; // an agent that has just started knows nothing yet
    }
    return unit->was_known ||
           (unit->wanted_since != 0 && observed->generation >= unit->wanted_since);
}

void cluster_judge_unit(struct cluster *cluster, struct cluster_unit *unit, uint64_t now_ms)
{
    struct witness witness = {
        .node_heard = unit->node->heard,
        .node_missing = unit->node->missing,
        .known = unit->observed != NULL,
        .applied = is_applied(unit),
        .probe_answered = unit->probe_answered,
        .neighbour_answers = unit->node->answers,
        .probe_failures = unit->probe_failures,
        .probes_blind = cluster->probes_blind,
    };
    if (unit->observed != NULL) {
        witness.state = unit->observed->state;
        witness.was_serving = unit->observed->pid != 0 && unit->observed->pid == unit->serving_pid;
    }
    enum evidence evidence = evidence_judge(&witness);
    if (evidence == unit->evidence) {
        return;
    }
    if (!(evidence_is_serving(evidence) && evidence_is_serving(unit->evidence))) {
        unit->evidence_at_ms = now_ms;
    }
    unit->evidence = evidence;
    cluster->told = true;
    struct cluster_balancer *balancer =
        table_find(&cluster->balancers, unit->unit.load_balancer_id);
    if (balancer != NULL) {
        cluster_mark(cluster, balancer);
    }
}

// When every unit that agents call serving fails its probe, and there are several, it is more
// likely that we cannot reach them than that all died in one second with healthy agents beside
// them.
static void judge_probes(struct cluster *cluster, uint64_t now_ms)
{
    size_t answering = 0, failing = 0;
    LIST_FOREACH (&cluster->nodes, link) {
        CONTAINER_OF(link, struct cluster_node, link)->answers = false;
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->observed != NULL && unit->observed->state == OBSERVED_UNIT_SERVING &&
            unit->probe_answered && !unit->node->missing && cluster_wants_probe(unit)) {
            answering += unit->probe_failures == 0;
            failing += unit->probe_failures > 0;
            unit->node->answers |= unit->probe_failures == 0;
        }
    }
    bool blind = failing >= 2 && answering == 0;
    if (blind == cluster->probes_blind) {
        return;
    }
    cluster->probes_blind = blind;
    cluster_event(cluster, &(struct event){
                               .kind = blind ? "probes_blind" : "probes_see",
                               .object = "controller",
                               .what = blind ? "the controller reaches no unit: its probes are "
                                               "ignored, the agents' reports count alone"
                                             : "the controller reaches units again",
                               .why = blind ? "every unit that serves by its agent's report fails "
                                              "the controller's probe"
                                            : ""});
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        cluster_judge_unit(cluster, unit, now_ms);
    }
}

static uint64_t lost_at(const struct cluster *cluster, const struct cluster_node *node)
{
    return MAX(node->heard_ms, cluster->judge_from_ms) + cluster->failover.report_lost_ms;
}

static void judge_node(struct cluster *cluster, struct cluster_node *node, uint64_t now_ms)
{
    if (!node->missing && now_ms >= lost_at(cluster, node)) {
        node->missing = true;
        TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
            if (unit->node == node) {
                cluster_judge_unit(cluster, unit, now_ms);
            }
        }
        if (!node->recorded_missing && node->revision != 0) {
            char why[64];
            snprintf(why, sizeof(why), "no report for %.1f s",
                     (double)(now_ms - node->heard_ms) / 1000);
            tell_node(cluster, node, "node_lost", "is lost", why);
        }
    }
    if (node->missing && !node->recorded_missing && node->revision != 0 &&
        now_ms >= cluster->retry_ms) {
        record_node(cluster, node);
        cluster->told = true;
    }
}

void cluster_judge(struct cluster *cluster, uint64_t now_ms)
{
    judge_probes(cluster, now_ms);
    LIST_FOREACH (&cluster->nodes, link) {
        judge_node(cluster, CONTAINER_OF(link, struct cluster_node, link), now_ms);
    }
}

uint64_t cluster_next_judgement(const struct cluster *cluster)
{
    uint64_t next_ms = UINT64_MAX;
    LIST_FOREACH (&cluster->nodes, link) {
        const struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        if (!node->missing) {
            next_ms = MIN(next_ms, lost_at(cluster, node));
        }
    }
    return next_ms;
}

void cluster_fill_unit(const struct cluster *cluster, const struct cluster_unit *unit,
                       struct failover_unit *ret_unit)
{
    uint64_t now_ms = clock_now_ms(cluster->service->clock);
    const struct cluster_node *node = unit->node;
    *ret_unit = (struct failover_unit){
        .unit = &unit->unit,
        .evidence = unit->evidence,
        .evidence_at_ms = unit->evidence_at_ms,
        .state_at_ms = unit->state_at_ms,
        .flaps = unit->flaps,
        .said = unit->observed != NULL ? unit->observed->error : "",
        .gone = is_gone(unit),
        .node_forgotten = node->missing && now_ms >= MAX(node->heard_ms, cluster->judge_from_ms) +
                                                         cluster->failover.node_forget_ms,
    };
}
