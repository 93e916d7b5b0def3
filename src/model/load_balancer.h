// SPDX-License-Identifier: Apache-2.0
// A load balancer: what a user creates. Its status is what the reconciler last saw; it is kept
// beside the object in the store (so that a report never conflicts with a user's change) and joined
// to it in answers.
#pragma once

#include "model/listener.h"
#include "model/unit.h"

enum load_balancer_type { LOAD_BALANCER_APPLICATION, LOAD_BALANCER_NETWORK };
extern const char *const load_balancer_type_names[];

enum load_balancer_state {
    LOAD_BALANCER_PROVISIONING, // no unit serves yet
    LOAD_BALANCER_ACTIVE,       // as many units serve as wanted
    LOAD_BALANCER_DEGRADED,     // some serve
    LOAD_BALANCER_FAILED,       // served once, none does now
    LOAD_BALANCER_DELETING,
};
extern const char *const load_balancer_state_names[];

struct unit_status {
    uint64_t id;
    const char *node;
    struct addr address; // port 0
    enum unit_state state;
    enum unit_role role;
    uint64_t replaces;
};

struct load_balancer_status {
    enum load_balancer_state state;
    uint64_t generation; // of the object, when this was seen
    const char *url;
    const char *dns_name;
    struct addr *addresses; // in DNS now
    size_t address_count;
    struct unit_status *units;
    size_t unit_count;
    struct target_report *targets;
    size_t target_count;
};

struct load_balancer {
    uint64_t id, generation, project_id;
    uint64_t created_at, updated_at;
    const char *name, *label;
    enum load_balancer_type type;
    uint32_t units; // wanted
    struct listener *listeners;
    size_t listener_count;
    bool auto_scaling; // kept and returned; does not act yet
    bool deleting; // the user asked for it: its name is free again; the reconciler takes its units
                   // down, then removes the object
    const struct load_balancer_status *status; // NULL in the store
};

extern const struct schema unit_status_schema;
extern const struct schema load_balancer_status_schema;
extern const struct schema load_balancer_schema;

// What the table cannot say: ports unique and not the units' own, a type that suits its listeners
// (application: http; network: tcp).
int load_balancer_validate(const struct load_balancer *balancer, struct error *error);

// "http://shop.john.weir.internal/", "tcp://shop.john.weir.internal:5432"; the first listener's.
// In the arena; NULL when memory is out.
const char *load_balancer_dns_name(const char *label, const char *project_label, const char *zone,
                                   struct arena *arena);
const char *load_balancer_url(const struct load_balancer *balancer, const char *dns_name,
                              struct arena *arena);
