// SPDX-License-Identifier: Apache-2.0
// What a unit tells of itself: its state, verdicts and counters.
#include "proxy/proxy.h"

static void describe_target(const struct compiled_group *group,
                            const struct compiled_target *target, struct arena *arena,
                            struct target_report *ret_report)
{
    struct health_result reason;
    char text[HEALTH_REASON_TEXT_LEN] = "";
    enum verdict verdict = verdict_unpack(atomic_load(&target->state->verdict), &reason);
    if (target->member.draining) {
        verdict = VERDICT_DRAINING;
    } else if (!group->used) {
        verdict = VERDICT_UNUSED;
    } else if (verdict == VERDICT_UNHEALTHY) {
        health_reason_format(reason, text);
    }
    struct str copy = arena_copy(arena, str_of(text));
    *ret_report = (struct target_report){
        .target_group_id = group->id,
        .address = target->state->address,
        .verdict = verdict,
        .reason = copy.at != NULL ? copy.at : "",
    };
}

static int describe_targets(const struct compiled *compiled, struct arena *arena,
                            struct unit_control_answer *answer)
{
    size_t count = 0;
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        count += compiled->groups[i].target_count;
    }
    answer->targets = arena_array(arena, struct target_report, count + 1);
    answer->listeners =
        arena_array(arena, struct listener_report, compiled->snapshot->listener_count + 1);
    if (answer->targets == NULL || answer->listeners == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        const struct compiled_group *group = &compiled->groups[i];
        for (uint32_t j = 0; j < group->target_count; j++) {
            describe_target(group, &group->targets[j], arena,
                            &answer->targets[answer->target_count++]);
        }
    }
    for (size_t i = 0; i < compiled->snapshot->listener_count; i++) {
        answer->listeners[answer->listener_count++] = (struct listener_report){
            .id = compiled->snapshot->listeners[i].id,
            .state = LISTENER_LISTENING,
            .error = "",
        };
    }
    return 0;
}

int proxy_describe(struct proxy *proxy, struct arena *arena, struct unit_control_answer *ret_answer)
{
    struct unit_control_answer answer = {
        .has_state = true, .state = proxy->state, .error = "", .field = ""};
    if (proxy->current != NULL) {
        answer.version = proxy->current->snapshot->version;
        answer.unit_id = proxy->current->snapshot->unit_id;
        if (describe_targets(proxy->current, arena, &answer) < 0) {
            return -ENOMEM;
        }
    }
    answer.counters = arena_array(arena, struct counter, PROXY_COUNTER_COUNT);
    if (answer.counters == NULL) {
        return -ENOMEM;
    }
    answer.counter_count = PROXY_COUNTER_COUNT;
    for (int i = 0; i < PROXY_COUNTER_COUNT; i++) {
        answer.counters[i].name = proxy_counter_names[i];
        for (unsigned j = 0; j < proxy->worker_count; j++) {
            answer.counters[i].value +=
                counter_read(&proxy->workers[j].counters, (enum proxy_counter)i);
        }
    }
    answer.requests = answer.counters[COUNTER_requests].value;
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        answer.connections += atomic_load(&proxy->workers[i].connections);
    }
    *ret_answer = answer;
    return 0;
}
