// SPDX-License-Identifier: Apache-2.0
#include "health/verdict.h"

#include <stdio.h>

#define HEALTH_REASON_TEXT_(id, text) [HEALTH_##id] = text,
static const char *const reason_texts[] = {HEALTH_REASONS(HEALTH_REASON_TEXT_)};

const char *health_reason_format(struct health_result result,
                                 char buffer[static HEALTH_REASON_TEXT_LEN])
{
    if (result.reason == HEALTH_STATUS) {
        snprintf(buffer, HEALTH_REASON_TEXT_LEN, "%s%u", reason_texts[HEALTH_STATUS],
                 result.status);
    } else {
        snprintf(buffer, HEALTH_REASON_TEXT_LEN, "%s", reason_texts[result.reason]);
    }
    return buffer;
}

struct health_result health_result_of_connect(int error)
{
    return (struct health_result){
        .reason = error == -ECONNREFUSED ? HEALTH_CONNECT_REFUSED
                  : error == -ETIMEDOUT  ? HEALTH_CONNECT_TIMEOUT
                                         : HEALTH_CONNECT_FAILED,
    };
}

static bool change(struct verdict_state *state, enum verdict verdict, struct health_result result)
{
    state->verdict = (uint8_t)verdict;
    state->reason = result;
    state->run = 0;
    return true;
}

bool verdict_judge(struct verdict_state *state, const struct health_check *check,
                   struct health_result result)
{
    bool good = result.reason == HEALTH_NONE;
    switch (state->verdict) {
    case VERDICT_HEALTHY:
        state->run = good ? 0 : state->run + 1;
        return state->run >= check->unhealthy_threshold && !good &&
               change(state, VERDICT_UNHEALTHY, result);
    case VERDICT_UNHEALTHY:
        if (!good) {
            state->reason = result;
            state->run = 0;
            return false;
        }
        state->run++;
        return state->run >= check->healthy_threshold && change(state, VERDICT_HEALTHY, result);
    default: // the first result decides alone
        return change(state, good ? VERDICT_HEALTHY : VERDICT_UNHEALTHY, result);
    }
}

uint32_t verdict_pack(const struct verdict_state *state)
{
    return (uint32_t)state->verdict << 24 | (uint32_t)state->reason.reason << 16 |
           state->reason.status;
}

enum verdict verdict_unpack(uint32_t packed, struct health_result *ret_reason)
{
    ret_reason->reason = (uint8_t)(packed >> 16);
    ret_reason->status = (uint16_t)packed;
    return (enum verdict)(packed >> 24);
}
