// SPDX-License-Identifier: Apache-2.0
// What every engine must do: the same tests run over memory and SQLite.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

struct world {
    struct loop *loop;
    struct store *store;
    struct arena arena;
    char path[64];
    bool sqlite;
};

static void world_open(struct world *world)
{
    assert_int_equal(loop_new(NULL, &world->loop), 0);
    arena_init(&world->arena, 4096);
    if (world->sqlite) {
        snprintf(world->path, sizeof(world->path), "/tmp/weir-store-test-XXXXXX");
        int fd = mkstemp(world->path);
        assert_true(fd >= 0);
        close(fd);
        struct error error = {0};
        assert_int_equal(store_open_sqlite(world->path, world->loop, &world->store, &error), 0);
    } else {
        assert_int_equal(store_open_memory(world->loop, &world->store), 0);
    }
}

static int setup_memory(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world_open(world);
    *state = world;
    return 0;
}

static int setup_sqlite(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->sqlite = true;
    world_open(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    store_close(world->store);
    loop_free(world->loop);
    arena_reset(&world->arena);
    if (world->sqlite) {
        char name[80];
        unlink(world->path);
        snprintf(name, sizeof(name), "%s-wal", world->path);
        unlink(name);
    }
    free(world);
    return 0;
}

static int put(struct world *world, const char *key, const char *value)
{
    struct store_transaction transaction;
    store_begin(&transaction, &world->arena);
    store_put(&transaction, key, str_of(value));
    return store_commit(world->store, &transaction, NULL, NULL);
}

static struct store_entry get(struct world *world, const char *key)
{
    struct store_entry entry = {0};
    int r = store_get(world->store, key, &world->arena, &entry, NULL);
    assert_true(r == 0 || r == -ENOENT);
    return entry;
}

static void test_what_is_put_is_found_with_its_revision(void **state)
{
    struct world *world = *state;
    assert_int_equal(put(world, "a/1", "one"), 0);
    assert_int_equal(put(world, "a/2", "two"), 0);
    assert_int_equal(get(world, "a/1").revision, 1);
    assert_int_equal(get(world, "a/2").revision, 2);
    assert_string_equal(get(world, "a/1").value.at, "one");
    assert_int_equal(put(world, "a/1", "uno"), 0);
    assert_string_equal(get(world, "a/1").value.at, "uno");
    assert_int_equal(get(world, "a/1").revision, 3);
    assert_int_equal(store_revision(world->store), 3);
    assert_null(get(world, "a/3").key);
}

static void test_list_keeps_to_prefix_order_after_and_limit(void **state)
{
    struct world *world = *state;
    const char *keys[] = {"b/2", "a/9", "b/1", "b0", "b/3", "c/1"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_int_equal(put(world, keys[i], keys[i]), 0);
    }
    static const struct {
        struct store_range range;
        const char *expected;
    } rows[] = {
        {{"b/", NULL, 0, false}, "b/1 b/2 b/3 "},
        {{"b/", "b/1", 0, false}, "b/2 b/3 "},
        {{"b/", NULL, 2, false}, "b/1 b/2 "},
        {{"b/", NULL, 2, true}, "b/3 b/2 "},
        {{"b/", "b/3", 5, true}, "b/2 b/1 "},
        {{"d/", NULL, 0, false}, ""},
        {{"b/", "b/7", 0, false}, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_entries entries;
        char got[64] = "";
        assert_int_equal(store_list(world->store, &rows[i].range, &world->arena, &entries, NULL),
                         0);
        for (size_t k = 0; k < entries.count; k++) {
            strcat(strcat(got, entries.items[k].key), " ");
        }
        assert_string_equal(got, rows[i].expected);
    }
}

static void test_a_failed_expectation_changes_nothing(void **state)
{
    struct world *world = *state;
    assert_int_equal(put(world, "x", "1"), 0);
    struct store_transaction transaction;
    struct error error = {0};
    store_begin(&transaction, &world->arena);
    store_put(&transaction, "y", STR("2"));
    store_delete(&transaction, "x");
    store_expect(&transaction, "x", 7);
    assert_int_equal(store_commit(world->store, &transaction, NULL, &error), -EAGAIN);
    assert_string_equal(error.reason, "conflict");
    assert_null(get(world, "y").key);
    assert_string_equal(get(world, "x").value.at, "1");
    assert_int_equal(store_revision(world->store), 1);
    store_begin(&transaction, &world->arena);
    store_expect(&transaction, "x", 0);
    store_put(&transaction, "x", STR("3"));
    assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), -EAGAIN);
}

static void test_one_of_two_that_saw_the_same_wins(void **state)
{
    struct world *world = *state;
    struct store_transaction one, two;
    store_begin(&one, &world->arena);
    store_begin(&two, &world->arena);
    store_expect(&one, "name", 0);
    store_put(&one, "name", STR("one"));
    store_expect(&two, "name", 0);
    store_put(&two, "name", STR("two"));
    assert_int_equal(store_commit(world->store, &two, NULL, NULL), 0);
    assert_int_equal(store_commit(world->store, &one, NULL, NULL), -EAGAIN);
    assert_string_equal(get(world, "name").value.at, "two");
}

static void test_numbers_are_given_once(void **state)
{
    struct world *world = *state;
    uint64_t first = 0;
    struct store_transaction transaction;
    store_begin(&transaction, &world->arena);
    assert_int_equal(store_take_numbers(world->store, &transaction, "n", 3, &first, NULL), 0);
    assert_int_equal(first, 1);
    assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), 0);
    struct store_transaction other;
    uint64_t again = 0;
    store_begin(&transaction, &world->arena);
    store_begin(&other, &world->arena);
    assert_int_equal(store_take_numbers(world->store, &transaction, "n", 1, &first, NULL), 0);
    assert_int_equal(store_take_numbers(world->store, &other, "n", 1, &again, NULL), 0);
    assert_int_equal(first, 4);
    assert_int_equal(store_commit(world->store, &transaction, NULL, NULL), 0);
    assert_int_equal(store_commit(world->store, &other, NULL, NULL), -EAGAIN);
}

static void count_change(struct store_watch *watch)
{
    (*(int *)watch->owner)++;
}

static void test_a_watch_tells_once_a_turn_and_only_of_its_prefix(void **state)
{
    struct world *world = *state;
    int told = 0;
    struct store_watch watch = {.owner = &told};
    assert_int_equal(put(world, "p/0", "x"), 0);
    store_watch_open(&watch, world->store, "p/", store_revision(world->store), count_change);
    loop_turn(world->loop, 0);
    assert_int_equal(told, 0);
    put(world, "p/1", "x");
    put(world, "p/2", "x");
    put(world, "q/1", "x");
    assert_int_equal(told, 0);
    loop_turn(world->loop, 0);
    assert_int_equal(told, 1);
    put(world, "q/2", "x");
    loop_turn(world->loop, 0);
    assert_int_equal(told, 1);
    put(world, "p/1", "y");
    store_watch_close(&watch);
    loop_turn(world->loop, 0);
    assert_int_equal(told, 1);
    store_watch_open(&watch, world->store, "p/", 0, count_change);
    loop_turn(world->loop, 0);
    assert_int_equal(told, 2);
    store_watch_close(&watch);
}

#define BOTH(test)                                            \
    {#test " (memory)", test, setup_memory, teardown, NULL},  \
    {                                                         \
#test " (sqlite)", test, setup_sqlite, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_what_is_put_is_found_with_its_revision),
        BOTH(test_list_keeps_to_prefix_order_after_and_limit),
        BOTH(test_a_failed_expectation_changes_nothing),
        BOTH(test_one_of_two_that_saw_the_same_wins),
        BOTH(test_numbers_are_given_once),
        BOTH(test_a_watch_tells_once_a_turn_and_only_of_its_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
