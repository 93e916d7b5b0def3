// SPDX-License-Identifier: Apache-2.0
// What a unit counts, as a table. Each worker has its own and is the only one that writes them;
// others read them at any time and add them up.
#pragma once

#include <stdint.h>

#define PROXY_COUNTERS(COUNTER)                                                               \
    COUNTER(connections_accepted, "client connections accepted")                              \
    COUNTER(connections_refused, "client connections closed at once: no room or no memory")   \
    COUNTER(connections_evicted, "idle client connections closed to make room for a new one") \
    COUNTER(connections_broken, "client connections that failed while open")                  \
    COUNTER(acceptor_paused, "times that accepting paused because descriptors were out")      \
    COUNTER(requests, "requests whose head was read whole and well-formed")                   \
    COUNTER(requests_refused, "requests that were refused because of their form")             \
    COUNTER(requests_aborted, "requests whose client went away before the end of the answer") \
    COUNTER(answers_1xx, "interim answers passed on")                                         \
    COUNTER(answers_2xx, "answers of targets, by status")                                     \
    COUNTER(answers_3xx, "")                                                                  \
    COUNTER(answers_4xx, "")                                                                  \
    COUNTER(answers_5xx, "")                                                                  \
    COUNTER(own_400, "answers of the unit itself, by status")                                 \
    COUNTER(own_408, "")                                                                      \
    COUNTER(own_413, "")                                                                      \
    COUNTER(own_414, "")                                                                      \
    COUNTER(own_431, "")                                                                      \
    COUNTER(own_502, "")                                                                      \
    COUNTER(own_503, "")                                                                      \
    COUNTER(own_504, "")                                                                      \
    COUNTER(own_other, "")                                                                    \
    COUNTER(answers_broken, "answers that a target began and did not end")                    \
    COUNTER(connects, "connections to targets begun")                                         \
    COUNTER(connect_failures, "of these, failed")                                             \
    COUNTER(reuses, "requests sent on a connection that had served before")                   \
    COUNTER(retries_connect, "requests passed to the next target: nothing was sent")          \
    COUNTER(retries_race, "requests sent again: an idle connection closed under them")        \
    COUNTER(fail_open, "choices made while no target of the group was healthy")               \
    COUNTER(no_target, "requests for which the group had no target at all")                   \
    COUNTER(tcp_sessions, "connections relayed by TCP listeners")                             \
    COUNTER(tunnels, "requests that became a tunnel (101)")                                   \
    COUNTER(bytes_from_clients, "bytes received")                                             \
    COUNTER(bytes_to_clients, "bytes queued to be sent")                                      \
    COUNTER(timeout_client_header, "time-outs, by name")                                      \
    COUNTER(timeout_client_idle, "")                                                          \
    COUNTER(timeout_client_body, "")                                                          \
    COUNTER(timeout_connect, "")                                                              \
    COUNTER(timeout_target_response, "")                                                      \
    COUNTER(timeout_target_body, "")                                                          \
    COUNTER(timeout_tunnel_idle, "")                                                          \
    COUNTER(timeout_send, "")                                                                 \
    COUNTER(snapshots_taken, "snapshots this worker began to serve")

#define PROXY_COUNTER_ID_(name, text) COUNTER_##name,
enum proxy_counter { PROXY_COUNTERS(PROXY_COUNTER_ID_) PROXY_COUNTER_COUNT };
#undef PROXY_COUNTER_ID_

extern const char *const proxy_counter_names[PROXY_COUNTER_COUNT];

struct counters {
    uint64_t values[PROXY_COUNTER_COUNT];
};

// By the owner only.
static inline void counter_add(struct counters *counters, enum proxy_counter counter, uint64_t by)
{
    uint64_t *value = &counters->values[counter];
    __atomic_store_n(value, __atomic_load_n(value, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}
// From any thread.
static inline uint64_t counter_read(const struct counters *counters, enum proxy_counter counter)
{
    return __atomic_load_n(&counters->values[counter], __ATOMIC_RELAXED);
}

#define COUNT(worker, name) counter_add(&(worker)->counters, COUNTER_##name, 1)
