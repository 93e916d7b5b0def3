// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/snapshot.h"

enum { START_MS = 1000000 };

static uint64_t now_of(const struct world *world)
{
    return world->clock.now_ms;
}

static uint64_t chance(struct world *world, uint64_t bound)
{
    return random_below(&world->random, bound);
}

void world_fail(struct world *world, const char *format, ...)
{
    if (world->failure[0] != '\0') {
        return;
    }
    int len = snprintf(world->failure, sizeof(world->failure),
                       "seed %lu, step %lu, %.3f s: ", (unsigned long)world->seed,
                       (unsigned long)world->steps, (double)(now_of(world) - START_MS) / 1000);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->failure + len, sizeof(world->failure) - (size_t)len, format, arguments);
    va_end(arguments);
}

// ── The store ────────────────────────────────────────────────────────────────────────────────

static bool is_full(const struct world *world)
{
    return now_of(world) < world->full_until_ms;
}

static int commit(struct store *store, const struct store_transaction *transaction,
                  uint64_t revision, struct error *error)
{
    const struct world *world = CONTAINER_OF(store->engine, struct world, engine);
    return is_full(world) ? error_set(error, -ENOSPC, "no space is left")
                          : world->memory->commit(store, transaction, revision, error);
}

// ── The controller ───────────────────────────────────────────────────────────────────────────

static void publish(void *owner)
{
}

static void notify(void *owner)
{
}

static void log_text(void *owner, bool is_error, const char *text)
{
    struct world *world = owner;
    if (is_error && strstr(text, "no space") == NULL) {
        world_fail(world, "the controller says: %s", text);
    }
    if (getenv("WEIR_SIM_LOG") != NULL) {
        printf("%10.3f %s\n", (double)(now_of(world) - START_MS) / 1000, text);
    }
}

static void start_controller(struct world *world)
{
    struct cluster_ops ops = {world, publish, notify, log_text};
    struct error error = {0};
    world->cluster = calloc(1, sizeof(*world->cluster));
    if (cluster_open(world->cluster, &world->service, &ops, &world->failover, &error) < 0) {
        world_fail(world, "the controller does not start: %s", error.text);
    }
    world->controller_ms = now_of(world);
    world->excused_until_ms = now_of(world) + 4000;
}

// kill -9: what was in memory is lost, events that waited included.
static void kill_controller(struct world *world)
{
    world->cluster->event_count = 0;
    cluster_close(world->cluster);
    free(world->cluster);
    world->cluster = NULL;
}

// ── Users ────────────────────────────────────────────────────────────────────────────────────

static void create_project(struct world *world)
{
    struct error error = {0};
    struct arena arena;
    struct project *project;
    struct target_group *group;
    arena_init(&arena, 4096);
    json_t *body = json_pack("{ssssss}", "name", "p", "user", "u", "subnet", "10.1.0.0/24");
    int r = service_project_create(&world->service, body, &world->project_arena, &project, &error);
    json_decref(body);
    if (r == 0) {
        world->project = *project;
        body =
            json_pack("{sss[{sssi}]}", "name", "g", "targets", "address", "10.1.0.10", "port", 80);
        r = service_target_group_create(&world->service, project, body, &arena, &group, &error);
        json_decref(body);
    }
    if (r == 0) {
        world->group_id = group->id;
    } else {
        world_fail(world, "no project: %s", error.text);
    }
    arena_reset(&arena);
}

static void create_balancer(struct world *world)
{
    if (world->balancer_count == WORLD_BALANCERS_MAX) {
        return;
    }
    struct sim_balancer *made = &world->balancers[world->balancer_count];
    struct arena arena;
    struct error error = {0};
    struct load_balancer *balancer;
    arena_init(&arena, 4096);
    snprintf(made->name, sizeof(made->name), "lb%zu", world->balancer_count);
    made->units = 1 + (uint32_t)chance(world, 3);
    json_t *body =
        json_pack("{sssis[{sssisI}]}", "name", made->name, "units", (int)made->units, "listeners",
                  "protocol", "http", "port", 80, "target_group_id", (json_int_t)world->group_id);
    int r = service_load_balancer_create(&world->service, &world->project, body, &arena, &balancer,
                                         &error);
    json_decref(body);
    if (r == 0) {
        made->id = balancer->id;
        made->deleted = false;
        world->balancer_count++;
        world->controller_ms = now_of(world);
    } else if (r != -ENOSPC) {
        world_fail(world, "create: %s", error.text);
    }
    arena_reset(&arena);
}

static struct sim_balancer *some_balancer(struct world *world)
{
    struct sim_balancer *found =
        world->balancer_count > 0 ? &world->balancers[chance(world, world->balancer_count)] : NULL;
    return found != NULL && !found->deleted ? found : NULL;
}

static void change_balancer(struct world *world, bool delete)
{
    struct sim_balancer *known = some_balancer(world);
    if (known == NULL) {
        return;
    }
    struct arena arena;
    struct error error = {0};
    struct load_balancer *balancer;
    arena_init(&arena, 4096);
    int r;
    uint32_t units = 1 + (uint32_t)chance(world, 3);
    if (delete) {
        r = service_load_balancer_delete(&world->service, &world->project, known->name, 0, &error);
        known->deleted = r == 0;
    } else {
        json_t *patch = json_pack("{si}", "units", (int)units);
        r = service_load_balancer_update(&world->service, &world->project, known->name, patch, 0,
                                         &arena, &balancer, &error);
        json_decref(patch);
        known->units = r == 0 ? units : known->units;
    }
    if (r < 0 && r != -ENOSPC) {
        world_fail(world, "change of %s: %s", known->name, error.text);
    }
    world->controller_ms = now_of(world);
    arena_reset(&arena);
}

// ── Agents ───────────────────────────────────────────────────────────────────────────────────

static bool is_up(const struct world *world, const struct sim_node *node)
{
    return now_of(world) >= node->down_until_ms;
}

static bool is_heard(const struct world *world, const struct sim_node *node)
{
    return is_up(world, node) && now_of(world) >= node->agent_until_ms &&
           now_of(world) >= node->cut_until_ms && world->cluster != NULL;
}

static void send_report(struct world *world, struct sim_node *node, bool lose)
{
    node->report_ms = now_of(world) + 1000;
    if (!is_heard(world, node) || lose) {
        return;
    }
    struct observed_unit units[WORLD_UNITS_MAX];
    for (size_t i = 0; i < node->unit_count; i++) {
        const struct sim_unit *unit = &node->units[i];
        units[i] = (struct observed_unit){
            .id = unit->id,
            .state = unit->state,
            .error = unit->state == OBSERVED_UNIT_FAILED ? "its process was killed" : "",
            .pid = unit->pid,
            .starts = unit->starts,
            .snapshot_version = unit->version,
            .snapshot_error = "",
        };
    }
    struct observed observed = {
        .node = node->name,
        .generation = node->applied,
        .agent_started_at = 1,
        .sequence = ++node->sequence,
        .units = units,
        .unit_count = node->unit_count,
    };
    struct error error = {0};
    if (cluster_observe(world->cluster, &observed, &error) < 0) {
        world_fail(world, "report refused: %s", error.text);
    }
    world->controller_ms = now_of(world);
}

static void fetch_desired(struct world *world, struct sim_node *node)
{
    const struct cluster_node *known =
        is_heard(world, node) ? cluster_find_node(world->cluster, node->name) : NULL;
    if (known == NULL || known->desired == NULL || known->generation == node->fetched) {
        return;
    }
    free(node->desired);
    node->desired = strdup(known->desired);
    node->fetched = known->generation;
    node->apply_ms = now_of(world) + 1 + chance(world, 30);
}

static struct sim_unit *find_unit(struct sim_node *node, uint64_t id)
{
    for (size_t i = 0; i < node->unit_count; i++) {
        if (node->units[i].id == id) {
            return &node->units[i];
        }
    }
    return NULL;
}

static void start_unit(struct world *world, struct sim_unit *unit)
{
    unit->state = OBSERVED_UNIT_STARTING;
    unit->pid = ++world->next_pid;
    unit->starts++;
    unit->hung = false;
    unit->again_ms = 0;
    unit->serve_ms = now_of(world) + 50 + chance(world, 400);
    unit->dead_ms = unit->dead_ms != 0 ? unit->dead_ms : now_of(world);
}

static void apply_desired(struct world *world, struct sim_node *node)
{
    struct arena arena;
    struct desired *desired;
    struct error error = {0};
    arena_init(&arena, 16384);
    if (desired_parse(str_of(node->desired), &arena, &desired, &error) < 0) {
        world_fail(world, "bad desired document: %s (%s)", error.text, error.field);
        arena_reset(&arena);
        return;
    }
    for (size_t i = node->unit_count; i-- > 0;) {
        bool wanted = false;
        for (size_t k = 0; k < desired->unit_count; k++) {
            wanted |= desired->units[k].id == node->units[i].id;
        }
        if (!wanted) {
            node->units[i] = node->units[--node->unit_count];
        }
    }
    for (size_t k = 0; k < desired->unit_count && node->unit_count < WORLD_UNITS_MAX; k++) {
        const struct desired_unit *wanted = &desired->units[k];
        struct sim_unit *unit = find_unit(node, wanted->id);
        if (unit == NULL) {
            struct snapshot *snapshot;
            if (snapshot_parse(str_of(wanted->snapshot), &arena, &snapshot, &error) < 0) {
                world_fail(world, "bad snapshot: %s (%s)", error.text, error.field);
            }
            unit = &node->units[node->unit_count++];
            *unit = (struct sim_unit){.id = wanted->id, .front = wanted->front};
            start_unit(world, unit);
        }
        if (unit->version > wanted->snapshot_version) {
            world_fail(world, "unit %lu: snapshot %lu after %lu", (unsigned long)unit->id,
                       (unsigned long)wanted->snapshot_version, (unsigned long)unit->version);
        }
        unit->version = wanted->snapshot_version;
        if (wanted->draining && !unit->draining) {
            unit->draining = true;
            unit->serve_ms = now_of(world) + chance(world, 8000);
        }
    }
    node->applied = desired->generation;
    node->apply_ms = 0;
    arena_reset(&arena);
    send_report(world, node, false);
}

static void crash_unit(struct world *world, struct sim_unit *unit, uint64_t again_ms)
{
    unit->state = OBSERVED_UNIT_FAILED;
    if (unit->hung) {
        unit->dead_ms = now_of(world); // who hung unseen until now can be seen from now on
        unit->hung = false;
    }
    unit->pid = 0;
    unit->again_ms = unit->doomed ? 0 : now_of(world) + again_ms;
    unit->dead_ms = unit->dead_ms != 0 ? unit->dead_ms : now_of(world);
    world->crashes++;
}

// What happens on a node by itself. True when there is something to report.
static bool run_units(struct world *world, struct sim_node *node)
{
    bool changed = false;
    for (size_t i = 0; i < node->unit_count; i++) {
        struct sim_unit *unit = &node->units[i];
        if (unit->hung && now_of(world) - unit->dead_ms > WORLD_HUNG_MS &&
            now_of(world) >= node->agent_until_ms) {
            crash_unit(world, unit, 1000); // its agent asks it, too, and makes an end
            changed = true;
        }
        if (unit->state == OBSERVED_UNIT_FAILED && unit->again_ms != 0 &&
            now_of(world) >= unit->again_ms) {
            start_unit(world, unit);
            changed = true;
        } else if (unit->state == OBSERVED_UNIT_STARTING && now_of(world) >= unit->serve_ms) {
            unit->state = OBSERVED_UNIT_SERVING;
            unit->dead_ms = 0;
            changed = true;
        } else if (unit->draining && unit->state == OBSERVED_UNIT_SERVING) {
            unit->state = OBSERVED_UNIT_DRAINING;
            unit->dead_ms = now_of(world);
            changed = true;
        } else if (unit->state == OBSERVED_UNIT_DRAINING && now_of(world) >= unit->serve_ms) {
            unit->state = OBSERVED_UNIT_STOPPED;
            unit->pid = 0;
            changed = true;
        }
    }
    return changed;
}

static void run_node(struct world *world, struct sim_node *node)
{
    if (!is_up(world, node)) {
        return;
    }
    if (node->was_down) {
        // Booted: everything is started anew from the document on its disk.
        node->was_down = false;
        node->apply_ms = node->desired != NULL ? now_of(world) + 1 : 0;
        for (size_t i = 0; i < node->unit_count; i++) {
            start_unit(world, &node->units[i]);
        }
    }
    bool changed = run_units(world, node);
    if (now_of(world) < node->agent_until_ms) {
        return; // units that crash stay so, nobody fetches
    }
    if (node->agent_was_down) {
        node->agent_was_down = false;
        node->sequence = 0;
        node->fetched = 0;
        changed = true;
    }
    fetch_desired(world, node);
    if (node->apply_ms != 0 && now_of(world) >= node->apply_ms) {
        apply_desired(world, node);
    }
    if (changed || now_of(world) >= node->report_ms) {
        bool lose = now_of(world) < world->faults_off_ms && chance(world, 20) == 0;
        send_report(world, node, lose);
    }
}

// ── Probes ───────────────────────────────────────────────────────────────────────────────────

static const struct sim_unit *find_anywhere(const struct world *world, const struct unit *unit)
{
    for (size_t n = 0; n < world->node_count; n++) {
        const struct sim_node *node = &world->nodes[n];
        if (strcmp(node->name, unit->node) != 0 || !is_up(world, node) ||
            now_of(world) < node->cut_until_ms) {
            continue;
        }
        return find_unit((struct sim_node *)node, unit->id);
    }
    return NULL;
}

static void run_probes(struct world *world)
{
    world->probe_ms = now_of(world) + PROBE_INTERVAL_MS;
    for (size_t i = 0; i < world->cluster->units.count; i++) {
        struct cluster_unit *unit = world->cluster->units.items[i];
        if (cluster_wants_probe(unit)) {
            const struct sim_unit *process = find_anywhere(world, &unit->unit);
            bool answers = process != NULL && !process->hung &&
                           (process->state == OBSERVED_UNIT_SERVING ||
                            process->state == OBSERVED_UNIT_DRAINING);
            cluster_probe(world->cluster, unit->record.id, answers);
        }
    }
    world->controller_ms = now_of(world);
}

// ── Faults ───────────────────────────────────────────────────────────────────────────────────

static void crash_some(struct world *world)
{
    struct sim_node *node = &world->nodes[chance(world, world->node_count)];
    if (node->unit_count == 0 || !is_up(world, node)) {
        return;
    }
    struct sim_unit *unit = &node->units[chance(world, node->unit_count)];
    if (unit->state != OBSERVED_UNIT_SERVING && unit->state != OBSERVED_UNIT_STARTING) {
        return;
    }
    if (chance(world, 5) == 0) {
        unit->hung = true;
        unit->dead_ms = now_of(world);
    } else {
        unit->doomed = chance(world, 3) == 0;
        crash_unit(world, unit, 100 + chance(world, 20000));
        if (is_heard(world, node)) {
            send_report(world, node, false);
        }
    }
}

static void lose_node(struct world *world)
{
    struct sim_node *node = &world->nodes[chance(world, world->node_count)];
    uint64_t until_ms = now_of(world) + chance(world, chance(world, 4) == 0 ? 200000 : 8000);
    world->losses++;
    switch (chance(world, 3)) {
    case 0:
        node->cut_until_ms = until_ms;
        break;
    case 1:
        node->agent_until_ms = until_ms;
        node->agent_was_down = true;
        break;
    default:
        node->down_until_ms = until_ms;
        node->was_down = true;
        for (size_t i = 0; i < node->unit_count; i++) {
            crash_unit(world, &node->units[i], 0);
        }
    }
}

static void disturb(struct world *world)
{
    switch (chance(world, 400)) {
    case 0 ... 7:
        crash_some(world);
        break;
    case 8 ... 9:
        lose_node(world);
        break;
    case 10:
        kill_controller(world);
        clock_fake_advance(&world->clock, chance(world, 5000));
        start_controller(world);
        world->restarts++;
        break;
    case 11: // the controller is stopped for a while; agents find no one to talk to
        clock_fake_advance(&world->clock, chance(world, 20000));
        world->excused_until_ms = now_of(world) + 4000;
        break;
    case 12: // somebody sets the wall clock
        world->clock.wall_offset_ms += chance(world, 2) == 0 ? 3600000 : (uint64_t)-3600000;
        break;
    case 19:
        world->full_until_ms = now_of(world) + chance(world, 20000);
        break;
    case 13 ... 15:
        create_balancer(world);
        break;
    case 16:
        change_balancer(world, true);
        break;
    case 17 ... 18:
        change_balancer(world, false);
        break;
    default:
        break;
    }
}

// ── Life ─────────────────────────────────────────────────────────────────────────────────────

struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    world->seed = seed;
    random_seed(&world->random, seed);
    clock_fake_init(&world->clock, START_MS, 1800000000000);
    store_open_memory(NULL, &world->store);
    world->memory = world->store->engine;
    world->engine = *world->memory;
    world->engine.commit = commit;
    world->store->engine = &world->engine;
    world->service = (struct service){
        .store = world->store, .clock = &world->clock.clock, .zone = "weir.internal"};
    prefix_parse(STR("10.90.0.0/16"), &world->service.front_subnet);
    prefix_parse(STR("10.100.0.0/14"), &world->service.project_pool);
    arena_init(&world->project_arena, 4096);
    failover_settings_defaults(&world->failover);
    world->faults_off_ms = UINT64_MAX;
    world->node_count = 1 + chance(world, WORLD_NODES_MAX - 1);
    for (size_t i = 0; i < world->node_count; i++) {
        snprintf(world->nodes[i].name, sizeof(world->nodes[i].name), "n%u", (unsigned)i);
        world->nodes[i].report_ms = START_MS + chance(world, 1000);
    }
    create_project(world);
    start_controller(world);
    return world;
}

struct world *world_free(struct world *world)
{
    kill_controller(world);
    for (size_t i = 0; i < world->node_count; i++) {
        free(world->nodes[i].desired);
    }
    arena_reset(&world->project_arena);
    store_close(world->store);
    free(world);
    return NULL;
}

static void turn(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        run_node(world, &world->nodes[i]);
    }
    if (now_of(world) >= world->probe_ms) {
        run_probes(world);
    }
    cluster_load(world->cluster);
    for (int i = 0; i < 50 && now_of(world) >= world->controller_ms; i++) {
        world->controller_ms = cluster_run(world->cluster);
        if (i == 49) {
            world_fail(world, "the controller does not come to rest");
        }
    }
    for (size_t i = 0; i < world->node_count; i++) {
        fetch_desired(world, &world->nodes[i]);
    }
}

void world_step(struct world *world)
{
    world->steps++;
    clock_fake_advance(&world->clock, 1 + chance(world, chance(world, 10) == 0 ? 500 : 60));
    if (now_of(world) < world->faults_off_ms) {
        disturb(world);
    }
    turn(world);
    world_check(world);
}

void world_settle(struct world *world)
{
    world->faults_off_ms = now_of(world);
    world->full_until_ms = 0;
    for (size_t n = 0; n < world->node_count; n++) {
        struct sim_node *node = &world->nodes[n];
        node->cut_until_ms = MIN(node->cut_until_ms, now_of(world));
        node->agent_until_ms = MIN(node->agent_until_ms, now_of(world));
        node->down_until_ms = MIN(node->down_until_ms, now_of(world));
    }
    uint64_t end_ms = now_of(world) + 300000;
    while (now_of(world) < end_ms && world->failure[0] == '\0') {
        clock_fake_advance(&world->clock, 200);
        turn(world);
        world_check(world);
    }
}
