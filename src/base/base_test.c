// SPDX-License-Identifier: Apache-2.0
// The small ones: str, arena, list, clock, err, log.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/test.h"

static void numbers_are_digits_within_their_range(void **state)
{
    uint64_t value = 7;
    assert_int_equal(str_to_u64(STR("0018446744073709551615"), UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    static const char *const wrong[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1.0"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(str_to_u64(str_of(wrong[i]), 10, &value), -EINVAL);
    }
    assert_int_equal(str_to_u64(STR("11"), 10, &value), -ERANGE);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &value), -ERANGE);
    assert_true(value == UINT64_MAX);
    assert_true(str_equal_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_equal_nocase(STR("@"), STR("`")));
    assert_true(str_equal((struct str){NULL, 0}, STR("")));
}

static void arena_gives_zeroed_aligned_memory_and_checks_overflow(void **state)
{
    struct arena arena;
    arena_init(&arena, 256);
    for (size_t size = 0; size < 600; size += 7) {
        unsigned char *bytes = arena_alloc(&arena, size);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 16, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(bytes[i], 0);
            bytes[i] = 0xff;
        }
    }
    assert_null(arena_array(&arena, uint64_t, SIZE_MAX / 4));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    struct str copy = arena_copy(&arena, STR("kept"));
    assert_string_equal(copy.at, "kept");
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 1));
    arena_reset(&arena);
}

static void lists_keep_their_order(void **state)
{
    struct list a, b, links[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        list_append(i < 2 ? &a : &b, &links[i]);
    }
    list_move_all(&b, &a);
    list_move_all(&b, &a);
    assert_true(list_empty(&b));
    int at = 0;
    LIST_FOREACH (&a, link) {
        assert_ptr_equal(link, &links[at]);
        list_remove(link);
        at++;
    }
    assert_int_equal(at, 4);
    assert_true(list_empty(&a));
    list_remove(&links[0]); // unlinked already: nothing happens
}

static void times_print_in_utc(void **state)
{
    char buffer[TIMESTAMP_LEN];
    assert_string_equal(timestamp_format(1795464000123, buffer), "2026-11-23T20:00:00.123Z");
    struct clock_fake fake;
    clock_fake_init(&fake, 1000, 5000);
    clock_fake_advance(&fake, 250);
    assert_int_equal(clock_now_ms(&fake.clock), 1250);
    assert_int_equal(fake.clock.wall_ms(&fake.clock), 5250);
}

static void chance_repeats_by_seed_and_stays_below_its_bound(void **state)
{
    struct random_state a, b;
    random_seed(&a, 42);
    random_seed(&b, 42);
    unsigned seen[10] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_below(&a, 10);
        assert_true(value < 10 && value == random_below(&b, 10));
        seen[value]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(seen[i], 850, 1150);
    }
}

static void first_error_is_kept(void **state)
{
    struct error error = {0};
    assert_int_equal(error_set_field(&error, -EINVAL, "out_of_range", "port", "%d is too much", 70),
                     -EINVAL);
    assert_int_equal(error_set(&error, -EIO, "later"), -EIO);
    assert_int_equal(error.code, -EINVAL);
    assert_string_equal(error.reason, "out_of_range");
    assert_string_equal(error.field, "port");
    assert_string_equal(error.text, "70 is too much");
    assert_int_equal(error_set(NULL, -EIO, "nobody asks"), -EIO);
}

static void log_lines_cannot_be_forged_or_endless(void **state)
{
    int pair[2], kept = dup(STDERR_FILENO);
    static char much[5000];
    memset(much, '\n', sizeof(much) - 1);
    assert_int_equal(pipe(pair), 0);
    dup2(pair[1], STDERR_FILENO);
    log_open("weir-test", LOG_LEVEL_INFO);
    log_debug("not shown");
    log_info("name %s end", "x\n\x1b[2J\x80");
    log_error("%s", much);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(pair[1]);
    static char seen[20000];
    size_t len = 0;
    ssize_t count;
    while ((count = read(pair[0], seen + len, sizeof(seen) - 1 - len)) > 0) {
        len += (size_t)count;
    }
    close(pair[0]);
    char *second = strchr(seen, '\n') + 1;
    assert_non_null(strstr(seen, " info weir-test: name x\\x0a\\x1b[2J\\x80 end\n"));
    assert_ptr_equal(strchr(second, '\n'), seen + len - 1);
    assert_true(len < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_within_their_range),
        cmocka_unit_test(arena_gives_zeroed_aligned_memory_and_checks_overflow),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(times_print_in_utc),
        cmocka_unit_test(chance_repeats_by_seed_and_stays_below_its_bound),
        cmocka_unit_test(first_error_is_kept),
        cmocka_unit_test(log_lines_cannot_be_forged_or_endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
