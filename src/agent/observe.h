// SPDX-License-Identifier: Apache-2.0
// Looks at what of this instance exists in the kernel, by name, assuming nothing: after a start of
// the agent, a crash half way, or when somebody else changed it. Blocks some ms; any thread.
#pragma once

#include "agent/names.h"
#include "agent/plan.h"

struct sighting {
    struct actual_front front;
    struct actual_network *networks;
    size_t network_count;
    struct actual_unit *units; // only id, network, project_id, front and back are filled
    size_t unit_count;
    struct prefix *routes; // the machine's own: routes and addresses, ours left out
    size_t route_count;
};

// Everything lives in the arena.
int observe_networks(const char *instance, struct arena *arena, struct sighting *ret_sighting,
                     struct error *error);
// Only the routes; for runtime `process`, which has no networks. bridge: left out; may be NULL.
int observe_routes(const char *bridge, struct arena *arena, struct sighting *ret_sighting,
                   struct error *error);
