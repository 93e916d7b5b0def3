// SPDX-License-Identifier: Apache-2.0
// The control side as one object on one loop: it watches the store, takes the agents' reports, asks
// units itself, and keeps units, desired documents, DNS and events as they should be. This header
// is all that the API sees of it. Everything runs on the loop's thread.
//
// Nothing polls: a commit to the store or a report marks what it touches, and one task at the end
// of the same turn works it off.
#pragma once

#include "base/addr.h"
#include "base/clock.h"
#include "control/failover.h"
#include "control/service.h"
#include "event/loop.h"
#include "model/node.h"

struct controller;

enum { CONTROLLER_DNS_MAX = 8 };

struct controller_options {
    struct loop *loop;
    struct store *store; // borrowed
    struct clock *clock;
    const char *zone;           // "weir.internal"
    struct prefix front_subnet; // 10.90.0.0/16
    struct prefix project_pool; // 10.100.0.0/14
    const struct addr *dns;     // where the DNS server listens
    size_t dns_count;
    struct failover_settings failover;
};

// Reads the store, starts DNS and probes. error has the text.
int controller_open(const struct controller_options *options, struct controller **ret_controller,
                    struct error *error);
// Writes what is still in memory, closes everything. Waiters must be gone. Accepts NULL.
struct controller *controller_close(struct controller *controller);
// What users can do (service.h), with this controller behind its hooks.
struct service *controller_service(struct controller *controller);
// As it really listens (a port of 0 is chosen). NULL past the last.
const struct addr *controller_dns_address(const struct controller *controller, size_t index);

// For agents.
// A report, whole. -EINVAL with reason when it is none, or speaks for another node.
int controller_observe(struct controller *controller, struct str node, struct str document,
                       struct error *error);
struct desired_text {
    uint64_t generation;
    struct str text; // borrowed until the loop's next turn
};
// A caller that has another generation, smaller or greater (it may have been served from a database
// that is lost), takes this one. -ENOENT: the node has never reported (wait for it).
int controller_desired(struct controller *controller, struct str node,
                       struct desired_text *ret_desired);

// For users.
// The status of a load balancer as seen now, in the arena. -ENOENT, -ENOMEM.
int controller_status(struct controller *controller, uint64_t load_balancer_id, struct arena *arena,
                      const struct load_balancer_status **ret_status);
// All nodes, in the arena.
int controller_nodes(struct controller *controller, struct arena *arena, struct node **ret_nodes,
                     size_t *ret_count);
// A route of one of the nodes' machines that overlaps the subnet; false when there is none.
bool controller_find_route(struct controller *controller, const struct prefix *subnet,
                           struct prefix *ret_route, const char **ret_node);

// Waiters: woken once, at the end of a turn in which something changed, and unlinked by then; look
// and wait again. Embedded; the owner cancels before it frees.
struct controller_waiter {
    struct list link;
    void (*woken)(struct controller_waiter *waiter);
    void *owner;
};
void controller_wait_desired(struct controller *controller, struct str node,
                             struct controller_waiter *waiter);
// state, addresses, units or verdicts of the load balancer; also when it is gone
void controller_wait_status(struct controller *controller, uint64_t load_balancer_id,
                            struct controller_waiter *waiter);
void controller_wait_events(struct controller *controller, struct controller_waiter *waiter);
void controller_wait_cancel(struct controller_waiter *waiter);
