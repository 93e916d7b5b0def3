// SPDX-License-Identifier: Apache-2.0
#include "event/timer.h"

#include "event/engine.h"

static const uint64_t last_ms = ((uint64_t)1 << (WHEEL_LEVELS * WHEEL_BITS)) - 1;

void wheel_init(struct wheel *wheel, uint64_t now)
{
    wheel->now = now;
    list_init(&wheel->due);
    list_init(&wheel->firing);
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        wheel->in_use[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++) {
            list_init(&wheel->slots[level][slot]);
        }
    }
}

static void wheel_insert(struct wheel *wheel, struct timer *timer)
{
    if (timer->due_ms <= wheel->now) {
        list_append(&wheel->due, &timer->link);
        return;
    }
    unsigned high_bit = 63u - (unsigned)__builtin_clzll(timer->due_ms ^ wheel->now);
    unsigned level = high_bit / WHEEL_BITS;
    unsigned slot = (unsigned)(timer->due_ms >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
    wheel->in_use[level] |= (uint64_t)1 << slot;
    list_append(&wheel->slots[level][slot], &timer->link);
}

// The first slot that holds a timer, and when it begins. False when none does.
static bool wheel_first(struct wheel *wheel, unsigned *ret_level, unsigned *ret_slot,
                        uint64_t *ret_begin)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        while (wheel->in_use[level] != 0) {
            unsigned slot = (unsigned)__builtin_ctzll(wheel->in_use[level]);
            if (list_empty(&wheel->slots[level][slot])) {
                wheel->in_use[level] &= wheel->in_use[level] - 1;
                continue;
            }
            uint64_t digits_above = wheel->now >> ((level + 1) * WHEEL_BITS) << WHEEL_BITS;
            *ret_begin = (digits_above | slot) << (level * WHEEL_BITS);
            *ret_level = level;
            *ret_slot = slot;
            return true;
        }
    }
    return false;
}

uint64_t wheel_next(struct wheel *wheel)
{
    if (!list_empty(&wheel->due)) {
        return 0;
    }
    unsigned level, slot;
    uint64_t begin;
    return wheel_first(wheel, &level, &slot, &begin) ? begin : UINT64_MAX;
}

void wheel_run(struct wheel *wheel, uint64_t now)
{
    unsigned level, slot;
    uint64_t begin;
    if (now <= wheel->now && list_empty(&wheel->due)) {
        return;
    }
    while (wheel_first(wheel, &level, &slot, &begin) && begin <= now) {
        // Timers of the slot that are due at its begin go to `due`, the others a level down.
        wheel->now = begin;
        wheel->in_use[level] &= ~((uint64_t)1 << slot);
        struct list *head = &wheel->slots[level][slot];
        while (!list_empty(head)) {
            struct timer *timer = CONTAINER_OF(head->next, struct timer, link);
            list_remove(&timer->link);
            wheel_insert(wheel, timer);
        }
    }
    if (now > wheel->now) {
        wheel->now = now;
    }
    // Only those due so far: one that its callback sets to 0 ms fires in the next turn.
    list_move_all(&wheel->due, &wheel->firing);
    while (!list_empty(&wheel->firing)) {
        struct timer *timer = CONTAINER_OF(wheel->firing.next, struct timer, link);
        list_remove(&timer->link);
        timer->due_ms = 0;
        timer->fired(timer);
    }
}

void timer_init(struct timer *timer, void (*fired)(struct timer *))
{
    list_init(&timer->link);
    timer->due_ms = 0;
    timer->fired = fired;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t after_ms)
{
    list_remove(&timer->link);
    timer->due_ms = after_ms > last_ms - loop->now_ms ? last_ms : loop->now_ms + after_ms;
    wheel_insert(&loop->wheel, timer);
}

void timer_cancel(struct timer *timer)
{
    list_remove(&timer->link);
    timer->due_ms = 0;
}
