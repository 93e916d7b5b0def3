// SPDX-License-Identifier: Apache-2.0
// The cluster over the memory store: what restarts, reports and changes lead to. Long histories
// with faults are in tests/sim.
#include "control/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "control/keys.h"
#include "model/desired.h"
#include "model/snapshot.h"

struct world {
    struct clock_fake clock;
    struct store *store;
    struct service service;
    struct cluster *cluster;
    struct arena arena;
    struct project *project;
    struct target_group *group;
    struct load_balancer *balancer;
    int published, notified;
    char log[4096];
};

static void publish(void *owner)
{
    ((struct world *)owner)->published++;
}

static void notify(void *owner)
{
    ((struct world *)owner)->notified++;
}

static void log_text(void *owner, bool is_error, const char *text)
{
    struct world *world = owner;
    size_t len = strlen(world->log);
    snprintf(world->log + len, sizeof(world->log) - len, "%s\n", text);
}

static void start(struct world *world)
{
    struct cluster_ops ops = {world, publish, notify, log_text};
    struct failover_settings failover;
    failover_settings_defaults(&failover);
    world->cluster = calloc(1, sizeof(*world->cluster));
    assert_int_equal(cluster_open(world->cluster, &world->service, &ops, &failover, NULL), 0);
}

static void stop(struct world *world)
{
    cluster_close(world->cluster);
    free(world->cluster);
}

static void run(struct world *world)
{
    cluster_load(world->cluster);
    for (int i = 0; i < 20 && cluster_run(world->cluster) <= world->clock.now_ms; i++) {
    }
}

static void create_objects(struct world *world)
{
    json_t *body = json_pack("{ssss}", "name", "john", "subnet", "10.1.0.0/24");
    assert_int_equal(
        service_project_create(&world->service, body, &world->arena, &world->project, NULL), 0);
    json_decref(body);
    body = json_pack("{sss[{sssi}{sssi}]}", "name", "shop", "targets", "address", "10.1.0.11",
                     "port", 80, "address", "api.example.net", "port", 8080);
    assert_int_equal(service_target_group_create(&world->service, world->project, body,
                                                 &world->arena, &world->group, NULL),
                     0);
    json_decref(body);
    body = json_pack("{sss[{sssisI}]}", "name", "shop", "listeners", "protocol", "http", "port", 80,
                     "target_group_id", (json_int_t)world->group->id);
    assert_int_equal(service_load_balancer_create(&world->service, world->project, body,
                                                  &world->arena, &world->balancer, NULL),
                     0);
    json_decref(body);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    clock_fake_init(&world->clock, 1000000, 1800000000000);
    store_open_memory(NULL, &world->store);
    world->service = (struct service){
        .store = world->store, .clock = &world->clock.clock, .zone = "weir.internal"};
    prefix_parse(STR("10.90.0.0/16"), &world->service.front_subnet);
    prefix_parse(STR("10.100.0.0/14"), &world->service.project_pool);
    arena_init(&world->arena, 4096);
    create_objects(world);
    start(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    stop(world);
    store_close(world->store);
    arena_reset(&world->arena);
    free(world);
    return 0;
}

// Every unit that its document names is said to be in this state.
static void report(struct world *world, enum observed_unit_state unit_state, const char *error)
{
    struct cluster_node *node = cluster_find_node(world->cluster, "lab");
    struct observed_unit units[16] = {0};
    struct observed observed = {.node = "lab", .units = units};
    if (node != NULL && node->desired != NULL) {
        struct desired *desired;
        assert_int_equal(desired_parse(str_of(node->desired), &world->arena, &desired, NULL), 0);
        observed.generation = desired->generation;
        for (size_t i = 0; i < desired->unit_count; i++) {
            units[observed.unit_count++] = (struct observed_unit){.id = desired->units[i].id,
                                                                  .state = unit_state,
                                                                  .error = error,
                                                                  .pid = 100 + (uint32_t)i,
                                                                  .snapshot_error = ""};
        }
    }
    assert_int_equal(cluster_observe(world->cluster, &observed, NULL), 0);
    run(world);
}

static void make_serve(struct world *world)
{
    report(world, OBSERVED_UNIT_STARTING, "");
    report(world, OBSERVED_UNIT_STARTING, "");
    report(world, OBSERVED_UNIT_SERVING, "");
}

static struct load_balancer_status *status_of(struct world *world)
{
    struct load_balancer_status *status;
    assert_int_equal(cluster_status(world->cluster, world->balancer, &world->arena, &status), 0);
    return status;
}

static void a_load_balancer_waits_for_a_node_and_then_serves(void **state)
{
    struct world *world = *state;
    run(world);
    assert_int_equal(status_of(world)->state, LOAD_BALANCER_PROVISIONING);
    assert_non_null(strstr(world->log, "no_node"));
    make_serve(world);
    struct load_balancer_status *status = status_of(world);
    assert_int_equal(status->state, LOAD_BALANCER_ACTIVE);
    assert_int_equal(status->unit_count, 2);
    assert_int_equal(status->address_count, 2);
    assert_string_equal(status->url, "http://shop.john.weir.internal/");
    struct cluster_name *names;
    size_t count;
    assert_int_equal(cluster_names(world->cluster, &world->arena, &names, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(names[0].name, "shop.john");
    assert_int_equal(names[0].count, 2);
}

static void one_report_of_a_death_takes_it_out_of_dns_and_replaces_it(void **state)
{
    struct world *world = *state;
    make_serve(world);
    uint64_t dead = status_of(world)->units[0].id;
    struct observed_unit units[] = {
        {.id = dead, .state = OBSERVED_UNIT_FAILED, .error = "killed", .snapshot_error = ""},
        {.id = dead + 1,
         .state = OBSERVED_UNIT_SERVING,
         .error = "",
         .pid = 7,
         .snapshot_error = ""}};
    struct observed observed = {.node = "lab", .generation = 1, .units = units, .unit_count = 2};
    int published = world->published;
    assert_int_equal(cluster_observe(world->cluster, &observed, NULL), 0);
    run(world);
    assert_true(world->published > published);
    struct load_balancer_status *status = status_of(world);
    assert_int_equal(status->address_count, 1);
    assert_int_equal(status->state, LOAD_BALANCER_DEGRADED);
    assert_int_equal(status->unit_count, 3);
    assert_int_equal(status->units[0].state, UNIT_FAILED);
    assert_int_equal(status->units[2].replaces, dead);
    assert_non_null(strstr(world->log, "killed"));
    // The step events lie in the store already: they were committed with the decision.
    clock_fake_advance(&world->clock, CLUSTER_EVENTS_FLUSH_MS);
    run(world);
    struct event *events;
    size_t count, steps[6] = {0};
    struct service_event_filter filter = {.limit = 100};
    assert_int_equal(
        service_event_list(&world->service, &filter, &world->arena, &events, &count, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        steps[events[i].step]++;
    }
    assert_int_equal(steps[1], 1);
    assert_int_equal(steps[2], 1);
    assert_int_equal(steps[3], 1);
}

static void a_restart_changes_no_snapshot_and_no_address(void **state)
{
    struct world *world = *state;
    make_serve(world);
    struct cluster_node *node = cluster_find_node(world->cluster, "lab");
    struct desired *before, *after;
    assert_int_equal(desired_parse(str_of(node->desired), &world->arena, &before, NULL), 0);
    stop(world);
    start(world);
    assert_int_equal(status_of(world)->address_count, 2); // before anybody has reported
    run(world);
    node = cluster_find_node(world->cluster, "lab");
    assert_int_equal(desired_parse(str_of(node->desired), &world->arena, &after, NULL), 0);
    assert_true(after->generation >= before->generation);
    assert_int_equal(after->unit_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(after->units[i].snapshot, before->units[i].snapshot);
    }
}

static void a_silent_node_is_judged_after_a_whole_period_only(void **state)
{
    struct world *world = *state;
    make_serve(world);
    stop(world);
    start(world);
    for (int ms = 0; ms < 2900; ms += 100) {
        clock_fake_advance(&world->clock, 100);
        run(world);
    }
    assert_int_equal(status_of(world)->units[0].state, UNIT_SERVING);
    for (int ms = 0; ms < 300; ms += 100) {
        clock_fake_advance(&world->clock, 100);
        run(world);
    }
    assert_int_equal(status_of(world)->units[0].state, UNIT_FAILED);
    assert_int_equal(status_of(world)->address_count, 2); // fail open: the last known
}

static void a_name_that_resolves_anew_raises_the_snapshot(void **state)
{
    struct world *world = *state;
    make_serve(world);
    struct cluster_node *node = cluster_find_node(world->cluster, "lab");
    struct desired *desired;
    struct snapshot *first, *second;
    assert_int_equal(desired_parse(str_of(node->desired), &world->arena, &desired, NULL), 0);
    assert_int_equal(
        snapshot_parse(str_of(desired->units[0].snapshot), &world->arena, &first, NULL), 0);
    assert_int_equal(first->target_groups[0].target_count, 1); // the name has no address yet
    struct addr address;
    addr_parse_ip(STR("10.1.0.99"), &address);
    struct resolved resolved = {
        .host = "api.example.net", .addresses = &address, .address_count = 1, .error = ""};
    struct store_transaction transaction;
    char key[KEY_LEN];
    store_begin(&transaction, &world->arena);
    service_store_object(&transaction, key_of_name(key, KEY_RESOLVED, resolved.host),
                         &resolved_schema, &resolved);
    assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), 0);
    run(world);
    assert_int_equal(desired_parse(str_of(node->desired), &world->arena, &desired, NULL), 0);
    assert_int_equal(
        snapshot_parse(str_of(desired->units[0].snapshot), &world->arena, &second, NULL), 0);
    assert_int_equal(second->target_groups[0].target_count, 2);
    assert_true(second->version > first->version);
}

static void deleting_takes_units_then_the_record(void **state)
{
    struct world *world = *state;
    make_serve(world);
    assert_int_equal(service_load_balancer_delete(&world->service, world->project, "shop", 0, NULL),
                     0);
    run(world);
    assert_int_equal(status_of(world)->address_count, 0);
    report(world, OBSERVED_UNIT_STOPPED, ""); // drained
    report(world, OBSERVED_UNIT_STOPPED, ""); // its document has no units now
    assert_int_equal(world->cluster->units.count, 0);
    assert_int_equal(world->cluster->balancers.count, 0);
    assert_int_equal(service_project_delete(&world->service, "john", 0, NULL), 0);
    run(world);
    assert_int_equal(world->cluster->projects.count, 0);
    struct cluster_node *node = cluster_find_node(world->cluster, "lab");
    assert_non_null(strstr(node->desired, "\"networks\":[]"));
}

static void old_events_are_pruned(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < CLUSTER_EVENTS_KEPT + 2 * CLUSTER_EVENTS_PRUNE; i++) {
        cluster_event(world->cluster,
                      &(struct event){.kind = "k", .object = "o", .what = "w", .why = ""});
        if (i % 100 == 99) {
            world->log[0] = '\0';
            cluster_events_flush(world->cluster, world->clock.now_ms);
        }
    }
    struct store_entries entries;
    struct store_range range = {.prefix = KEY_EVENTS};
    assert_int_equal(store_list(world->store, &range, &world->arena, &entries, NULL), 0);
    assert_in_range(entries.count, CLUSTER_EVENTS_KEPT, CLUSTER_EVENTS_KEPT + CLUSTER_EVENTS_PRUNE);
}

static void a_report_with_a_hostile_name_is_refused(void **state)
{
    struct world *world = *state;
    const char *const names[] = {"", ".", "../x", "a/b", "a b", "a\"b", "a\nb"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct observed observed = {.node = names[i]};
        assert_int_equal(cluster_observe(world->cluster, &observed, NULL), -EINVAL);
    }
    assert_int_equal(world->cluster->node_count, 0);
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_load_balancer_waits_for_a_node_and_then_serves),
        CLUSTER_TEST(one_report_of_a_death_takes_it_out_of_dns_and_replaces_it),
        CLUSTER_TEST(a_restart_changes_no_snapshot_and_no_address),
        CLUSTER_TEST(a_silent_node_is_judged_after_a_whole_period_only),
        CLUSTER_TEST(a_name_that_resolves_anew_raises_the_snapshot),
        CLUSTER_TEST(deleting_takes_units_then_the_record),
        CLUSTER_TEST(old_events_are_pruned),
        CLUSTER_TEST(a_report_with_a_hostile_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
