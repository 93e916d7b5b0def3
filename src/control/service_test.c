// SPDX-License-Identifier: Apache-2.0
// What users can do, over a store in memory: races, half-way failures, and what deletion frees. Bad
// input has its tables in api/api_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/json.h"
#include "control/keys.h"
#include "control/service.h"

struct world {
    struct loop *loop;
    struct store *store;
    struct clock_fake clock;
    struct service service;
    struct arena arena;
    const char *meanwhile; // a project that somebody else makes while an operation looks at routes
    size_t events;
};

// ── Memory that runs out: the allocator is the test's own where no sanitizer has one ─────────────

static size_t allocations_left = SIZE_MAX;

#if !defined(__SANITIZE_ADDRESS__)
enum { MEMORY_IS_OURS = true };

static bool takes_one(void)
{
    if (allocations_left == 0) {
        return false;
    }
    allocations_left -= allocations_left != SIZE_MAX;
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

void *malloc(size_t size)
{
    return takes_one() ? __libc_malloc(size) : NULL;
}

void *calloc(size_t count, size_t size)
{
    return takes_one() ? __libc_calloc(count, size) : NULL;
}

void *realloc(void *pointer, size_t size)
{
    return takes_one() ? __libc_realloc(pointer, size) : NULL;
}
#else
enum { MEMORY_IS_OURS = false };
#endif

// ── The world ────────────────────────────────────────────────────────────────────────────────

static json_t *json_of(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_doc_parse(str_of(text), SIZE_MAX, &json, NULL), 0);
    return json;
}

static int create_project(struct world *world, const char *text, struct project **ret_project,
                          struct error *error)
{
    struct project *project = NULL;
    json_t *json = json_of(text);
    int r = service_project_create(&world->service, json, &world->arena, &project, error);
    json_decref(json);
    if (ret_project != NULL) {
        *ret_project = project;
    }
    return r;
}

static bool find_route(void *owner, const struct prefix *subnet, struct prefix *ret_route,
                       const char **ret_node)
{
    struct world *world = owner;
    struct prefix route;
    if (world->meanwhile != NULL) {
        const char *text = world->meanwhile;
        world->meanwhile = NULL;
        assert_int_equal(create_project(world, text, NULL, NULL), 0);
    }
    prefix_parse(STR("10.100.0.0/23"), &route);
    if (!prefix_overlaps(&route, subnet)) {
        return false;
    }
    *ret_route = route;
    *ret_node = "lab";
    return true;
}

static void event_added(void *owner, const struct event *event)
{
    struct world *world = owner;
    world->events++;
    assert_true(event->id > 0);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_int_equal(loop_new(NULL, &world->loop), 0);
    assert_int_equal(store_open_memory(world->loop, &world->store), 0);
    clock_fake_init(&world->clock, 1000, 1700000000000);
    arena_init(&world->arena, 4096);
    world->service = (struct service){
        .store = world->store,
        .clock = &world->clock.clock,
        .zone = "weir.internal",
        .hooks = {.owner = world, .find_route = find_route, .event_added = event_added}};
    prefix_parse(STR("10.90.0.0/16"), &world->service.front_subnet);
    prefix_parse(STR("10.100.0.0/14"), &world->service.project_pool);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    store_close(world->store);
    loop_free(world->loop);
    arena_reset(&world->arena);
    free(world);
    return 0;
}

static int create_instance(struct world *world, const struct project *project, const char *text,
                           struct service_instance *ret_instance, struct error *error)
{
    json_t *json = json_of(text);
    struct request request = {0};
    int r = request_parse(json, &world->arena, &request, error);
    if (r == 0) {
        r = service_instance_create(&world->service, project, &request, &world->arena, ret_instance,
                                    error);
    }
    request_release(&request);
    json_decref(json);
    return r;
}

static const char shop[] = "{\"action\":\"create\",\"type\":\"instance\",\"project\":1,\"info\":"
                           "{\"name\":\"shop\",\"backend\":{\"entities\":[\"10.1.0.11\"]}}}";

// ── Tests ────────────────────────────────────────────────────────────────────────────────────

static void test_of_two_creates_of_one_name_exactly_one_wins(void **state)
{
    struct world *world = *state;
    struct error error = {0};
    world->meanwhile = "{\"name\":\"JOHN\"}";
    assert_int_equal(create_project(world, "{\"name\":\"john\"}", NULL, &error), -EEXIST);
    assert_string_equal(error.reason, "name_taken");
    struct project *projects;
    size_t count;
    assert_int_equal(service_project_list(&world->service, &world->arena, &projects, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_string_equal(projects[0].name, "JOHN");
    assert_int_equal(world->events, 1);
}

static void test_of_two_creates_of_one_subnet_exactly_one_wins(void **state)
{
    struct world *world = *state;
    struct error error = {0};
    world->meanwhile = "{\"name\":\"a\",\"subnet\":\"10.1.0.0/24\"}";
    assert_int_equal(
        create_project(world, "{\"name\":\"b\",\"subnet\":\"10.1.0.0/16\"}", NULL, &error),
        -EEXIST);
    assert_string_equal(error.reason, "subnet_overlaps");
    assert_non_null(strstr(error.text, "\"a\""));
}

static void test_two_that_name_no_subnet_get_different_ones_beside_routes(void **state)
{
    struct world *world = *state;
    struct project *project;
    char text[ADDR_TEXT_LEN];
    world->meanwhile = "{\"name\":\"a\"}";
    assert_int_equal(create_project(world, "{\"name\":\"b\"}", &project, NULL), 0);
    assert_string_equal(prefix_format(&project->subnet, text), "10.100.3.0/24");
    assert_int_equal(service_project_find(&world->service, "a", &world->arena, &project, NULL), 0);
    assert_string_equal(prefix_format(&project->subnet, text), "10.100.2.0/24");
}

static void test_ids_come_from_one_sequence(void **state)
{
    struct world *world = *state;
    struct project *project;
    struct service_instance instance;
    assert_int_equal(create_project(world, "{\"name\":\"a\"}", &project, NULL), 0);
    assert_int_equal(create_instance(world, project, shop, &instance, NULL), 0);
    assert_int_equal(project->id, 1);
    assert_int_equal(instance.group->id, 2);
    assert_int_equal(instance.balancer->id, 3);
    assert_int_equal(instance.balancer->listeners[0].id, 4);
    assert_int_equal(instance.balancer->listeners[0].target_group_id, 2);
}

static void test_deletion_frees_the_name_and_keeps_the_subnet_until_the_end(void **state)
{
    struct world *world = *state;
    struct project *project, *again;
    struct service_instance instance;
    struct error error = {0};
    assert_int_equal(
        create_project(world, "{\"name\":\"a\",\"subnet\":\"10.1.0.0/24\"}", &project, NULL), 0);
    assert_int_equal(create_instance(world, project, shop, &instance, NULL), 0);
    assert_int_equal(service_project_delete(&world->service, "a", 0, &error), -EBUSY);
    assert_int_equal(service_load_balancer_delete(&world->service, project, "shop", 0, NULL), 0);
    assert_int_equal(service_load_balancer_delete(&world->service, project, "3", 0, NULL), 0);
    assert_int_equal(service_project_delete(&world->service, "a", 0, NULL), 0);
    assert_int_equal(service_project_delete(&world->service, "1", 0, NULL), 0);
    assert_int_equal(create_project(world, "{\"name\":\"a\"}", &again, NULL), 0);
    assert_int_equal(
        create_project(world, "{\"name\":\"b\",\"subnet\":\"10.1.0.0/24\"}", NULL, NULL), -EEXIST);
    // The reconciler takes them away in order.
    assert_int_equal(service_project_forget(&world->service, project->id, NULL), -EBUSY);
    assert_int_equal(service_load_balancer_forget(&world->service, 3, NULL), 0);
    assert_int_equal(service_load_balancer_forget(&world->service, 3, NULL), 0);
    assert_int_equal(service_project_forget(&world->service, project->id, NULL), 0);
    assert_int_equal(service_project_forget(&world->service, project->id, NULL), 0);
    assert_int_equal(service_project_forget(&world->service, again->id, NULL), -EBUSY);
    assert_int_equal(
        create_project(world, "{\"name\":\"b\",\"subnet\":\"10.1.0.0/24\"}", NULL, NULL), 0);
    struct target_group *groups;
    size_t count;
    assert_int_equal(
        service_target_group_list(&world->service, NULL, &world->arena, &groups, &count, NULL), 0);
    assert_int_equal(count, 0);
}

static void test_a_damaged_document_is_named(void **state)
{
    struct world *world = *state;
    struct store_transaction transaction;
    struct project *projects;
    struct error error = {0};
    size_t count;
    store_begin(&transaction, &world->arena);
    store_put(&transaction, "projects/00000000000000000001", STR("{\"id\":"));
    assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), 0);
    assert_int_equal(
        service_project_list(&world->service, &world->arena, &projects, &count, &error), -EUCLEAN);
    assert_non_null(strstr(error.text, "projects/00000000000000000001"));
}

static void test_events_are_listed_by_filter(void **state)
{
    struct world *world = *state;
    struct arena *arena = &world->arena;
    for (uint64_t i = 1; i <= 1200; i++) {
        struct store_transaction transaction;
        struct event event = {
            .kind = "k", .object = "unit", .what = "", .why = "", .project_id = i % 10};
        store_begin(&transaction, arena);
        assert_int_equal(service_events_add(&world->service, &transaction, &event, 1, NULL), 0);
        assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), 0);
    }
    struct event *events;
    size_t count;
    struct service_event_filter filter = {.project_id = 7, .limit = 5, .newest = true};
    assert_int_equal(service_event_list(&world->service, &filter, arena, &events, &count, NULL), 0);
    assert_int_equal(count, 5);
    assert_int_equal(events[0].id, 1157);
    assert_int_equal(events[4].id, 1197);
    filter = (struct service_event_filter){.project_id = 7, .after = 1180, .limit = 5};
    assert_int_equal(service_event_list(&world->service, &filter, arena, &events, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(events[0].id, 1187);
    filter = (struct service_event_filter){.after = 1200};
    assert_int_equal(service_event_list(&world->service, &filter, arena, &events, &count, NULL), 0);
    assert_int_equal(count, 0);
}

static void test_running_out_of_memory_anywhere_changes_nothing(void **state)
{
    struct world *world = *state;
    struct project *project;
    assert_int_equal(create_project(world, "{\"name\":\"a\"}", &project, NULL), 0);
    json_t *json = json_of(shop);
    bool done = !MEMORY_IS_OURS;
    for (size_t n = 0; !done && n < 5000; n++) {
        struct arena arena;
        struct service_instance instance;
        struct error error = {0};
        struct request request = {0};
        uint64_t revision = store_revision(world->store);
        arena_init(&arena, 64);
        allocations_left = n;
        int r = request_parse(json, &arena, &request, &error);
        if (r == 0) {
            r = service_instance_create(&world->service, project, &request, &arena, &instance,
                                        &error);
        }
        done = allocations_left > 0;
        allocations_left = SIZE_MAX;
        if (r < 0) {
            // jansson takes a string it could not copy for a fault of the text; in the store that
            // reads as damage.
            assert_true(r == -ENOMEM || r == -EUCLEAN || r == -EAGAIN);
            // The last steps only make the answer: then it has happened, and whole.
            if (store_revision(world->store) == revision) {
                assert_int_equal(service_instance_find(&world->service, project, "shop", &arena,
                                                       &instance, NULL),
                                 -ENOENT);
            } else {
                done = true;
            }
        }
        request_release(&request);
        arena_reset(&arena);
    }
    json_decref(json);
    assert_true(done);
    struct service_instance instance;
    assert_int_equal(MEMORY_IS_OURS ? service_instance_find(&world->service, project, "shop",
                                                            &world->arena, &instance, NULL)
                                    : 0,
                     0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_of_two_creates_of_one_name_exactly_one_wins),
        TEST(test_of_two_creates_of_one_subnet_exactly_one_wins),
        TEST(test_two_that_name_no_subnet_get_different_ones_beside_routes),
        TEST(test_ids_come_from_one_sequence),
        TEST(test_deletion_frees_the_name_and_keeps_the_subnet_until_the_end),
        TEST(test_a_damaged_document_is_named),
        TEST(test_events_are_listed_by_filter),
        TEST(test_running_out_of_memory_anywhere_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
