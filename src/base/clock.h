// SPDX-License-Identifier: Apache-2.0
// Time and chance, injectable, so that a whole cluster can run in one process on a fake clock.
// Monotonic for decisions; wall clock only for stamps that a person reads.
#pragma once

#include <stdint.h>

struct clock {
    uint64_t (*monotonic_ms)(struct clock *clock);
    uint64_t (*wall_ms)(struct clock *clock); // since 1970-01-01 UTC
};

extern struct clock clock_system;

// For tests: time moves only when told to.
struct clock_fake {
    struct clock clock;
    uint64_t now_ms, wall_offset_ms;
};
void clock_fake_init(struct clock_fake *fake, uint64_t now_ms, uint64_t wall_ms);
void clock_fake_advance(struct clock_fake *fake, uint64_t ms);

static inline uint64_t clock_now_ms(struct clock *clock)
{
    return clock->monotonic_ms(clock);
}

uint64_t monotonic_ns(void);
// "2026-11-23T20:00:00.123Z"
enum { TIMESTAMP_LEN = 25 };
const char *timestamp_format(uint64_t wall_ms, char buffer[static TIMESTAMP_LEN]);

// xoshiro256**; for spreading load and jitter, never for secrets.
struct random_state {
    uint64_t s[4];
};
void random_seed(struct random_state *state, uint64_t seed);
uint64_t random_next(struct random_state *state);
// Uniform in [0, bound); bound > 0.
uint64_t random_below(struct random_state *state, uint64_t bound);
