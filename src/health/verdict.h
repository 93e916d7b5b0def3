// SPDX-License-Identifier: Apache-2.0
// What is thought of a target, from the results of its checks. Pure.
//
//              first result good                     unhealthy_threshold bad ones in a row
//   initial ──────────────────────▶ healthy ──────────────────────────────────▶ unhealthy
//      └──────────────────────────────────────────────────────────────────────▶    │
//              first result bad        ▲      healthy_threshold good ones in a row  │
//                                      └────────────────────────────────────────────┘
//
// A result is a check's, or a connection that a request could not make. `draining` and `unused` are
// no matter of results: whoever reports a target knows them.
#pragma once

#include "model/target_group.h"

// name, what a person reads
#define HEALTH_REASONS(REASON)                                                             \
    REASON(NONE, "")                                                                       \
    REASON(CONNECT_REFUSED, "connect_refused")                                             \
    REASON(CONNECT_TIMEOUT, "connect_timeout")                                             \
    REASON(CONNECT_FAILED, "connect_failed") /* unreachable, reset while connecting … */ \
    REASON(RESPONSE_TIMEOUT, "response_timeout")                                           \
    REASON(CLOSED, "closed") /* before the whole head of an answer */                      \
    REASON(BAD_RESPONSE, "bad_response")                                                   \
    REASON(STATUS, "status_") /* followed by the status */

#define HEALTH_REASON_ID_(id, text) HEALTH_##id,
enum health_reason { HEALTH_REASONS(HEALTH_REASON_ID_) };
#undef HEALTH_REASON_ID_

// One result. reason HEALTH_NONE: good.
struct health_result {
    uint8_t reason;  // enum health_reason
    uint16_t status; // of HEALTH_STATUS
};

// The result of an attempt to connect that failed with this error (negative errno).
struct health_result health_result_of_connect(int error);

enum { HEALTH_REASON_TEXT_LEN = 24 };
// "connect_refused", "status_500", "". Returns buffer.
const char *health_reason_format(struct health_result result,
                                 char buffer[static HEALTH_REASON_TEXT_LEN]);

struct verdict_state {
    uint8_t verdict;             // enum verdict: initial, healthy or unhealthy
    struct health_result reason; // of the last bad result; none while healthy
    uint32_t run;                // results in a row that speak against the verdict
};

// True when the verdict changed.
bool verdict_judge(struct verdict_state *state, const struct health_check *check,
                   struct health_result result);

// In one word, for an atomic that other threads read.
uint32_t verdict_pack(const struct verdict_state *state);
enum verdict verdict_unpack(uint32_t packed, struct health_result *ret_reason);
