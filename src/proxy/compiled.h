// SPDX-License-Identifier: Apache-2.0
// A snapshot compiled for serving: listeners point to their groups, targets to what is known of
// them. Immutable; shared by all threads and freed by the last that lets it go.
#pragma once

#include <stdatomic.h>

#include "balance/balancer.h"
#include "base/arena.h"
#include "codec/http1.h"
#include "model/snapshot.h"
#include "proxy/target_state.h"

struct compiled_target {
    struct target_state *state;
    struct balancer_member member; // weight, draining
};

struct compiled_group {
    uint64_t id;
    const char *name;
    const struct balancer_ops *algorithm;
    struct health_check health_check;
    bool used; // by a listener; the targets of others are not checked
    struct compiled_target *targets;
    uint32_t target_count;
};

struct compiled_listener {
    uint64_t id; // 0: the unit's own, for GET /health
    bool is_status;
    enum protocol protocol;
    struct addr at;
    struct timeouts timeouts;
    struct http1_limits limits; // of its requests
    uint32_t group;             // index
    struct str host; // "10.90.0.16:8080": stands in for the Host that HTTP/1.0 may leave out
    struct str
        forwarded; // the fields that are the same for every request: X-Forwarded-Proto, -Port
};

struct compiled {
    atomic_uint refs;
    struct arena arena; // everything here, the snapshot included
    struct snapshot *snapshot;
    struct compiled_listener *listeners; // those of the snapshot in order, then the status listener
    uint32_t listener_count;
    struct compiled_group *groups;
    uint32_t group_count;
    struct str health_body; // {"unit":9,"version":17}
};

// On the control thread. -EINVAL or -ENOMEM with error filled; then nothing has changed.
int compiled_new(struct str text, struct target_registry *registry, struct compiled **ret_compiled,
                 struct error *error);
struct compiled *compiled_ref(struct compiled *compiled);
// From any thread. Accepts NULL, returns NULL.
struct compiled *compiled_unref(struct compiled *compiled);
