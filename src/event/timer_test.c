// SPDX-License-Identifier: Apache-2.0
#include "event/timer.h"

#include "base/clock.h"
#include "base/test.h"

struct probe {
    struct timer timer;
    uint64_t expected; // 0: must not fire
    unsigned fired;
};

static struct clock_fake fake;
static struct loop *loop;
static unsigned fired_total;

static int set_up(void **state)
{
    clock_fake_init(&fake, 1000003, 0);
    fired_total = 0;
    struct loop_options options = {.clock = &fake.clock};
    return loop_new(&options, &loop);
}

static int tear_down(void **state)
{
    loop = loop_free(loop);
    return 0;
}

static void turn_at(uint64_t now_ms)
{
    fake.now_ms = now_ms;
    assert_int_equal(loop_turn(loop, 0), 0);
}

static void probe_fired(struct timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);
    assert_int_equal(probe->expected, loop_now_ms(loop));
    assert_false(timer_is_set(timer));
    probe->expected = 0;
    probe->fired++;
    fired_total++;
}

static void fires_at_its_millisecond_not_before(void **state)
{
    static const uint64_t spans[] = {1, 2, 63, 64, 65, 4095, 4096, 100000, 86400000, 31536000000};
    struct probe probe = {0};
    timer_init(&probe.timer, probe_fired);
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        turn_at(fake.now_ms);
        uint64_t due = fake.now_ms + spans[i];
        timer_set(loop, &probe.timer, spans[i]);
        turn_at(due - 1);
        assert_int_equal(probe.fired, i);
        probe.expected = due;
        turn_at(due);
        assert_int_equal(probe.fired, i + 1);
    }
}

static struct timer again;
static unsigned again_count;
static void fire_again(struct timer *timer)
{
    again_count++;
    timer_set(loop, timer, 0);
}

static void zero_from_its_own_callback_waits_for_the_next_turn(void **state)
{
    again_count = 0;
    timer_init(&again, fire_again);
    timer_set(loop, &again, 0);
    turn_at(fake.now_ms);
    assert_int_equal(again_count, 1);
    turn_at(fake.now_ms);
    assert_int_equal(again_count, 2);
    timer_cancel(&again);
    turn_at(fake.now_ms + 5);
    assert_int_equal(again_count, 2);
}

static struct timer pair[2];
static unsigned pair_count;
static void cancel_the_other(struct timer *timer)
{
    pair_count++;
    timer_cancel(&pair[timer == &pair[0]]);
}

static void one_cancelled_by_another_of_the_same_millisecond_does_not_fire(void **state)
{
    pair_count = 0;
    for (int i = 0; i < 2; i++) {
        timer_init(&pair[i], cancel_the_other);
        timer_set(loop, &pair[i], 7);
    }
    turn_at(fake.now_ms + 7);
    assert_int_equal(pair_count, 1);
}

static void never_is_far_but_valid(void **state)
{
    struct probe probe = {0};
    timer_init(&probe.timer, probe_fired);
    timer_set(loop, &probe.timer, UINT64_MAX);
    turn_at(fake.now_ms + 31536000000u);
    assert_true(timer_is_set(&probe.timer));
    timer_cancel(&probe.timer);
}

// Many timers set, moved and cancelled at random while time jumps: each must fire in the first turn
// at or after its time, and in no other.
static void random_timers_fire_exactly_when_due(void **state)
{
    enum { COUNT = 300 };
    static struct probe probes[COUNT];
    struct random_state random;
    random_seed(&random, 4);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = (struct probe){0};
        timer_init(&probes[i].timer, probe_fired);
    }
    for (int round = 0; round < 20000; round++) {
        struct probe *probe = &probes[random_below(&random, COUNT)];
        if (random_below(&random, 8) == 0) {
            timer_cancel(&probe->timer);
        } else {
            timer_set(loop, &probe->timer, random_below(&random, (uint64_t)1 << (round % 24)));
        }
        uint64_t next = fake.now_ms + random_below(&random, (uint64_t)1 << (round % 12));
        unsigned due = 0, before = fired_total;
        for (int i = 0; i < COUNT; i++) {
            bool fires = timer_is_set(&probes[i].timer) && probes[i].timer.due_ms <= next;
            probes[i].expected = fires ? next : 0;
            due += fires;
        }
        turn_at(next);
        assert_int_equal(fired_total - before, due);
    }
    for (int i = 0; i < COUNT; i++) {
        timer_cancel(&probes[i].timer);
    }
}

static unsigned real_count;
static void count_real(struct timer *timer)
{
    real_count++;
}

static void real_time_waits_no_shorter_than_asked(void **state)
{
    struct loop *real;
    assert_int_equal(loop_new(NULL, &real), 0);
    struct timer timer;
    timer_init(&timer, count_real);
    real_count = 0;
    uint64_t before = monotonic_ns();
    timer_set(real, &timer, 20);
    while (real_count == 0) {
        assert_int_equal(loop_turn(real, -1), 0);
    }
    assert_true(monotonic_ns() - before >= 19000000u);
    loop_free(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fires_at_its_millisecond_not_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zero_from_its_own_callback_waits_for_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            one_cancelled_by_another_of_the_same_millisecond_does_not_fire, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_is_far_but_valid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_timers_fire_exactly_when_due, set_up, tear_down),
        cmocka_unit_test(real_time_waits_no_shorter_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
