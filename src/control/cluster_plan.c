// SPDX-License-Identifier: Apache-2.0
// A load balancer's plan carried out: one transaction with the units' records, new ids and the
// events that tell it. When the transaction fails nothing has happened, here or in the store.
#include <stdlib.h>
#include <string.h>

#include "control/cluster.h"
#include "control/keys.h"

// One plan under way. balancer NULL: units whose load balancer is gone.
struct move {
    struct cluster *cluster;
    struct cluster_balancer *balancer;
    uint64_t now_ms, wall_ms;
    struct arena arena;
    struct store_transaction transaction;
    struct cluster_unit **units;
    struct failover_unit *seen;
    struct unit *copies; // of the units' records, as they shall be
    bool *changed, *removed;
    size_t count;
    struct cluster_unit **created;
    size_t created_count;
    uint64_t next_id;
    struct plan plan;
    bool acted; // something is recorded otherwise than before
};

// ── What there is ────────────────────────────────────────────────────────────────────────────

static bool belongs(const struct cluster *cluster, const struct cluster_unit *unit,
                    const struct cluster_balancer *balancer)
{
    return balancer != NULL ? unit->unit.load_balancer_id == balancer->record.id
                            : table_find(&cluster->balancers, unit->unit.load_balancer_id) == NULL;
}

static int gather(struct move *move)
{
    struct cluster *cluster = move->cluster;
    struct arena *arena = &move->arena;
    size_t room = cluster->units.count + 1;
    move->units = arena_array(arena, struct cluster_unit *, room);
    if (move->units == NULL) {
        return -ENOMEM;
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (belongs(cluster, unit, move->balancer)) {
            move->units[move->count++] = unit;
        }
    }
    move->seen = arena_array(arena, struct failover_unit, move->count);
    move->copies = arena_array(arena, struct unit, move->count);
    move->changed = arena_array(arena, bool, move->count);
    move->removed = arena_array(arena, bool, move->count);
    move->created = arena_array(arena, struct cluster_unit *, PLAN_ACTIONS_MAX);
    if (move->seen == NULL || move->copies == NULL || move->changed == NULL ||
        move->removed == NULL || move->created == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < move->count; i++) {
        cluster_fill_unit(cluster, move->units[i], &move->seen[i]);
        move->copies[i] = move->units[i]->unit;
    }
    return 0;
}

static uint32_t budget_left(const struct cluster *cluster)
{
    uint32_t primaries = 0, replacements = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        bool alive = failover_is_alive(unit->unit.state);
        primaries += alive && unit->unit.role == UNIT_PRIMARY;
        replacements += alive && unit->unit.role == UNIT_REPLACEMENT;
    }
    uint32_t budget = failover_budget(&cluster->failover, primaries);
    return budget > replacements ? budget - replacements : 0;
}

static const char *name_of(const struct move *move)
{
    return move->balancer != NULL ? move->balancer->balancer.name : "a deleted load balancer";
}

static void tell(struct move *move, const char *kind, uint64_t unit_id, uint32_t step,
                 const char *what, const char *why)
{
    const struct cluster_balancer *balancer = move->balancer;
    cluster_event(
        move->cluster,
        &(struct event){.kind = kind,
                        .object = unit_id != 0 ? "unit" : "load_balancer",
                        .object_id = unit_id != 0 ? unit_id : balancer->record.id,
                        .project_id = balancer != NULL ? balancer->balancer.project_id : 0,
                        .load_balancer_id = balancer != NULL ? balancer->record.id : 0,
                        .step = step,
                        .what = what,
                        .why = why});
}

// ── Actions ──────────────────────────────────────────────────────────────────────────────────

static double seconds_since(const struct move *move, uint64_t at_ms)
{
    return (double)(move->now_ms - MIN(at_ms, move->now_ms)) / 1000;
}

static void tell_move(struct move *move, size_t at, enum unit_state from,
                      const struct plan_action *action)
{
    const struct cluster_unit *unit = move->units[at];
    uint64_t id = unit->record.id;
    char what[224], why[224];
    double since = seconds_since(move, unit->state_at_ms);
    snprintf(why, sizeof(why), "%s", action->why);
    switch (action->state) {
    case UNIT_FAILED:
        snprintf(what, sizeof(what), "unit %" PRIu64 " of %.63s on node %s is dead", id,
                 name_of(move), unit->unit.node);
        tell(move, "unit_failed", id, 1, what, why);
        break;
    case UNIT_SERVING:
        snprintf(what, sizeof(what), "unit %" PRIu64 " of %.63s serves%s", id, name_of(move),
                 from == UNIT_FAILED ? " again" : "");
        snprintf(why, sizeof(why),
                 from == UNIT_FAILED ? "back %.1f s after it was found dead"
                                     : "%.3f s after it was placed",
                 since);
        tell(move, from == UNIT_FAILED ? "unit_recovered" : "unit_serving", id, action->step, what,
             why);
        break;
    case UNIT_LEAVING:
    case UNIT_DRAINING:
        if (from == UNIT_LEAVING) {
            break; // told when it left
        }
        snprintf(what, sizeof(what), "unit %" PRIu64 " of %.63s is %s", id, name_of(move),
                 action->step == 5 ? "recycled" : "taken out of service");
        tell(move, action->step == 5 ? "unit_recycled" : "unit_leaving", id, action->step, what,
             why);
        break;
    case UNIT_DELETING:
        if (action->step == 4) {
            snprintf(what, sizeof(what),
                     "unit %" PRIu64 " of %.63s is deleted, its replacement stays", id,
                     name_of(move));
            snprintf(why, sizeof(why), "dead for %.1f s, past the threshold of %.1f s", since,
                     move->cluster->failover.failure_threshold_ms / 1000.0);
        } else {
            snprintf(what, sizeof(what), "unit %" PRIu64 " of %.63s is %s", id, name_of(move),
                     action->step == 5 ? "recycled" : "deleted");
        }
        tell(move, action->step == 5 ? "unit_recycled" : "unit_deleted", id, action->step, what,
             why);
        break;
    case UNIT_STARTING:
        break;
    }
}

static void apply_move(struct move *move, const struct plan_action *action)
{
    struct unit *copy = &move->copies[action->unit];
    enum unit_state from = copy->state;
    if (!failover_move_allowed(from, action->state)) {
        cluster_log(move->cluster, true, "unit %" PRIu64 ": no way from %s to %s", copy->id,
                    unit_state_names[from], unit_state_names[action->state]);
        return;
    }
    copy->state = action->state;
    copy->state_at = copy->updated_at = move->wall_ms;
    copy->reason = action->why;
    move->changed[action->unit] = true;
    tell_move(move, action->unit, from, action);
}

// Tells once that something is missing, and that it is waited for.
static void tell_lack(struct move *move, bool *told, const char *kind, const char *what)
{
    if (!*told) {
        char text[160];
        snprintf(text, sizeof(text), "%.63s waits: %s", move->balancer->balancer.name, what);
        tell(move, kind, 0, 0, text, "a unit cannot be placed");
        *told = true;
    }
}

static void apply_create(struct move *move, const struct plan_action *action)
{
    struct cluster_balancer *balancer = move->balancer;
    const struct cluster_unit *replaced =
        action->role == UNIT_REPLACEMENT ? move->units[action->unit] : NULL;
    struct place place = {
        .cluster = move->cluster,
        .balancer = balancer,
        .avoid = replaced != NULL ? replaced->node : NULL,
        .made = move->created,
        .made_count = move->created_count,
        .arena = &move->arena,
        .now_ms = move->now_ms,
    };
    struct cluster_node *node = cluster_place_node(&place);
    if (node == NULL) {
        tell_lack(move, &balancer->waits_for_node, "no_node", "no node is ready");
        return;
    }
    struct cluster_unit *unit = calloc(1, sizeof(*unit));
    if (unit == NULL) {
        move->transaction.failed = true;
        return;
    }
    unit->record.id = move->next_id;
    unit->node = node;
    unit->unit = (struct unit){
        .id = move->next_id,
        .load_balancer_id = balancer->record.id,
        .project_id = balancer->balancer.project_id,
        .created_at = move->wall_ms,
        .updated_at = move->wall_ms,
        .node = node->name,
        .role = action->role,
        .replaces = replaced != NULL ? replaced->record.id : 0,
        .state = UNIT_STARTING,
        .state_at = move->wall_ms,
        .reason = action->why,
    };
    int r = cluster_place_addresses(&place, &unit->unit);
    if (r < 0) {
        free(unit);
        if (r == -ENOSPC) {
            tell_lack(move, &balancer->waits_for_address, "no_address",
                      "no address is free in its subnet or the front subnet");
        }
        return;
    }
    balancer->waits_for_node = balancer->waits_for_address = false;
    move->created[move->created_count++] = unit;
    move->next_id++;
    char what[224], why[160], address[ADDR_TEXT_LEN];
    addr_format_ip(&unit->unit.front, address);
    if (replaced != NULL) {
        snprintf(what, sizeof(what), "unit %" PRIu64 " on node %s at %s replaces unit %" PRIu64,
                 unit->record.id, node->name, address, replaced->record.id);
        snprintf(why, sizeof(why), "%.3f s after the failure was found",
                 replaced->unit.state == UNIT_FAILED ? seconds_since(move, replaced->failed_at_ms)
                                                     : 0.0);
        tell(move, "unit_replaced", unit->record.id, 2, what, why);
    } else {
        snprintf(what, sizeof(what), "unit %" PRIu64 " of %.63s is placed on node %s at %s",
                 unit->record.id, balancer->balancer.name, node->name, address);
        tell(move, "unit_placed", unit->record.id, 0, what, action->why);
    }
}

static void apply_action(struct move *move, const struct plan_action *action)
{
    switch (action->kind) {
    case PLAN_MOVE:
        apply_move(move, action);
        break;
    case PLAN_PROMOTE:
        move->copies[action->unit].role = UNIT_PRIMARY;
        move->copies[action->unit].replaces = 0;
        move->changed[action->unit] = true;
        break;
    case PLAN_CREATE:
        apply_create(move, action);
        break;
    case PLAN_REMOVE:
        move->removed[action->unit] = true;
        break;
    }
}

// ── The transaction ──────────────────────────────────────────────────────────────────────────

static void put_units(struct move *move)
{
    char key[KEY_LEN];
    for (size_t i = 0; i < move->count; i++) {
        if (!move->changed[i] && !move->removed[i]) {
            continue;
        }
        key_of_id(key, KEY_UNITS, move->units[i]->record.id);
        store_expect(&move->transaction, key, move->units[i]->record.revision);
        if (move->removed[i]) {
            store_delete(&move->transaction, key);
        } else {
            service_store_object(&move->transaction, key, &unit_schema, &move->copies[i]);
        }
    }
    for (size_t i = 0; i < move->created_count; i++) {
        key_of_id(key, KEY_UNITS, move->created[i]->record.id);
        store_expect(&move->transaction, key, 0);
        service_store_object(&move->transaction, key, &unit_schema, &move->created[i]->unit);
    }
    if (move->created_count > 0) {
        // A load balancer that was deleted meanwhile gets no new unit.
        key_of_id(key, KEY_LOAD_BALANCERS, move->balancer->record.id);
        store_expect(&move->transaction, key, move->balancer->record.revision);
    }
}

static void release_address(struct cluster *cluster, const struct addr *addr, uint64_t now_ms)
{
    cluster->releases[cluster->release_next] = (struct ipam_release){*addr, now_ms};
    cluster->release_next = (cluster->release_next + 1) % CLUSTER_RELEASES_MAX;
    cluster->release_count = MIN(cluster->release_count + 1, (size_t)CLUSTER_RELEASES_MAX);
}

static void count_failure(struct cluster_unit *unit, uint64_t now_ms)
{
    bool again = unit->failed_at_ms != 0 && now_ms - unit->failed_at_ms < FLAP_MEMORY_MS;
    unit->flaps = again ? unit->flaps + 1 : 0;
    unit->failed_at_ms = now_ms;
}

// What is recorded now is what is known now.
static void adopt_all(struct move *move, uint64_t revision)
{
    struct cluster *cluster = move->cluster;
    bool lost = false;
    for (size_t i = 0; i < move->count; i++) {
        if (move->removed[i]) {
            release_address(cluster, &move->units[i]->unit.front, move->now_ms);
            release_address(cluster, &move->units[i]->unit.back, move->now_ms);
            cluster_drop_unit(cluster, move->units[i]);
        } else if (move->changed[i]) {
            if (move->copies[i].state == UNIT_FAILED && move->units[i]->unit.state != UNIT_FAILED) {
                count_failure(move->units[i], move->now_ms);
            }
            lost |= cluster_adopt_unit(cluster, move->units[i], &move->copies[i], revision) < 0;
        }
    }
    for (size_t i = 0; i < move->created_count; i++) {
        if (cluster_adopt_unit(cluster, move->created[i], &move->created[i]->unit, revision) < 0) {
            free(move->created[i]);
            lost = true;
        }
    }
    move->created_count = 0;
    move->acted = true;
    cluster->told = true;
    if (lost) {
        cluster_load_all(cluster); // memory was short: the store knows
    }
}

static int commit(struct move *move)
{
    struct cluster *cluster = move->cluster;
    struct error error = {0};
    uint32_t creates = 0;
    for (size_t i = 0; i < move->plan.action_count; i++) {
        creates += move->plan.actions[i].kind == PLAN_CREATE;
    }
    size_t events = 0;
    cluster_events_decide(cluster);
    store_begin(&move->transaction, &move->arena);
    int r = creates == 0 ? 0
                         : store_take_numbers(cluster->service->store, &move->transaction,
                                              KEY_ID_COUNTER, creates, &move->next_id, &error);
    bool changed = false;
    if (r == 0) {
        for (size_t i = 0; i < move->plan.action_count; i++) {
            apply_action(move, &move->plan.actions[i]);
        }
        changed = move->created_count > 0;
        for (size_t i = 0; i < move->count; i++) {
            changed |= move->changed[i] || move->removed[i];
        }
        if (!changed) {
            cluster_events_decided(cluster, true);
            return 0; // nothing but waiting for a node or an address
        }
        put_units(move);
        r = cluster_events_gather(cluster, &move->transaction, &events);
    }
    uint64_t revision = 0;
    if (r == 0) {
        r = store_commit(cluster->service->store, &move->transaction, &revision, &error);
    }
    cluster_events_decided(cluster, r == 0);
    if (r == 0) {
        cluster_events_written(cluster, events);
        adopt_all(move, revision);
        return 0;
    }
    for (size_t i = 0; i < move->created_count; i++) {
        free(move->created[i]);
    }
    if (r != -EAGAIN) {
        cluster_log(cluster, true, "while moving units of %s: %s", name_of(move), error.text);
        cluster->retry_ms = move->now_ms + 1000;
    } else {
        cluster_load_all(cluster);
    }
    return r;
}

// ── Afterwards ───────────────────────────────────────────────────────────────────────────────

static void tell_dns(struct move *move)
{
    struct cluster_balancer *balancer = move->balancer;
    const struct steering *now = &balancer->steering;
    if (cluster_same_addresses(now, &balancer->announced)) {
        return;
    }
    balancer->announced = *now;
    char what[224], why[96] = "", address[ADDR_TEXT_LEN];
    int len = snprintf(what, sizeof(what), "the name of %.63s leads to", balancer->balancer.name);
    for (size_t i = 0; i < now->count && len < (int)sizeof(what) - 20; i++) {
        len += snprintf(what + len, sizeof(what) - (size_t)len, "%s %s", i > 0 ? "," : "",
                        addr_format_ip(&now->addresses[i], address));
    }
    if (now->count == 0) {
        snprintf(what, sizeof(what), "the name of %.63s leads nowhere", balancer->balancer.name);
    }
    if (balancer->crash_at_ms != 0) {
        snprintf(why, sizeof(why), "%.3f s after the failure was found",
                 seconds_since(move, balancer->crash_at_ms));
    }
    tell(move, "dns_renewed", 0, balancer->crash_at_ms != 0 ? 3 : 0, what, why);
}

static void tell_state(struct move *move)
{
    struct cluster_balancer *balancer = move->balancer;
    if (balancer->state_known && balancer->told_state == balancer->state) {
        return;
    }
    bool silent = !balancer->state_known || balancer->state == LOAD_BALANCER_PROVISIONING ||
                  balancer->state == LOAD_BALANCER_DELETING ||
                  (balancer->told_state == LOAD_BALANCER_PROVISIONING &&
                   balancer->state == LOAD_BALANCER_DEGRADED);
    balancer->state_known = true;
    if (silent && balancer->state == LOAD_BALANCER_DEGRADED) {
        return; // on its way up
    }
    balancer->told_state = balancer->state;
    if (silent) {
        return;
    }
    char kind[48], what[224];
    snprintf(kind, sizeof(kind), "load_balancer_%s", load_balancer_state_names[balancer->state]);
    snprintf(what, sizeof(what), "%.63s is %s: %u of %u units serve", balancer->balancer.name,
             load_balancer_state_names[balancer->state], balancer->steering.serving,
             balancer->balancer.units);
    tell(move, kind, 0, 0, what, "");
}

static void tell_held_back(struct move *move)
{
    struct cluster_balancer *balancer = move->balancer;
    bool held = move->plan.held_back > 0;
    if (held && !balancer->held_back) {
        char what[224];
        snprintf(what, sizeof(what), "%u replacements for %.63s are held back",
                 move->plan.held_back, balancer->balancer.name);
        tell(move, "failover_held_back", 0, 0, what,
             "more units failed at once than the failover budget allows");
    }
    balancer->held_back = held;
}

// What the plan leaves behind at the load balancer itself: waits, and what is told.
static void settle(struct move *move)
{
    struct cluster *cluster = move->cluster;
    struct cluster_balancer *balancer = move->balancer;
    uint64_t crash_at_ms = 0;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id == balancer->record.id && unit->unit.state == UNIT_FAILED &&
            unit->unit.role == UNIT_PRIMARY) {
            crash_at_ms =
                crash_at_ms == 0 ? unit->state_at_ms : MIN(crash_at_ms, unit->state_at_ms);
        }
    }
    if (move->plan.replacement_failed) {
        uint64_t wait_ms = (uint64_t)cluster->failover.retry_min_ms
                           << MIN(balancer->replacement_failures, 16U);
        balancer->replacement_failures++;
        balancer->replace_not_before_ms =
            move->now_ms + MIN(wait_ms, cluster->failover.retry_max_ms);
    } else if (crash_at_ms == 0) {
        balancer->replacement_failures = 0;
    }
    balancer->check_ms = move->plan.check_ms;
    if (move->plan.held_back > 0 || balancer->waits_for_address) {
        balancer->check_ms = MIN(balancer->check_ms, move->now_ms + 1000);
    }
    cluster_steer(cluster, balancer);
    balancer->crash_at_ms = crash_at_ms != 0 ? crash_at_ms : balancer->crash_at_ms;
    tell_dns(move);
    balancer->crash_at_ms = crash_at_ms;
    tell_state(move);
    tell_held_back(move);
}

static void run_plan(struct move *move)
{
    struct cluster *cluster = move->cluster;
    struct cluster_balancer *balancer = move->balancer;
    if (gather(move) < 0) {
        cluster->retry_ms = move->now_ms + 1000;
        return;
    }
    struct plan_input input = {
        .units = move->seen,
        .unit_count = move->count,
        .wanted = balancer != NULL ? balancer->balancer.units : 0,
        .deleting = balancer == NULL || balancer->balancer.deleting,
        .replacements_left = budget_left(cluster),
        .replace_not_before_ms = balancer != NULL ? balancer->replace_not_before_ms : 0,
    };
    uint64_t id = balancer != NULL ? balancer->record.id : 0;
    plan_balancer(&input, &cluster->failover, move->now_ms, &move->plan);
    int r = move->plan.action_count > 0 ? commit(move) : 0;
    if (balancer == NULL) {
        return;
    }
    if (r < 0) {
        // After a conflict everything was read anew: the load balancer itself may be gone.
        balancer = table_find(&cluster->balancers, id);
        if (balancer != NULL) {
            cluster_mark(cluster, balancer);
        }
        return;
    }
    settle(move);
    if (move->plan.finished) {
        struct error error = {0};
        r = service_load_balancer_forget(cluster->service, id, &error);
        if (r < 0) {
            cluster_log(cluster, true, "%s stays for now: %s", name_of(move), error.text);
            balancer->check_ms = move->now_ms + 1000;
        } else {
            char what[128];
            snprintf(what, sizeof(what), "%.63s and its units are gone", name_of(move));
            tell(move, "load_balancer_gone", 0, 0, what, "");
            cluster_load(cluster);
        }
    } else if (move->acted) {
        cluster_mark(cluster, balancer); // what follows from it
    }
}

static void begin(struct move *move, struct cluster *cluster, struct cluster_balancer *balancer,
                  uint64_t now_ms)
{
    *move = (struct move){.cluster = cluster, .balancer = balancer, .now_ms = now_ms};
    move->wall_ms = cluster->service->clock->wall_ms(cluster->service->clock);
    arena_init(&move->arena, 16384);
}

void cluster_carry_out(struct cluster *cluster, struct cluster_balancer *balancer, uint64_t now_ms)
{
    struct move move;
    begin(&move, cluster, balancer, now_ms);
    run_plan(&move);
    arena_reset(&move.arena);
}

void cluster_take_orphans(struct cluster *cluster, uint64_t now_ms)
{
    bool any = false;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        any |= belongs(cluster, unit, NULL);
    }
    if (any) {
        cluster_carry_out(cluster, NULL, now_ms);
    }
}
