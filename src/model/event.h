// SPDX-License-Identifier: Apache-2.0
// An event: when, what, why. Kept and listed, so that a person sees what Weir did on its own.
#pragma once

#include "model/schema.h"

struct event {
    uint64_t id;
    uint64_t at;                                      // wall clock, ms
    const char *kind;                                 // a stable word: "unit_failed"
    const char *object;                               // "unit", "load_balancer", "project" …
    uint64_t object_id, project_id, load_balancer_id; // 0: none
    uint32_t step;                                    // of the crash workflow, 0 otherwise
    const char *what, *why;
};

extern const struct schema event_schema;
