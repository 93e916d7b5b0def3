// SPDX-License-Identifier: Apache-2.0
// A unit: one running container that serves one load balancer. Made and moved by the controller
// only; its states are those of the crash workflow (src/control/failover.h says which moves where).
#pragma once

#include "base/addr.h"
#include "model/schema.h"

enum unit_role { UNIT_PRIMARY, UNIT_REPLACEMENT };
extern const char *const unit_role_names[];

enum unit_state {
    UNIT_STARTING, // placed, not serving yet
    UNIT_SERVING,  // in DNS
    UNIT_FAILED,   // found dead: out of DNS, a replacement stands for it
    UNIT_LEAVING,  // out of DNS, serves those who have its address cached for one TTL more
    UNIT_DRAINING, // finishes what it has, takes nothing new
    UNIT_DELETING, // its node removes it
};
extern const char *const unit_state_names[];

struct unit {
    uint64_t id, load_balancer_id, project_id;
    uint64_t created_at, updated_at;
    const char *node;
    struct addr front, back; // port 0
    enum unit_role role;
    uint64_t replaces; // the unit a replacement stands for; 0
    enum unit_state state;
    uint64_t state_at;  // wall clock, ms: when this state began
    const char *reason; // why it is in this state, for a person
};

extern const struct schema unit_schema;
