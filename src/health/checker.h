// SPDX-License-Identifier: Apache-2.0
// Checks one target again and again, on one loop: by HTTP (GET, the status decides) or TCP (a
// connection that opens). It reports each result and judges nothing: see verdict.h.
//
//           due                 connected           head whole            end, enough
//   resting ────▶ connecting ──────────────▶ asking ────────────▶ leaving ─────────────▶ resting
//                     │                        └── late, closed, no HTTP ───────────────────┤
//                     └── failed, late; or connected, for TCP ──────────────────────────────┘
//
// The result is told when the head is whole; leaving only reads what the target still sends.
// Checks begin an interval after the one before began (± a tenth, so that many checkers, and the
// checkers of many units, spread); each gets a connection of its own. What fails here and not there
// (no descriptor, no memory) is no result: the check is left out.
#pragma once

#include "base/addr.h"
#include "base/clock.h"
#include "event/stream.h"
#include "event/timer.h"
#include "health/verdict.h"

struct checker;
struct http1_head;

struct checker_ops {
    void (*result)(struct checker *checker, struct health_result result);
    void (*closed)(struct checker *checker); // after checker_close: its memory may go
};

struct checker {
    const struct checker_ops *ops;
    struct loop *loop;
    struct random_state *random;
    const struct health_check *check; // borrowed
    struct addr target;
    struct stream stream; // of the check under way
    struct timer timer;   // resting: the next check; else: the end of its patience
    struct buf *head_bytes;
    struct http1_head *head;
    uint64_t began_ms;
    uint32_t left_bytes; // read while leaving
    uint8_t state;
    bool again; // a check was asked for while one was running
    bool closing;
};

// check is borrowed until checker_close or checker_change. The first check comes in first_ms.
void checker_open(struct checker *checker, struct loop *loop, struct random_state *random,
                  const struct addr *target, const struct health_check *check, uint64_t first_ms,
                  const struct checker_ops *ops);
// Other settings. Begins a check at once when they differ.
void checker_change(struct checker *checker, const struct health_check *check);
// Checks now, or after the check under way.
void checker_check_soon(struct checker *checker);
void checker_close(struct checker *checker);
