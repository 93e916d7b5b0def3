// SPDX-License-Identifier: Apache-2.0
// What a target's host name resolved to: kept apart from the user's targets, so that those stay as
// they were given and a resolver's outage loses nothing.
#pragma once

#include "base/addr.h"
#include "model/schema.h"

struct resolved {
    const char *host;
    struct addr *addresses; // port 0, sorted
    size_t address_count;
    uint64_t at;       // wall clock, ms: when these were seen first
    const char *error; // of the last attempt, "" when it worked
};

enum { RESOLVED_ADDRESSES_MAX = 16 };

extern const struct schema resolved_schema;
