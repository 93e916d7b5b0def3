// SPDX-License-Identifier: Apache-2.0
// The plan by tables: what is desired, what is, and the actions that must come out, one letter
// each:
//   F front  f (removed)   O outside  o   N network  n   U unit's network  u
//   S start  s stop   P push   D drain
// followed by the object's id, in any order within a plan.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/names.h"
#include "agent/plan.h"

static struct addr ip(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(str_of(text), &addr), 0);
    return addr;
}

static struct prefix subnet(const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(str_of(text), &prefix), 0);
    return prefix;
}

// Project 1 with units 11 and 12, all ready; tests change what they are about.
struct world {
    struct desired desired;
    struct desired_network networks[2];
    struct desired_unit units[2];
    struct actual actual;
    struct actual_network actual_networks[3];
    struct actual_unit actual_units[3];
    struct prefix routes[3];
    bool outside;
    uint64_t now_ms;
    struct arena arena;
    struct plan plan;
};

static void world_init(struct world *world)
{
    *world = (struct world){.now_ms = 1000};
    arena_init(&world->arena, 4096);
    world->networks[0] = (struct desired_network){1, "john", subnet("10.1.0.0/24"), ip("10.1.0.1")};
    world->networks[1] = (struct desired_network){2, "jane", subnet("10.2.0.0/24"), ip("10.2.0.1")};
    for (unsigned i = 0; i < 2; i++) {
        world->units[i] = (struct desired_unit){
            .id = 11 + i,
            .project_id = 1,
            .front = ip(i == 0 ? "10.90.0.16" : "10.90.0.17"),
            .back = ip(i == 0 ? "10.1.0.254" : "10.1.0.253"),
            .snapshot = "{}",
            .snapshot_version = 5,
        };
        world->actual_units[i] = (struct actual_unit){
            .id = 11 + i,
            .network = PRESENCE_READY,
            .project_id = 1,
            .front = world->units[i].front,
            .back = world->units[i].back,
            .process = UNIT_PROCESS_RUNNING,
            .control_open = true,
            .snapshot_version = 5,
            .serving_version = 5,
        };
    }
    world->actual_networks[0] =
        (struct actual_network){1, PRESENCE_READY, subnet("10.1.0.0/24"), ip("10.1.0.1")};
    world->desired = (struct desired){
        .node = "lab",
        .generation = 1,
        .front = {subnet("10.90.0.0/16"), ip("10.90.0.1")},
        .networks = world->networks,
        .network_count = 1,
        .units = world->units,
        .unit_count = 2,
    };
    world->actual = (struct actual){
        .networked = true,
        .front = {PRESENCE_READY, subnet("10.90.0.0/16"), ip("10.90.0.1")},
        .networks = world->actual_networks,
        .network_count = 1,
        .units = world->actual_units,
        .unit_count = 2,
        .routes = world->routes,
    };
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Plans and compares; both sides sorted.
static void expect_of(struct world *world, const struct desired *desired, const char *wanted)
{
    static const char letters[] = "FfOoNnUuSsPD";
    assert_int_equal(plan_make(desired, world->outside, &world->actual, world->now_ms,
                               &world->arena, &world->plan),
                     0);
    char words[16][24], *sorted[16], text[400] = "";
    assert_true(world->plan.action_count <= 16);
    for (size_t i = 0; i < world->plan.action_count; i++) {
        const struct action *action = &world->plan.actions[i];
        snprintf(words[i], sizeof(words[i]), action->id != 0 ? "%c%" PRIu64 : "%c",
                 letters[action->kind], action->id);
        sorted[i] = words[i];
    }
    qsort(sorted, world->plan.action_count, sizeof(*sorted), text_order);
    for (size_t i = 0; i < world->plan.action_count; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
                 sorted[i]);
    }
    assert_string_equal(text, wanted);
}

static void expect(struct world *world, const char *wanted)
{
    expect_of(world, &world->desired, wanted);
}

static void test_nothing_to_do_when_all_is_as_desired(void **state)
{
    struct world world;
    world_init(&world);
    expect(&world, "");
    assert_true(world.plan.settled);
    assert_int_equal(world.plan.wake_at_ms, 0);
    arena_reset(&world.arena);
}

// From an empty machine to serving units, step by step.
static void test_a_new_node_is_built_from_the_ground_up(void **state)
{
    struct world world;
    world_init(&world);
    world.actual.front = (struct actual_front){PRESENCE_NONE};
    world.actual.network_count = world.actual.unit_count = 0;
    expect(&world, "F N1"); // independent of each other; units wait for both
    assert_false(world.plan.settled);

    world.actual.front.busy = true;
    world.actual.network_count = 1;
    world.actual_networks[0].busy = true;
    expect(&world, "");
    assert_false(world.plan.settled);

    arena_reset(&world.arena);
    world_init(&world);
    world.actual.unit_count = 0;
    expect(&world, "U11 U12");

    world.actual.unit_count = 2;
    world.actual_units[0].process = UNIT_PROCESS_NONE;
    world.actual_units[1].network = PRESENCE_NONE;
    world.actual_units[1].process = UNIT_PROCESS_NONE;
    world.actual_units[1].busy = true;
    expect(&world, "S11"); // units do not wait for each other
    arena_reset(&world.arena);
}

static void test_a_unit_waits_until_its_ground_is_there(void **state)
{
    struct world world;
    world_init(&world);
    world.actual.unit_count = 0;
    world.actual_networks[0].busy = true;
    expect(&world, "");
    world.actual_networks[0].busy = false;
    world.actual.front.busy = true;
    expect(&world, "");
    world.actual.front.busy = false;
    world.actual_networks[0].presence = PRESENCE_BROKEN;
    expect(&world, "N1");
    arena_reset(&world.arena);
}

static void test_what_nobody_wants_goes_units_before_networks(void **state)
{
    struct world world;
    world_init(&world);
    world.desired.unit_count = 0;
    world.desired.network_count = 0;
    expect(&world, "s11 s12");
    world.actual_units[0].process = UNIT_PROCESS_NONE;
    world.actual_units[1].process = UNIT_PROCESS_LEFT;
    expect(&world, "s12 u11");
    world.actual_units[0].network = PRESENCE_NONE;
    world.actual_units[1].process = UNIT_PROCESS_NONE;
    world.actual_units[1].busy = true; // its removal is under way
    expect(&world, "");
    assert_false(world.plan.settled);
    world.actual_units[1].busy = false;
    world.actual_units[1].network = PRESENCE_NONE;
    expect(&world, "n1");
    world.actual_networks[0].presence = PRESENCE_NONE;
    expect(&world, "");
    assert_true(world.plan.settled);
    arena_reset(&world.arena);
}

static void test_nothing_desired_at_all_removes_the_front_bridge_last(void **state)
{
    struct world world;
    world_init(&world);
    world.actual.outside.presence = PRESENCE_READY;
    expect_of(&world, NULL, "o s11 s12");
    world.actual.outside.presence = PRESENCE_NONE;
    world.actual.unit_count = 0;
    expect_of(&world, NULL, "f n1");
    world.actual.network_count = 0;
    world.actual.front.presence = PRESENCE_NONE;
    expect_of(&world, NULL, "");
    assert_true(world.plan.settled);
    arena_reset(&world.arena);
}

static void test_a_new_snapshot_is_pushed_once_and_only_to_who_listens(void **state)
{
    struct world world;
    world_init(&world);
    world.units[0].snapshot_version = 6;
    world.units[1].snapshot_version = 6;
    world.actual_units[1].control_open = false;
    expect(&world, "P11");
    assert_false(world.plan.settled);
    world.actual_units[0].snapshot_version = 6;
    expect(&world, "");
    assert_false(world.plan.settled); // it has not said that it serves it
    world.actual_units[0].serving_version = 6;
    world.actual_units[1] = world.actual_units[0];
    world.actual_units[1].id = 12;
    world.actual_units[1].front = world.units[1].front;
    world.actual_units[1].back = world.units[1].back;
    expect(&world, "");
    assert_true(world.plan.settled);
    // A version that goes back is another snapshot too.
    world.units[0].snapshot_version = 4;
    expect(&world, "P11");
    arena_reset(&world.arena);
}

static void test_a_draining_unit_is_drained_then_never_started_again(void **state)
{
    struct world world;
    world_init(&world);
    world.units[0].draining = true;
    world.units[0].snapshot_version = 6; // a snapshot would only disturb
    expect(&world, "D11");
    world.actual_units[0].drain_sent = true;
    expect(&world, "");
    world.actual_units[0].process = UNIT_PROCESS_LEFT;
    expect(&world, "s11"); // takes its container away
    world.actual_units[0].process = UNIT_PROCESS_NONE;
    expect(&world, "");
    assert_true(world.plan.settled);
    world.desired.units = &world.units[1];
    world.desired.unit_count = 1;
    expect(&world, "u11");
    arena_reset(&world.arena);
}

static void test_a_unit_that_ended_is_started_again_at_its_time(void **state)
{
    struct world world;
    world_init(&world);
    world.actual_units[0].process = UNIT_PROCESS_LEFT;
    world.actual_units[0].control_open = false;
    world.actual_units[0].retry_at_ms = 2000;
    expect(&world, "");
    assert_int_equal(world.plan.wake_at_ms, 2000);
    assert_false(world.plan.settled);
    world.now_ms = 2000;
    expect(&world, "S11");
    arena_reset(&world.arena);
}

static void test_the_next_attempt_that_comes_first_wakes(void **state)
{
    struct world world;
    world_init(&world);
    world.desired.network_count = 2;
    world.actual_networks[1] = (struct actual_network){2, PRESENCE_BROKEN, .retry_at_ms = 1500};
    world.actual.network_count = 2;
    world.actual_units[1].process = UNIT_PROCESS_NONE;
    world.actual_units[1].retry_at_ms = 1200;
    expect(&world, "");
    assert_int_equal(world.plan.wake_at_ms, 1200);
    world.now_ms = 1300;
    expect(&world, "S12"); // the failed network holds up nobody else
    assert_int_equal(world.plan.wake_at_ms, 1500);
    arena_reset(&world.arena);
}

static void test_a_network_that_is_not_as_desired_is_made_again(void **state)
{
    static const struct {
        enum presence presence;
        const char *front;
        enum unit_process process;
        const char *wanted;
    } rows[] = {
        {PRESENCE_READY, "10.90.0.16", UNIT_PROCESS_RUNNING, ""},
        {PRESENCE_READY, "10.90.0.99", UNIT_PROCESS_RUNNING, "s11"},
        {PRESENCE_BROKEN, "10.90.0.16", UNIT_PROCESS_RUNNING, "s11"},
        {PRESENCE_BROKEN, "10.90.0.16", UNIT_PROCESS_NONE, "U11"},
        {PRESENCE_READY, "10.90.0.99", UNIT_PROCESS_LEFT, "U11"},
        {PRESENCE_NONE, "10.90.0.16", UNIT_PROCESS_NONE, "U11"},
        {PRESENCE_READY, "10.90.0.16", UNIT_PROCESS_LEFT, "S11"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world world;
        world_init(&world);
        world.actual_units[0].network = rows[i].presence;
        world.actual_units[0].front = ip(rows[i].front);
        world.actual_units[0].process = rows[i].process;
        expect(&world, rows[i].wanted);
        arena_reset(&world.arena);
    }
}

static void test_a_subnet_of_the_machines_own_is_refused(void **state)
{
    static const struct {
        const char *route;
        const char *refused; // a part of the text; NULL: not refused
        uint64_t project_id;
    } rows[] = {
        {"192.0.2.0/24", NULL, 0},         {"0.0.0.0/0", NULL, 0},
        {"10.2.0.0/16", "10.2.0.0/16", 2}, {"10.2.0.77/32", "10.2.0.77/32", 2},
        {"2001:db8::/32", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world world;
        world_init(&world);
        world.desired.network_count = 2;
        world.routes[0] = subnet(rows[i].route);
        world.actual.route_count = 1;
        expect(&world, rows[i].refused != NULL ? "" : "N2");
        assert_int_equal(world.plan.refusal_count, rows[i].refused != NULL);
        if (rows[i].refused != NULL) {
            assert_int_equal(world.plan.refusals[0].project_id, rows[i].project_id);
            assert_non_null(strstr(world.plan.refusals[0].text, rows[i].refused));
            assert_false(world.plan.settled);
        }
        arena_reset(&world.arena);
    }
    // What exists already goes on.
    struct world world;
    world_init(&world);
    world.routes[0] = subnet("10.1.0.0/16");
    world.actual.route_count = 1;
    expect(&world, "");
    assert_int_equal(world.plan.refusal_count, 0);
    // The front network.
    world.routes[0] = subnet("10.0.0.0/8");
    world.actual.front.presence = PRESENCE_NONE;
    world.actual.unit_count = 0;
    expect(&world, "");
    assert_int_equal(world.plan.refusals[0].project_id, 0);
    arena_reset(&world.arena);
}

static void test_a_project_inside_the_front_network_is_refused(void **state)
{
    struct world world;
    world_init(&world);
    world.desired.network_count = 2;
    world.networks[1].subnet = subnet("10.90.7.0/24");
    world.networks[1].gateway = ip("10.90.7.1");
    expect(&world, "");
    assert_int_equal(world.plan.refusal_count, 1);
    assert_non_null(strstr(world.plan.refusals[0].text, "front subnet"));
    arena_reset(&world.arena);
}

static void test_processes_need_no_networks(void **state)
{
    struct world world;
    world_init(&world);
    world.actual.networked = false;
    world.actual.front.presence = PRESENCE_NONE;
    world.actual.network_count = world.actual.unit_count = 0;
    world.routes[0] = subnet("10.0.0.0/8");
    world.actual.route_count = 1;
    world.outside = true;
    expect(&world, "S11 S12");
    assert_int_equal(world.plan.refusal_count, 0);
    arena_reset(&world.arena);
}

static void test_the_outside_is_opened_only_while_it_is_needed(void **state)
{
    static const struct {
        bool wanted;
        enum presence presence;
        const char *actions;
    } rows[] = {
        {false, PRESENCE_NONE, ""}, {true, PRESENCE_NONE, "O"},   {true, PRESENCE_BROKEN, "O"},
        {true, PRESENCE_READY, ""}, {false, PRESENCE_READY, "o"}, {false, PRESENCE_BROKEN, "o"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world world;
        world_init(&world);
        world.outside = rows[i].wanted;
        world.actual.outside.presence = rows[i].presence;
        expect(&world, rows[i].actions);
        arena_reset(&world.arena);
    }
}

static void test_delays_grow_to_half_a_minute(void **state)
{
    static const uint64_t retries[] = {200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    static const uint64_t restarts[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (unsigned i = 0; i < ARRAY_LEN(retries); i++) {
        assert_int_equal(plan_retry_delay_ms(i + 1), retries[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(restarts); i++) {
        assert_int_equal(plan_restart_delay_ms(i + 1), restarts[i]);
    }
    assert_int_equal(plan_retry_delay_ms(1000000), 30000);
}

static void test_names_of_one_instance_are_not_another_s(void **state)
{
    char name[NAME_LEN];
    uint64_t id;
    assert_string_equal(name_of("", NAME_PROJECT, 1, name), "weir-p1");
    assert_string_equal(name_of("lab", NAME_UNIT, 9, name), "weir-lab-u9");
    assert_string_equal(name_of("", NAME_FRONT, 9, name), "wf9");
    assert_string_equal(name_of("lab", NAME_BACK, 9, name), "wblab-9");
    assert_string_equal(name_of_bridge("", name), "weir0");
    assert_string_equal(name_of_bridge("lab", name), "weirlab");
    static const char *const instances[] = {"", "lab", "lab2", "p", "u", "wf"};
    for (size_t i = 0; i < ARRAY_LEN(instances); i++) {
        assert_true(instance_valid(instances[i]));
        for (size_t j = 0; j < ARRAY_LEN(instances); j++) {
            for (int kind = NAME_PROJECT; kind <= NAME_BACK; kind++) {
                name_of(instances[i], (enum name_kind)kind, 12, name);
                for (int other = NAME_PROJECT; other <= NAME_BACK; other++) {
                    bool same = i == j && kind == other;
                    assert_int_equal(name_read(instances[j], (enum name_kind)other, name, &id),
                                     same ? 0 : -EINVAL);
                }
            }
        }
    }
    static const char *const foreign[] = {"weir-u",
                                          "weir-u09",
                                          "weir-u1x",
                                          "weir-p1 ",
                                          "weir-u-1",
                                          "wf",
                                          "wf99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        for (int kind = NAME_PROJECT; kind <= NAME_BACK; kind++) {
            assert_int_equal(name_read("", (enum name_kind)kind, foreign[i], &id), -EINVAL);
        }
    }
    assert_false(instance_valid("Lab") || instance_valid("0") || instance_valid("toolong") ||
                 instance_valid("a-b") || instance_valid("u12") || instance_valid("p1"));
    assert_false(node_name_valid("") || node_name_valid("..") || node_name_valid("a/b"));
    assert_true(node_name_valid("node-1.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do_when_all_is_as_desired),
        cmocka_unit_test(test_a_new_node_is_built_from_the_ground_up),
        cmocka_unit_test(test_a_unit_waits_until_its_ground_is_there),
        cmocka_unit_test(test_what_nobody_wants_goes_units_before_networks),
        cmocka_unit_test(test_nothing_desired_at_all_removes_the_front_bridge_last),
        cmocka_unit_test(test_a_new_snapshot_is_pushed_once_and_only_to_who_listens),
        cmocka_unit_test(test_a_draining_unit_is_drained_then_never_started_again),
        cmocka_unit_test(test_a_unit_that_ended_is_started_again_at_its_time),
        cmocka_unit_test(test_the_next_attempt_that_comes_first_wakes),
        cmocka_unit_test(test_a_network_that_is_not_as_desired_is_made_again),
        cmocka_unit_test(test_a_subnet_of_the_machines_own_is_refused),
        cmocka_unit_test(test_a_project_inside_the_front_network_is_refused),
        cmocka_unit_test(test_processes_need_no_networks),
        cmocka_unit_test(test_the_outside_is_opened_only_while_it_is_needed),
        cmocka_unit_test(test_delays_grow_to_half_a_minute),
        cmocka_unit_test(test_names_of_one_instance_are_not_another_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
