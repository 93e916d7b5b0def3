// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/err.h"

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t system_monotonic_ms(struct clock *clock)
{
    return monotonic_ns() / 1000000u;
}

static uint64_t system_wall_ms(struct clock *clock)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

struct clock clock_system = {system_monotonic_ms, system_wall_ms};

static uint64_t fake_monotonic_ms(struct clock *clock)
{
    return CONTAINER_OF(clock, struct clock_fake, clock)->now_ms;
}

static uint64_t fake_wall_ms(struct clock *clock)
{
    struct clock_fake *fake = CONTAINER_OF(clock, struct clock_fake, clock);
    return fake->now_ms + fake->wall_offset_ms;
}

void clock_fake_init(struct clock_fake *fake, uint64_t now_ms, uint64_t wall_ms)
{
    *fake = (struct clock_fake){
        .clock = {fake_monotonic_ms, fake_wall_ms},
        .now_ms = now_ms,
        .wall_offset_ms = wall_ms - now_ms,
    };
}

void clock_fake_advance(struct clock_fake *fake, uint64_t ms)
{
    fake->now_ms += ms;
}

const char *timestamp_format(uint64_t wall_ms, char buffer[static TIMESTAMP_LEN])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char date[20];
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(buffer, TIMESTAMP_LEN, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
    return buffer;
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

// The state is filled by splitmix64, as its authors (Blackman, Vigna 2018) advise.
void random_seed(struct random_state *state, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        state->s[i] = z ^ (z >> 31);
    }
}

uint64_t random_next(struct random_state *state)
{
    uint64_t *s = state->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

// Lemire's multiply and shift; its bias is below 2^-32 for the small bounds used here.
uint64_t random_below(struct random_state *state, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(state) * bound) >> 64);
}
