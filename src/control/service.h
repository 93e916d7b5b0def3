// SPDX-License-Identifier: Apache-2.0
// What users can do, below all doors: the REST paths and the envelope call the same functions. Each
// reads what it needs, checks it against the store, and commits one transaction; it either happened
// whole or not at all. A conflict with another change is retried inside.
//
// Objects go to the caller's arena. Objects that users name are found by id or name (`ref`).
// Errors carry a reason and the field at fault:
//   -EINVAL  unknown_field, wrong_type, out_of_range, invalid_value, subnet_… …          → 400
//   -ENOENT  not_found (also every id of another project)                                → 404
//   -EEXIST  name_taken, port_in_use, subnet_overlaps                                     → 409
//   -EBUSY   in_use, not_empty                                                            → 409
//   -ESTALE  precondition_failed (if_match)                                               → 412
//   -EAGAIN  conflict: lost the race too often                                            → 409
//   -ENOSPC, -EROFS, -EIO, -EUCLEAN: the store; nothing happened                          → 503
//
// The reconciler sees every change by a store watch. Deleting marks: a project or load balancer
// with `deleting` has lost its name (it is free again) and is removed by the reconciler once
// nothing of it runs any more (service_project_forget, service_load_balancer_forget). Target groups
// go at once.
#pragma once

#include "base/clock.h"
#include "model/desired.h"
#include "model/event.h"
#include "model/load_balancer.h"
#include "model/node.h"
#include "model/project.h"
#include "model/resolved.h"
#include "store/store.h"

// What only the reconciler knows. All of it is asked on the loop's thread and answers at once.
// A NULL function means "nothing known".
struct service_hooks {
    void *owner;
    // *ret_status in the arena. Never fails but for -ENOMEM: unknown is "provisioning".
    int (*load_balancer_status)(void *owner, const struct load_balancer *balancer,
                                struct arena *arena, struct load_balancer_status **ret_status);
    // The prefixes of all nodes' own routes.
    int (*routes)(void *owner, struct arena *arena, struct prefix **ret_routes, size_t *ret_count);
    // One line of JSON (desired_print) that the caller frees, when the generation for this node is
    // greater than after; -EAGAIN when it is not, or nothing is known for that node yet.
    int (*desired)(void *owner, const char *node, uint64_t after, char **ret_text);
    // An agent's report. Borrowed for the call. -EINVAL with text when it makes no sense.
    int (*observed)(void *owner, const struct observed *observed, struct error *error);
};

struct service {
    struct store *store;
    struct clock *clock;
    struct loop *loop;
    const char *zone;           // "weir.internal"
    struct prefix front_subnet; // no project's subnet may overlap it
    struct prefix project_pool; // where subnets come from that nobody chose
    struct service_hooks hooks;
    struct list watches;
    struct task notify_task;
};

void service_init(struct service *service, struct store *store, struct clock *clock,
                  struct loop *loop);

// For who waits (long polls, ?wait=): `changed` comes from the loop after service_notify, which the
// reconciler calls when a status or a desired document may have changed. Coalesced.
struct service_watch {
    struct list link;
    void (*changed)(struct service_watch *watch);
};
void service_watch_open(struct service *service, struct service_watch *watch,
                        void (*changed)(struct service_watch *));
void service_watch_close(struct service_watch *watch);
void service_notify(struct service *service);

// ── Projects ─────────────────────────────────────────────────────────────────────────────────
// if_match: the generation the caller has seen; 0: any.
int service_project_find(struct service *service, const char *ref, struct arena *arena,
                         struct project **ret_project, struct error *error);
int service_project_list(struct service *service, struct arena *arena,
                         struct project **ret_projects, size_t *ret_count, struct error *error);
int service_project_create(struct service *service, const json_t *body, struct arena *arena,
                           struct project **ret_project, struct error *error);
int service_project_update(struct service *service, const char *ref, const json_t *patch,
                           uint64_t if_match, struct arena *arena, struct project **ret_project,
                           struct error *error);
int service_project_delete(struct service *service, const char *ref, uint64_t if_match,
                           struct error *error);

// ── Load balancers; project is found already ─────────────────────────────────────────────────
// Their status is filled in from the hooks.
int service_load_balancer_find(struct service *service, const struct project *project,
                               const char *ref, struct arena *arena,
                               struct load_balancer **ret_balancer, struct error *error);
// project NULL: of all projects.
int service_load_balancer_list(struct service *service, const struct project *project,
                               struct arena *arena, struct load_balancer **ret_balancers,
                               size_t *ret_count, struct error *error);
int service_load_balancer_create(struct service *service, const struct project *project,
                                 const json_t *body, struct arena *arena,
                                 struct load_balancer **ret_balancer, struct error *error);
int service_load_balancer_update(struct service *service, const struct project *project,
                                 const char *ref, const json_t *patch, uint64_t if_match,
                                 struct arena *arena, struct load_balancer **ret_balancer,
                                 struct error *error);
int service_load_balancer_delete(struct service *service, const struct project *project,
                                 const char *ref, uint64_t if_match, struct error *error);

// ── Target groups ────────────────────────────────────────────────────────────────────────────
int service_target_group_find(struct service *service, const struct project *project,
                              const char *ref, struct arena *arena, struct target_group **ret_group,
                              struct error *error);
int service_target_group_list(struct service *service, const struct project *project,
                              struct arena *arena, struct target_group **ret_groups,
                              size_t *ret_count, struct error *error);
int service_target_group_create(struct service *service, const struct project *project,
                                const json_t *body, struct arena *arena,
                                struct target_group **ret_group, struct error *error);
int service_target_group_update(struct service *service, const struct project *project,
                                const char *ref, const json_t *patch, uint64_t if_match,
                                struct arena *arena, struct target_group **ret_group,
                                struct error *error);
int service_target_group_delete(struct service *service, const struct project *project,
                                const char *ref, uint64_t if_match, struct error *error);

// ── For the reconciler ───────────────────────────────────────────────────────────────────────
// Removes an object whose deletion is finished. -EBUSY when it is not `deleting`, or a project
// still has load balancers; 0 when it is gone already.
int service_project_forget(struct service *service, uint64_t id, struct error *error);
int service_load_balancer_forget(struct service *service, uint64_t id, struct error *error);

// ── Events ───────────────────────────────────────────────────────────────────────────────────
// Adds the event to a transaction; takes its id (event->id is set) and, when `at` is 0, the time.
// At most one call a transaction for `count` events.
int service_events_add(struct service *service, struct store_transaction *transaction,
                       struct event *events, size_t count, struct error *error);
struct service_event_filter {
    uint64_t project_id, load_balancer_id; // 0: any
    uint64_t after;                        // only ids greater than this
    size_t limit;                          // 0: 100; at most 1,000
    bool newest;                           // the newest `limit` of them, still oldest first
};
int service_event_list(struct service *service, const struct service_event_filter *filter,
                       struct arena *arena, struct event **ret_events, size_t *ret_count,
                       struct error *error);

int service_unit_list(struct service *service, struct arena *arena, struct unit **ret_units,
                      size_t *ret_count, struct error *error);
int service_node_list(struct service *service, struct arena *arena, struct node **ret_nodes,
                      size_t *ret_count, struct error *error);

// Reads all objects under prefix (KEY_UNITS …) into one array of schema->size items. A document
// that does not parse is an error that names its key (-EUCLEAN).
int service_load_all(struct service *service, const char *prefix, const struct schema *schema,
                     struct arena *arena, void **ret_items, size_t *ret_count, struct error *error);
// -ENOENT without text.
int service_load_one(struct service *service, const char *key, const struct schema *schema,
                     struct arena *arena, void *object, uint64_t *ret_revision,
                     struct error *error);
// Puts the printed object into the transaction. -ENOMEM.
int service_store_object(struct store_transaction *transaction, const char *key,
                         const struct schema *schema, const void *object);
