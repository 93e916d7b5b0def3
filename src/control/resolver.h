// SPDX-License-Identifier: Apache-2.0
// Host names → IPv4 addresses, by c-ares on the loop: nothing blocks. /etc/hosts and
// /etc/resolv.conf count as for any program. A query is embedded in its owner and ends exactly
// once: by `done`, or by resolver_cancel (then `done` does not come).
#pragma once

#include "base/addr.h"
#include "base/err.h"
#include "event/loop.h"
#include "event/timer.h"
#include "model/resolved.h"

struct resolver;
struct lookup;

int resolver_new(struct loop *loop, struct resolver **ret_resolver, struct error *error);
// Queries that still run are cancelled. Accepts NULL, returns NULL.
struct resolver *resolver_free(struct resolver *resolver);
// For tests: "127.0.0.1:5353" instead of /etc/resolv.conf.
int resolver_set_servers(struct resolver *resolver, const char *servers);

struct resolver_query {
    struct resolver *resolver;
    char host[254];
    // status 0: addresses, sorted and without doubles, at least one, port 0; borrowed for the call.
    // -ENOENT: no such name or no addresses; -ETIMEDOUT; -EIO: the servers answer with failure.
    // May free the query or start another.
    void (*done)(struct resolver_query *query, int status, const struct addr *addresses,
                 size_t count);
    void *owner;
    struct timer deadline;
    struct lookup *lookup; // the resolver's own; NULL: it does not run
};

// done always comes from the loop, never from inside this call; after timeout_ms at the latest.
int resolver_start(struct resolver *resolver, struct resolver_query *query, const char *host,
                   uint64_t timeout_ms,
                   void (*done)(struct resolver_query *query, int status,
                                const struct addr *addresses, size_t count));
void resolver_cancel(struct resolver_query *query);
