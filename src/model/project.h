// SPDX-License-Identifier: Apache-2.0
// A project: a tenant. It owns a subnet (a network namespace on every node that runs its units) and
// load balancers and target groups.
#pragma once

#include "base/addr.h"
#include "model/schema.h"

struct project {
    uint64_t id, generation;
    uint64_t created_at, updated_at; // wall clock, ms
    const char *name, *label;        // label: name in DNS form, see label.h
    const char *user;                // as the user gave it; may be ""
    struct prefix subnet;
    bool subnet_chosen; // by the user; else it came from the pool and may be set while unused
    bool deleting; // the user asked for it: name and label are free again, the subnet is not; the
                   // reconciler removes the object once nothing of it runs any more
};

// IPv4 /16 … /28.
enum { PROJECT_SUBNET_BITS_MIN = 16, PROJECT_SUBNET_BITS_MAX = 28 };

extern const struct schema project_schema;
