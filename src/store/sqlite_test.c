// SPDX-License-Identifier: Apache-2.0
// What can go wrong with the file, and what survives kill -9.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

static char directory[64], path[96];

static int setup(void **state)
{
    snprintf(directory, sizeof(directory), "/tmp/weir-sqlite-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/weir.db", directory);
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(directory);
    return 0;
}

static int put_numbered(struct store *store, unsigned number, size_t size, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    char key[32], *value = malloc(size + 1);
    memset(value, 'v', size);
    snprintf(key, sizeof(key), "k/%08u", number);
    store_put(&transaction, key, (struct str){value, size});
    int r = store_commit(store, &transaction, NULL, error);
    free(value);
    arena_reset(&arena);
    return r;
}

static bool has_numbered(struct store *store, unsigned number)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct store_entry entry;
    char key[32];
    snprintf(key, sizeof(key), "k/%08u", number);
    int r = store_get(store, key, &arena, &entry, NULL);
    arena_reset(&arena);
    return r == 0;
}

static void expect_refusal(int code, const char *reason)
{
    struct store *store = NULL;
    struct error error = {0};
    assert_int_equal(store_open_sqlite(path, NULL, &store, &error), code);
    assert_string_equal(error.reason, reason);
    assert_non_null(strstr(error.text, path));
    assert_null(store);
}

static void fill(unsigned count)
{
    struct store *store;
    assert_int_equal(store_open_sqlite(path, NULL, &store, NULL), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(put_numbered(store, i, 500, NULL), 0);
    }
    store_close(store);
}

static void test_all_is_there_after_a_restart(void **state)
{
    fill(10);
    struct store *store;
    assert_int_equal(store_open_sqlite(path, NULL, &store, NULL), 0);
    assert_int_equal(store_revision(store), 10);
    assert_true(has_numbered(store, 9));
    store_close(store);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_a_file_that_is_no_database_is_refused(void **state)
{
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 500; i++) {
        fprintf(file, "this is not a database, line %d\n", i);
    }
    fclose(file);
    expect_refusal(-EUCLEAN, "storage_corrupt");
}

static void test_a_damaged_page_is_found_at_open(void **state)
{
    fill(200);
    int fd = open(path, O_RDWR);
    char noise[3000];
    memset(noise, 0x5a, sizeof(noise));
    assert_int_equal(pwrite(fd, noise, sizeof(noise), 5 * 4096 + 100), sizeof(noise));
    close(fd);
    expect_refusal(-EUCLEAN, "storage_corrupt");
}

static void test_a_cut_file_is_found_at_open(void **state)
{
    fill(200);
    assert_int_equal(truncate(path, 3 * 4096 + 17), 0);
    expect_refusal(-EUCLEAN, "storage_corrupt");
}

static void test_another_programs_database_is_left_alone(void **state)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_refusal(-EUCLEAN, "storage_foreign");
}

static void test_a_newer_schema_is_refused(void **state)
{
    fill(1);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_refusal(-ENOTSUP, "storage_newer");
}

static void test_two_controllers_never_share_a_file(void **state)
{
    struct store *store;
    assert_int_equal(store_open_sqlite(path, NULL, &store, NULL), 0);
    pid_t child = fork(); // POSIX locks tell processes apart, not threads
    if (child == 0) {
        struct store *other = NULL;
        struct error error = {0};
        int r = store_open_sqlite(path, NULL, &other, &error);
        _exit(r == -EBUSY && strcmp(error.reason, "storage_busy") == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(store);
}

static void test_a_directory_that_is_not_there_is_named(void **state)
{
    char before[96];
    snprintf(before, sizeof(before), "%s", path);
    snprintf(path, sizeof(path), "%s/none/weir.db", directory);
    expect_refusal(-ENOENT, "storage_unavailable");
    snprintf(path, sizeof(path), "%s", before);
}

// A full disk, by the limit of a file's size: the commit fails in words, what was acknowledged
// stays, and the store works again once there is room.
static void test_no_space_fails_the_commit_and_nothing_else(void **state)
{
    struct store *store;
    assert_int_equal(store_open_sqlite(path, NULL, &store, NULL), 0);
    assert_int_equal(put_numbered(store, 0, 500, NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small = {256 * 1024, 0};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct error error = {0};
    int r = 0;
    unsigned last = 0;
    while (r == 0 && last < 100) {
        r = put_numbered(store, last + 1, 50000, &error);
        last += r == 0;
    }
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(r == -ENOSPC || r == -EIO);
    assert_true(error.reason[0] != '\0');
    assert_int_equal(store_revision(store), last + 1);
    assert_true(has_numbered(store, last));
    assert_false(has_numbered(store, last + 1));
    assert_int_equal(put_numbered(store, last + 1, 50000, NULL), 0);
    store_close(store);
    assert_int_equal(store_open_sqlite(path, NULL, &store, NULL), 0);
    assert_int_equal(store_revision(store), last + 2);
    store_close(store);
}

// A child commits and tells each number that was acknowledged; it is killed at a random moment.
static void test_kill_9_loses_nothing_acknowledged(void **state)
{
    unsigned next = 0;
    for (unsigned round = 0; round < 6; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            struct store *store;
            if (store_open_sqlite(path, NULL, &store, NULL) < 0) {
                _exit(1);
            }
            for (unsigned i = next;; i++) {
                if (put_numbered(store, i, 300, NULL) < 0 ||
                    write(ends[1], &i, sizeof(i)) != sizeof(i)) {
                    _exit(1);
                }
            }
        }
        close(ends[1]);
        unsigned last = 0;
        for (unsigned told = 0; told < 5 + 17 * round; told++) {
            assert_int_equal(read(ends[0], &last, sizeof(last)), sizeof(last));
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(ends[0], &last, sizeof(last)) == sizeof(last)) {
        }
        close(ends[0]);
        struct store *store;
        struct error error = {0};
        assert_int_equal(store_open_sqlite(path, NULL, &store, &error), 0);
        for (unsigned i = 0; i <= last; i++) {
            assert_true(has_numbered(store, i));
        }
        // What the child committed without telling any more may be there too: whole.
        assert_true(store_revision(store) >= last + 1);
        next = (unsigned)store_revision(store);
        store_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_there_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_no_database_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_page_is_found_at_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cut_file_is_found_at_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_programs_database_is_left_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_newer_schema_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_controllers_never_share_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_that_is_not_there_is_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_no_space_fails_the_commit_and_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_kill_9_loses_nothing_acknowledged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
