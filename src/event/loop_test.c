// SPDX-License-Identifier: Apache-2.0
#include "event/loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

static struct loop *loop;
static unsigned count;

static int set_up(void **state)
{
    count = 0;
    return loop_new(NULL, &loop);
}

static int tear_down(void **state)
{
    loop = loop_free(loop);
    return 0;
}

static void defer_again(struct task *task)
{
    count++;
    loop_defer(loop, task);
}

static void task_deferred_by_itself_runs_once_a_turn(void **state)
{
    struct task task;
    task_init(&task, defer_again);
    loop_defer(loop, &task);
    loop_defer(loop, &task);
    for (unsigned turn = 1; turn <= 3; turn++) {
        assert_int_equal(loop_turn(loop, -1), 0);
        assert_int_equal(count, turn);
    }
    task_cancel(&task);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(count, 3);
}

static void stop(struct task *task)
{
    loop_stop(loop);
}

static void stop_ends_run_and_run_may_be_called_again(void **state)
{
    struct task task;
    task_init(&task, stop);
    for (int i = 0; i < 2; i++) {
        loop_defer(loop, &task);
        assert_int_equal(loop_run(loop), 0);
    }
}

static struct watch watches[2];
static unsigned seen;

static void close_both(struct watch *watch, unsigned events)
{
    count++;
    watch_close(&watches[0]);
    watch_close(&watches[1]);
}

static void watch_closed_in_the_same_batch_is_silent(void **state)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(watch_open(&watches[i], loop, fds[i], WATCH_WRITE, close_both), 0);
    }
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(count, 1);
    close(fds[0]);
    close(fds[1]);
}

static void note(struct watch *watch, unsigned events)
{
    count++;
    seen = events;
}

static void watch_tells_only_what_it_was_asked_for(void **state)
{
    int fds[2];
    struct watch watch;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(watch_open(&watch, loop, fds[0], WATCH_READ, note), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(count, 0);
    assert_int_equal(watch_change(&watch, WATCH_READ | WATCH_WRITE), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(seen, WATCH_WRITE);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(seen, WATCH_READ | WATCH_WRITE);

    // A hang-up is told as what was asked for, and not at all when nothing was.
    close(fds[1]);
    assert_int_equal(watch_change(&watch, 0), 0);
    count = 0;
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(count, 0);
    assert_int_equal(watch_change(&watch, WATCH_READ), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(seen, WATCH_READ);
    watch_close(&watch);
    watch_close(&watch);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(task_deferred_by_itself_runs_once_a_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(stop_ends_run_and_run_may_be_called_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(watch_closed_in_the_same_batch_is_silent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(watch_tells_only_what_it_was_asked_for, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
