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
#include "model/event.h"
#include "model/load_balancer.h"
#include "model/project.h"
#include "model/request.h"
#include "model/resolved.h"
#include "model/target_group.h"
#include "model/unit.h"
#include "store/store.h"

// What only the reconciler knows (controller.h); asked on the loop's thread, answered at once. A
// NULL function means "nothing known".
struct service_hooks {
    void *owner;
    // In the arena. -ENOENT: nothing known of it yet. -ENOMEM.
    int (*status)(void *owner, uint64_t load_balancer_id, struct arena *arena,
                  const struct load_balancer_status **ret_status);
    // A route of one of the nodes' own that overlaps the subnet; false when there is none.
    bool (*find_route)(void *owner, const struct prefix *subnet, struct prefix *ret_route,
                       const char **ret_node);
    // After the commit that holds it: the event is in the store. Borrowed for the call.
    void (*event_added)(void *owner, const struct event *event);
};

struct service {
    struct store *store;
    struct clock *clock;
    const char *zone;           // "weir.internal"
    struct prefix front_subnet; // no project's subnet may overlap it
    struct prefix project_pool; // where subnets come from that nobody chose
    struct service_hooks hooks;
};

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

// ── Instances: the envelope's view, a load balancer and its target group in one ──────────────────
struct service_instance {
    struct project *project;
    struct load_balancer *balancer;
    struct target_group *group; // of its first listener
};
int service_instance_create(struct service *service, const struct project *project,
                            const struct request *request, struct arena *arena,
                            struct service_instance *ret_instance, struct error *error);
// request->object names it.
int service_instance_update(struct service *service, const struct project *project,
                            const struct request *request, struct arena *arena,
                            struct service_instance *ret_instance, struct error *error);
int service_instance_delete(struct service *service, const struct project *project,
                            const struct request *request, struct error *error);
int service_instance_find(struct service *service, const struct project *project, const char *ref,
                          struct arena *arena, struct service_instance *ret_instance,
                          struct error *error);
int service_instance_list(struct service *service, const struct project *project,
                          struct arena *arena, struct service_instance **ret_instances,
                          size_t *ret_count, struct error *error);

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
