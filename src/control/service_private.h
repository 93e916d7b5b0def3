// SPDX-License-Identifier: Apache-2.0
// Shared by the files of the service: one change of the store, with what every operation needs.
#pragma once

#include "control/keys.h"
#include "control/service.h"

enum { ATTEMPTS_MAX = 8, CHANGE_EVENTS_MAX = 4 };

// A change that is being put together. Made anew for each attempt.
struct change {
    struct service *service;
    struct arena *arena;
    struct store_transaction transaction;
    uint64_t now_ms;
    uint64_t ids_next, ids_end; // taken for this change
    struct event events[CHANGE_EVENTS_MAX];
    size_t event_count;
    struct error *error;
};

void change_begin(struct change *change, struct service *service, struct arena *arena,
                  struct error *error);
// Takes count ids, once a change; change_next_id hands them out.
int change_take_ids(struct change *change, size_t count);
uint64_t change_next_id(struct change *change);
// what: formatted into the arena. object: "project", "load_balancer" …
int change_add_event(struct change *change, const char *kind, const char *object,
                     uint64_t object_id, uint64_t project_id, uint64_t load_balancer_id,
                     const char *why, const char *format, ...)
    __attribute__((format(printf, 8, 9)));
// The lock conflicts with every other change that takes it.
int change_lock(struct change *change, const char *key);
int change_commit(struct change *change);

// One operation is a function over its own context that is tried again after a conflict.
int service_attempt(int (*attempt)(void *context), void *context, struct error *error);

// "name or id" → id by a label's key. -ENOENT.
bool ref_is_id(const char *ref, uint64_t *ret_id);
int find_by_label(struct service *service, const char *key, struct arena *arena, uint64_t *ret_id,
                  struct error *error);
int refuse_not_found(struct error *error, const char *kind, const char *ref);
int check_if_match(uint64_t if_match, uint64_t generation, struct error *error);
int refuse_deleting(const struct project *project, struct error *error);

// The project as it is now, with its lock taken in the change.
int change_load_project(struct change *change, uint64_t id, struct project *ret_project,
                        uint64_t *ret_revision);

// Load balancers and target groups of one project, without statuses.
int project_load_balancers(struct service *service, uint64_t project_id, struct arena *arena,
                           struct load_balancer **ret_balancers, size_t *ret_count,
                           struct error *error);
int project_target_groups(struct service *service, uint64_t project_id, struct arena *arena,
                          struct target_group **ret_groups, size_t *ret_count, struct error *error);

// The steps of which the operations on load balancers, target groups and instances are made. They
// check against the store and add to the change; ids must have been taken (see the counts).
// new: 1 id.
int stage_new_target_group(struct change *change, const struct project *project,
                           struct target_group *group, const char *name_field);
int stage_target_group(struct change *change, const struct target_group *before,
                       struct target_group *group, uint64_t revision);
int stage_target_group_removal(struct change *change, const struct target_group *group,
                               uint64_t revision);
// new: 1 id and one a listener. group: staged in the same change and not in the store yet, or NULL.
int stage_new_load_balancer(struct change *change, const struct project *project,
                            struct load_balancer *balancer, const struct target_group *group,
                            const char *name_field);
int stage_load_balancer(struct change *change, const struct load_balancer *before,
                        struct load_balancer *balancer, const struct target_group *group,
                        uint64_t revision);
int stage_load_balancer_removal(struct change *change, struct load_balancer *balancer,
                                uint64_t revision);
// Sets project->subnet (family 0: from the pool) after checking it against all others.
int stage_subnet(struct change *change, struct project *project, const struct prefix *subnet,
                 const char *field);
int stage_project(struct change *change, struct project *project, uint64_t revision);

// Stored object by id, of this project; -ENOENT with text.
int load_load_balancer(struct service *service, const struct project *project, const char *ref,
                       struct arena *arena, struct load_balancer *ret_balancer,
                       uint64_t *ret_revision, struct error *error);
int load_target_group(struct service *service, const struct project *project, const char *ref,
                      struct arena *arena, struct target_group *ret_group, uint64_t *ret_revision,
                      struct error *error);
int load_balancer_fill_status(struct service *service, struct load_balancer *balancer,
                              struct arena *arena, struct error *error);
// True when both print the same.
int objects_are_equal(const struct schema *schema, const void *a, const void *b, bool *ret_equal,
                      struct error *error);
