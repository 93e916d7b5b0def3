// SPDX-License-Identifier: Apache-2.0
#include "event/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"

static struct loop *loop;
static struct child child;
static int ended, status_seen;
static char out_seen[128], err_seen[128];
static size_t out_len;

static int set_up(void **state)
{
    ended = 0;
    memset(&child, 0, sizeof(child));
    return loop_new(NULL, &loop);
}

static int tear_down(void **state)
{
    loop = loop_free(loop);
    return 0;
}

static void done(struct child *from, int status)
{
    ended++;
    status_seen = status;
    out_len = from->out_len;
    snprintf(out_seen, sizeof(out_seen), "%s", from->out);
    snprintf(err_seen, sizeof(err_seen), "%s", from->err);
}

static void run(const char *script, struct str input)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    assert_int_equal(child_start(&child, loop, argv, input, done), 0);
    while (ended == 0) {
        assert_int_equal(loop_turn(loop, 5000), 0);
    }
}

static void output_status_and_input_pass(void **state)
{
    run("cat; echo bad >&2; exit 3", STR("to be printed"));
    assert_string_equal(out_seen, "to be printed");
    assert_string_equal(err_seen, "bad\n");
    assert_int_equal(WEXITSTATUS(status_seen), 3);
}

static void too_much_output_is_dropped_and_never_blocks(void **state)
{
    run("head -c 3000000 /dev/zero", (struct str){0});
    assert_int_equal(out_len, 64 * 1024);
}

static void input_that_is_not_read_does_no_harm(void **state)
{
    static char much[1 << 20];
    run("exit 0", (struct str){much, sizeof(much)});
    assert_int_equal(status_seen, 0);
}

static void much_input_arrives_whole(void **state)
{
    static char much[1 << 20];
    run("wc -c", (struct str){much, sizeof(much)});
    assert_int_equal(atoi(out_seen), 1 << 20);
}

static void end_comes_though_a_grandchild_holds_the_pipes(void **state)
{
    uint64_t before = monotonic_ns();
    run("sleep 20 & echo $!", (struct str){0});
    assert_true(monotonic_ns() - before < 10000000000u);
    kill((pid_t)atoi(out_seen), SIGKILL);
}

static void unknown_program_fails_at_once(void **state)
{
    const char *argv[] = {"weir-no-such-program", NULL};
    assert_int_equal(child_start(&child, loop, argv, (struct str){0}, done), -ENOENT);
    child_cancel(&child);
}

static void cancel_kills_the_group_and_is_silent(void **state)
{
    const char *argv[] = {"sh", "-c", "sleep 1000 & wait", NULL};
    assert_int_equal(child_start(&child, loop, argv, (struct str){0}, done), 0);
    pid_t pid = child.pid;
    child_cancel(&child);
    child_cancel(&child);
    while (kill(pid, 0) == 0) { // until it is reaped
        assert_int_equal(loop_turn(loop, 10), 0);
    }
    assert_int_equal(ended, 0);
}

static void signals_are_at_their_defaults_in_the_child(void **state)
{
    // The low 28: libc keeps two of the real-time ones for itself.
    run("grep -E '^Sig(Ign|Blk)' /proc/self/status | grep -oE '.{7}$'", (struct str){0});
    assert_string_equal(out_seen, "0000000\n0000000\n");
}

static void process_gone(struct process_watch *process)
{
    ended++;
}

static void daemon_is_watched_and_killed_by_pid_and_start_time(void **state)
{
    const char *argv[] = {"sleep", "1000", NULL};
    char log_path[64];
    snprintf(log_path, sizeof(log_path), "/tmp/weir-child-test-%d.log", getpid());
    pid_t pid;
    uint64_t start_time;
    struct process_watch process = {0};
    assert_int_equal(daemon_start(argv, log_path, &pid), 0);
    assert_int_equal(process_start_time(pid, &start_time), 0);
    assert_int_equal(process_watch_open(&process, loop, pid, start_time + 1, process_gone), -ESRCH);
    assert_int_equal(process_watch_open(&process, loop, pid, start_time, process_gone), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(ended, 0);
    assert_int_equal(process_watch_kill(&process, SIGKILL), 0);
    while (ended == 0) {
        assert_int_equal(loop_turn(loop, 5000), 0);
    }
    assert_int_equal(process_watch_kill(&process, SIGKILL), -ESRCH);
    unlink(log_path);
}

static void daemon_that_cannot_start_says_why(void **state)
{
    const char *argv[] = {"/weir/no/such/program", NULL};
    pid_t pid = 0;
    assert_int_equal(daemon_start(argv, "/dev/null", &pid), -ENOENT);
    assert_int_equal(daemon_start(argv, "/weir/no/such/log", &pid), -ENOENT);
    assert_int_equal(pid, 0);
}

static void signal_received(struct signal_watch *signals, int number)
{
    ended = number;
    signal_watch_close(signals);
}

static void signals_arrive_on_the_loop(void **state)
{
    struct signal_watch signals = {0};
    static const int numbers[] = {SIGUSR1, SIGUSR2};
    assert_int_equal(signal_watch_open(&signals, loop, numbers, 2, signal_received), 0);
    kill(getpid(), SIGUSR2);
    while (ended == 0) {
        assert_int_equal(loop_turn(loop, 5000), 0);
    }
    assert_int_equal(ended, SIGUSR2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(output_status_and_input_pass),
        TEST(too_much_output_is_dropped_and_never_blocks),
        TEST(input_that_is_not_read_does_no_harm),
        TEST(much_input_arrives_whole),
        TEST(end_comes_though_a_grandchild_holds_the_pipes),
        TEST(unknown_program_fails_at_once),
        TEST(cancel_kills_the_group_and_is_silent),
        TEST(signals_are_at_their_defaults_in_the_child),
        TEST(daemon_is_watched_and_killed_by_pid_and_start_time),
        TEST(daemon_that_cannot_start_says_why),
        TEST(signals_arrive_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
