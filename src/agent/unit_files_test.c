// SPDX-License-Identifier: Apache-2.0
// Files in a directory where an attacker may make others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/unit_files.h"

static char run_dir[64];

static int make(void **state)
{
    strcpy(run_dir, "/tmp/weir-unit-files-XXXXXX");
    char path[128];
    if (mkdtemp(run_dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/units", run_dir);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/logs", run_dir);
    return mkdir(path, 0700);
}

static int unmake(void **state)
{
    return directory_remove(run_dir);
}

static const char *path_of(const char *file)
{
    static char path[UNIT_PATH_LEN];
    assert_int_equal(unit_path(run_dir, 9, file, path), 0);
    return path;
}

static void test_a_start_begins_with_an_empty_directory(void **state)
{
    struct error error = {0};
    assert_int_equal(unit_directory_make(run_dir, 9, 0, &error), 0);
    assert_int_equal(mkdir(path_of("snapshot.json"), 0755), 0); // in the way
    assert_int_equal(mkfifo(path_of("starts"), 0600), 0);
    assert_true(unit_snapshot_write(run_dir, 9, 0, "{}", &error) < 0);
    assert_non_null(strstr(error.text, "snapshot.json"));
    assert_int_equal(unit_starts_read(run_dir, 9), 0); // and does not wait
    error = (struct error){0};
    assert_int_equal(unit_directory_make(run_dir, 9, 0, &error), 0);
    assert_int_equal(unit_snapshot_write(run_dir, 9, 0, "{\"version\":1}", &error), 0);
    char *text;
    size_t length;
    assert_int_equal(file_read(path_of("snapshot.json"), 100, &text, &length), 0);
    assert_string_equal(text, "{\"version\":1}");
    free(text);
    unit_starts_write(run_dir, 9, 3);
    assert_int_equal(unit_starts_read(run_dir, 9), 3);
}

static void test_a_link_is_replaced_not_followed(void **state)
{
    struct error error = {0};
    char victim[128], link[UNIT_PATH_LEN], *text;
    size_t length;
    snprintf(victim, sizeof(victim), "%s/victim", run_dir);
    assert_int_equal(file_write(victim, "precious", 0600, false), 0);
    assert_int_equal(unit_directory_make(run_dir, 9, 0, &error), 0);
    strcpy(link, path_of("snapshot.json"));
    assert_int_equal(symlink(victim, link), 0);
    assert_int_equal(unit_snapshot_write(run_dir, 9, 0, "{}", &error), 0);
    unit_log_path(run_dir, 9, link);
    unlink(link);
    assert_int_equal(symlink(victim, link), 0);
    assert_int_equal(unit_log_open(run_dir, 9), -ELOOP);
    assert_int_equal(file_read(victim, 100, &text, &length), 0);
    assert_string_equal(text, "precious");
    free(text);
    unlink(link);
}

static void test_removal_stays_inside(void **state)
{
    char outside[128], inside[UNIT_PATH_LEN];
    struct error error = {0};
    struct stat status;
    snprintf(outside, sizeof(outside), "%s/outside", run_dir);
    mkdir(outside, 0755);
    strcat(outside, "/file");
    assert_int_equal(file_write(outside, "x", 0600, false), 0);
    assert_int_equal(unit_directory_make(run_dir, 9, 0, &error), 0);
    snprintf(inside, sizeof(inside), "%s", path_of("link"));
    assert_int_equal(symlink("../../outside", inside), 0);
    mkdir(path_of("deep"), 0755);
    mkdir(path_of("deep/er"), 0755);
    unit_directory_remove(run_dir, 9);
    assert_int_equal(stat(path_of(""), &status), -1);
    assert_int_equal(stat(outside, &status), 0);
    assert_int_equal(directory_remove(path_of("")), 0); // gone already
}

static void test_a_file_is_written_whole_or_not_at_all(void **state)
{
    char path[128], *text;
    size_t length;
    snprintf(path, sizeof(path), "%s/desired.json", run_dir);
    assert_int_equal(file_write(path, "one", 0600, true), 0);
    assert_int_equal(file_write(path, "two", 0600, true), 0);
    assert_int_equal(file_read(path, 100, &text, &length), 0);
    assert_string_equal(text, "two");
    free(text);
    assert_int_equal(file_read(path, 2, &text, &length), -EFBIG);
    assert_int_equal(file_write("/no/such/place", "x", 0600, true), -ENOENT);
    assert_int_equal(file_read("/dev/null", 10, &text, &length), -EINVAL);
    // A write that was cut off left its half; the next is not disturbed.
    strcat(path, ".new");
    assert_int_equal(file_write(path, "half", 0600, false), 0);
    path[strlen(path) - 4] = '\0';
    assert_int_equal(file_write(path, "three", 0600, true), 0);
    assert_int_equal(file_read(path, 100, &text, &length), 0);
    assert_string_equal(text, "three");
    free(text);
}

static void test_the_log_s_last_line_is_fit_for_people(void **state)
{
    char last[64], path[UNIT_PATH_LEN];
    unit_log_last(run_dir, 8, last, sizeof(last));
    assert_string_equal(last, "");
    unit_log_path(run_dir, 8, path);
    assert_int_equal(file_write(path, "first\nbad \x1b[31m words\n\n", 0600, false), 0);
    unit_log_last(run_dir, 8, last, sizeof(last));
    assert_string_equal(last, "bad ?[31m words");
    // A long log is cut, a short one stays.
    unit_log_cut(run_dir, 8);
    struct stat status;
    stat(path, &status);
    assert_true(status.st_size > 0);
    assert_int_equal(truncate(path, 5 << 20), 0);
    unit_log_cut(run_dir, 8);
    stat(path, &status);
    assert_int_equal(status.st_size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_start_begins_with_an_empty_directory),
        cmocka_unit_test(test_a_link_is_replaced_not_followed),
        cmocka_unit_test(test_removal_stays_inside),
        cmocka_unit_test(test_a_file_is_written_whole_or_not_at_all),
        cmocka_unit_test(test_the_log_s_last_line_is_fit_for_people),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
