// SPDX-License-Identifier: Apache-2.0
// Load balancers of a project, with their listeners.
#include <stdio.h>

#include "control/service_private.h"
#include "model/label.h"

struct operation {
    struct service *service;
    struct arena *arena;
    const struct project *project;
    const char *ref;
    uint64_t id;
    const json_t *body;
    uint64_t if_match;
    struct load_balancer *balancer; // the result
    struct error *error;
};

int load_load_balancer(struct service *service, const struct project *project, const char *ref,
                       struct arena *arena, struct load_balancer *ret_balancer,
                       uint64_t *ret_revision, struct error *error)
{
    char key[KEY_LEN], label[LABEL_LEN];
    uint64_t id = 0;
    struct load_balancer balancer;
    int r = 0;
    if (!ref_is_id(ref, &id)) {
        r = label_derive(str_of(ref), label) < 0 || strlen(ref) > NAME_MAX_LEN
                ? -ENOENT
                : find_by_label(service, key_of_label(key, "load_balancer", project->id, label),
                                arena, &id, error);
    }
    if (r == 0) {
        r = service_load_one(service, key_of_id(key, KEY_LOAD_BALANCERS, id), &load_balancer_schema,
                             arena, &balancer, ret_revision, error);
    }
    if (r == -ENOENT || (r == 0 && balancer.project_id != project->id)) {
        return refuse_not_found(error, "load balancer", ref);
    }
    if (r == 0) {
        *ret_balancer = balancer;
    }
    return r;
}

// What can be said before the reconciler has seen it: its name, its URL, and that it comes.
static int first_status(struct service *service, const struct load_balancer *balancer,
                        struct arena *arena, const struct load_balancer_status **ret_status,
                        struct error *error)
{
    struct project project;
    char key[KEY_LEN];
    struct load_balancer_status *status = arena_new(arena, struct load_balancer_status);
    if (status == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = service_load_one(service, key_of_id(key, KEY_PROJECTS, balancer->project_id),
                             &project_schema, arena, &project, NULL, error);
    if (r < 0) {
        return r == -ENOENT ? 0 : r;
    }
    schema_defaults(&load_balancer_status_schema, status);
    status->state = balancer->deleting ? LOAD_BALANCER_DELETING : LOAD_BALANCER_PROVISIONING;
    status->dns_name = load_balancer_dns_name(balancer->label, project.label, service->zone, arena);
    status->url =
        status->dns_name != NULL ? load_balancer_url(balancer, status->dns_name, arena) : NULL;
    if (status->url == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    *ret_status = status;
    return 0;
}

int load_balancer_fill_status(struct service *service, struct load_balancer *balancer,
                              struct arena *arena, struct error *error)
{
    const struct service_hooks *hooks = &service->hooks;
    balancer->status = NULL;
    int r = hooks->status != NULL
                ? hooks->status(hooks->owner, balancer->id, arena, &balancer->status)
                : -ENOENT;
    if (r == -ENOENT) {
        return first_status(service, balancer, arena, &balancer->status, error);
    }
    return r < 0 ? error_set(error, r, "out of memory") : 0;
}

int service_load_balancer_find(struct service *service, const struct project *project,
                               const char *ref, struct arena *arena,
                               struct load_balancer **ret_balancer, struct error *error)
{
    struct load_balancer *balancer = arena_new(arena, struct load_balancer);
    if (balancer == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = load_load_balancer(service, project, ref, arena, balancer, NULL, error);
    if (r == 0) {
        r = load_balancer_fill_status(service, balancer, arena, error);
    }
    if (r == 0) {
        *ret_balancer = balancer;
    }
    return r;
}

int project_load_balancers(struct service *service, uint64_t project_id, struct arena *arena,
                           struct load_balancer **ret_balancers, size_t *ret_count,
                           struct error *error)
{
    struct load_balancer *all = NULL;
    size_t count = 0, kept = 0;
    int r = service_load_all(service, KEY_LOAD_BALANCERS, &load_balancer_schema, arena,
                             (void **)&all, &count, error);
    for (size_t i = 0; i < count && r == 0; i++) {
        if (project_id == 0 || all[i].project_id == project_id) {
            all[kept++] = all[i];
        }
    }
    if (r == 0) {
        *ret_balancers = all;
        *ret_count = kept;
    }
    return r;
}

int service_load_balancer_list(struct service *service, const struct project *project,
                               struct arena *arena, struct load_balancer **ret_balancers,
                               size_t *ret_count, struct error *error)
{
    struct load_balancer *balancers = NULL;
    size_t count = 0;
    int r = project_load_balancers(service, project != NULL ? project->id : 0, arena, &balancers,
                                   &count, error);
    for (size_t i = 0; i < count && r == 0; i++) {
        r = load_balancer_fill_status(service, &balancers[i], arena, error);
    }
    if (r == 0) {
        *ret_balancers = balancers;
        *ret_count = count;
    }
    return r;
}

// ── Steps ────────────────────────────────────────────────────────────────────────────────────

// Every listener's target group exists in this project and speaks its protocol. staged: one that is
// being made, or changed, by the same transaction.
static int check_target_groups(struct change *change, const struct load_balancer *balancer,
                               const struct target_group *staged)
{
    struct project project = {.id = balancer->project_id};
    for (size_t i = 0; i < balancer->listener_count; i++) {
        const struct listener *listener = &balancer->listeners[i];
        char ref[24], field[64];
        struct target_group stored;
        const struct target_group *group = staged;
        snprintf(field, sizeof(field), "listeners[%zu].target_group_id", i);
        if (staged == NULL || staged->id != listener->target_group_id) {
            struct error why = {0};
            snprintf(ref, sizeof(ref), "%" PRIu64, listener->target_group_id);
            int r = load_target_group(change->service, &project, ref, change->arena, &stored, NULL,
                                      &why);
            if (r < 0) {
                return error_set_field(change->error, r, why.reason, field, "%s", why.text);
            }
            group = &stored;
        }
        if (group->protocol != listener->protocol) {
            return error_set_field(change->error, -EINVAL, "protocol_mismatch", field,
                                   "the target group \"%s\" is for %s, its listener for %s",
                                   group->name, protocol_names[group->protocol],
                                   protocol_names[listener->protocol]);
        }
    }
    return 0;
}

static int put_load_balancer(struct change *change, const struct load_balancer *balancer,
                             uint64_t revision)
{
    char key[KEY_LEN];
    struct load_balancer stored = *balancer;
    stored.status = NULL;
    key_of_id(key, KEY_LOAD_BALANCERS, balancer->id);
    store_expect(&change->transaction, key, revision);
    return service_store_object(&change->transaction, key, &load_balancer_schema, &stored);
}

// The field is kept for what comes; whoever sets it is told that nothing scales yet.
static int say_auto_scaling(struct change *change, const struct load_balancer *balancer)
{
    return change_add_event(change, "auto_scaling_idle", "load_balancer", balancer->id,
                            balancer->project_id, balancer->id,
                            "this version keeps the setting but does not scale",
                            "auto-scaling of \"%s\" is switched on and does not act yet: it stays "
                            "at %u units",
                            balancer->name, (unsigned)balancer->units);
}

int stage_new_load_balancer(struct change *change, const struct project *project,
                            struct load_balancer *balancer, const struct target_group *group,
                            const char *name_field)
{
    char label[LABEL_LEN], key[KEY_LEN], id[24];
    uint64_t other;
    if (label_derive(str_of(balancer->name), label) < 0) {
        return name_validate(balancer->name, name_field, change->error);
    }
    balancer->project_id = project->id;
    balancer->label = arena_copy(change->arena, str_of(label)).at;
    key_of_label(key, "load_balancer", project->id, label);
    int r = balancer->label == NULL
                ? error_set(change->error, -ENOMEM, "out of memory")
                : find_by_label(change->service, key, change->arena, &other, change->error);
    if (r != -ENOENT) {
        return r < 0 ? r
                     : error_set_field(change->error, -EEXIST, "name_taken", name_field,
                                       "the project \"%s\" has a load balancer named \"%s\" (%s in "
                                       "DNS) already",
                                       project->name, balancer->name, label);
    }
    r = check_target_groups(change, balancer, group);
    if (r < 0) {
        return r;
    }
    balancer->id = change_next_id(change);
    for (size_t i = 0; i < balancer->listener_count; i++) {
        balancer->listeners[i].id = change_next_id(change);
    }
    balancer->generation = 1;
    balancer->created_at = balancer->updated_at = change->now_ms;
    snprintf(id, sizeof(id), "%" PRIu64, balancer->id);
    store_expect(&change->transaction, key, 0);
    store_put(&change->transaction, key, str_of(id));
    r = put_load_balancer(change, balancer, 0);
    if (r == 0) {
        r = change_add_event(change, "load_balancer_created", "load_balancer", balancer->id,
                             project->id, balancer->id, "requested",
                             "load balancer \"%s\" of the project \"%s\"", balancer->name,
                             project->name);
    }
    if (r == 0 && balancer->auto_scaling) {
        r = say_auto_scaling(change, balancer);
    }
    return r;
}

int stage_load_balancer(struct change *change, const struct load_balancer *before,
                        struct load_balancer *balancer, const struct target_group *group,
                        uint64_t revision)
{
    bool same;
    int r = check_target_groups(change, balancer, group);
    if (r == 0) {
        r = objects_are_equal(&load_balancer_schema, before, balancer, &same, change->error);
    }
    if (r < 0 || same) {
        return r;
    }
    balancer->generation++;
    balancer->updated_at = change->now_ms;
    r = put_load_balancer(change, balancer, revision);
    if (r == 0) {
        r = change_add_event(change, "load_balancer_updated", "load_balancer", balancer->id,
                             balancer->project_id, balancer->id, "requested",
                             "load balancer \"%s\" changed", balancer->name);
    }
    if (r == 0 && balancer->auto_scaling && !before->auto_scaling) {
        r = say_auto_scaling(change, balancer);
    }
    return r;
}

int stage_load_balancer_removal(struct change *change, struct load_balancer *balancer,
                                uint64_t revision)
{
    char key[KEY_LEN];
    balancer->deleting = true;
    balancer->generation++;
    balancer->updated_at = change->now_ms;
    store_delete(&change->transaction,
                 key_of_label(key, "load_balancer", balancer->project_id, balancer->label));
    int r = put_load_balancer(change, balancer, revision);
    return r < 0 ? r
                 : change_add_event(change, "load_balancer_delete_requested", "load_balancer",
                                    balancer->id, balancer->project_id, balancer->id, "requested",
                                    "load balancer \"%s\" is being deleted", balancer->name);
}

// ── Create ───────────────────────────────────────────────────────────────────────────────────

static int parse_new(struct operation *operation, struct load_balancer *balancer)
{
    int r = schema_parse(&load_balancer_schema, operation->body, SCHEMA_CREATE, "",
                         operation->arena, balancer, operation->error);
    if (r < 0) {
        return r;
    }
    if (json_object_get(operation->body, "type") == NULL &&
        balancer->listeners[0].protocol == PROTOCOL_TCP) {
        balancer->type = LOAD_BALANCER_NETWORK;
    }
    for (size_t i = 0; i < balancer->listener_count; i++) {
        if (balancer->listeners[i].id != 0) {
            char field[64];
            snprintf(field, sizeof(field), "listeners[%zu].id", i);
            return error_set_field(operation->error, -EINVAL, "read_only_field", field,
                                   "a new listener gets its id from Weir; leave it out");
        }
    }
    return load_balancer_validate(balancer, operation->error);
}

static int begin_in_project(struct operation *operation, struct change *change,
                            struct project *ret_project)
{
    change_begin(change, operation->service, operation->arena, operation->error);
    int r = change_load_project(change, operation->project->id, ret_project, NULL);
    return r < 0 ? r : refuse_deleting(ret_project, operation->error);
}

static int try_create(void *context)
{
    struct operation *operation = context;
    struct load_balancer *balancer = arena_new(operation->arena, struct load_balancer);
    struct change change;
    struct project project;
    if (balancer == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    int r = parse_new(operation, balancer);
    if (r == 0) {
        r = begin_in_project(operation, &change, &project);
    }
    if (r == 0) {
        r = change_take_ids(&change, 1 + balancer->listener_count);
    }
    if (r == 0) {
        r = stage_new_load_balancer(&change, &project, balancer, NULL, "name");
    }
    operation->balancer = balancer;
    return r == 0 ? change_commit(&change) : r;
}

int service_load_balancer_create(struct service *service, const struct project *project,
                                 const json_t *body, struct arena *arena,
                                 struct load_balancer **ret_balancer, struct error *error)
{
    struct error own = {0};
    struct operation operation = {.service = service,
                                  .arena = arena,
                                  .project = project,
                                  .body = body,
                                  .error = error != NULL ? error : &own};
    int r = service_attempt(try_create, &operation, operation.error);
    if (r == 0) {
        r = load_balancer_fill_status(service, operation.balancer, arena, operation.error);
    }
    if (r == 0) {
        *ret_balancer = operation.balancer;
    }
    return r;
}

// ── Update ───────────────────────────────────────────────────────────────────────────────────

// A listener in the new list is one of the present ones when it has its id, or no id and its port;
// otherwise it is new. *ret_new counts the latter.
static int match_listeners(const struct load_balancer *before, struct load_balancer *balancer,
                           size_t *ret_new, struct error *error)
{
    *ret_new = 0;
    for (size_t i = 0; i < balancer->listener_count; i++) {
        struct listener *listener = &balancer->listeners[i];
        bool known = false;
        for (size_t k = 0; k < before->listener_count; k++) {
            const struct listener *old = &before->listeners[k];
            known = known || (listener->id != 0 && old->id == listener->id);
        }
        for (size_t k = 0; k < i; k++) {
            known = known && balancer->listeners[k].id != listener->id;
        }
        if (listener->id != 0 && !known) {
            char field[64];
            snprintf(field, sizeof(field), "listeners[%zu].id", i);
            return error_set_field(error, -ENOENT, "not_found", field,
                                   "the load balancer has no other listener %" PRIu64,
                                   listener->id);
        }
    }
    for (size_t i = 0; i < balancer->listener_count; i++) {
        struct listener *listener = &balancer->listeners[i];
        for (size_t k = 0; k < before->listener_count && listener->id == 0; k++) {
            uint64_t id = before->listeners[k].id;
            bool claimed = false;
            for (size_t n = 0; n < balancer->listener_count; n++) {
                claimed = claimed || balancer->listeners[n].id == id;
            }
            if (!claimed && before->listeners[k].port == listener->port) {
                listener->id = id;
            }
        }
        *ret_new += listener->id == 0;
    }
    return 0;
}

static int try_update(void *context)
{
    struct operation *operation = context;
    struct load_balancer *balancer = arena_new(operation->arena, struct load_balancer), before;
    struct change change;
    struct project project;
    uint64_t revision;
    size_t fresh = 0;
    if (balancer == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    int r = begin_in_project(operation, &change, &project);
    if (r == 0) {
        r = load_load_balancer(operation->service, &project, operation->ref, operation->arena,
                               &before, &revision, operation->error);
    }
    if (r == 0 && before.deleting) {
        r = error_set_field(operation->error, -EBUSY, "deleting", NULL,
                            "the load balancer \"%s\" is being deleted", before.name);
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, before.generation, operation->error);
    }
    if (r < 0) {
        return r;
    }
    *balancer = before;
    r = schema_parse(&load_balancer_schema, operation->body, SCHEMA_PATCH, "", operation->arena,
                     balancer, operation->error);
    if (r == 0) {
        r = load_balancer_validate(balancer, operation->error);
    }
    if (r == 0) {
        r = match_listeners(&before, balancer, &fresh, operation->error);
    }
    if (r == 0 && fresh > 0) {
        r = change_take_ids(&change, fresh);
    }
    for (size_t i = 0; i < balancer->listener_count && r == 0; i++) {
        struct listener *listener = &balancer->listeners[i];
        listener->id = listener->id != 0 ? listener->id : change_next_id(&change);
    }
    if (r == 0) {
        r = stage_load_balancer(&change, &before, balancer, NULL, revision);
    }
    operation->balancer = balancer;
    return r == 0 && change.event_count > 0 ? change_commit(&change) : r;
}

int service_load_balancer_update(struct service *service, const struct project *project,
                                 const char *ref, const json_t *patch, uint64_t if_match,
                                 struct arena *arena, struct load_balancer **ret_balancer,
                                 struct error *error)
{
    struct error own = {0};
    struct operation operation = {.service = service,
                                  .arena = arena,
                                  .project = project,
                                  .ref = ref,
                                  .body = patch,
                                  .if_match = if_match,
                                  .error = error != NULL ? error : &own};
    int r = service_attempt(try_update, &operation, operation.error);
    if (r == 0) {
        r = load_balancer_fill_status(service, operation.balancer, arena, operation.error);
    }
    if (r == 0) {
        *ret_balancer = operation.balancer;
    }
    return r;
}

// ── Delete ───────────────────────────────────────────────────────────────────────────────────

static int try_delete(void *context)
{
    struct operation *operation = context;
    struct load_balancer balancer;
    struct change change;
    struct project project;
    uint64_t revision;
    change_begin(&change, operation->service, operation->arena, operation->error);
    int r = change_load_project(&change, operation->project->id, &project, NULL);
    if (r == 0) {
        r = load_load_balancer(operation->service, &project, operation->ref, operation->arena,
                               &balancer, &revision, operation->error);
    }
    if (r == 0 && balancer.deleting) {
        return 0; // asked for twice
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, balancer.generation, operation->error);
    }
    if (r == 0) {
        r = stage_load_balancer_removal(&change, &balancer, revision);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_load_balancer_delete(struct service *service, const struct project *project,
                                 const char *ref, uint64_t if_match, struct error *error)
{
    struct error own = {0};
    struct arena arena;
    arena_init(&arena, 8192);
    struct operation operation = {.service = service,
                                  .arena = &arena,
                                  .project = project,
                                  .ref = ref,
                                  .if_match = if_match,
                                  .error = error != NULL ? error : &own};
    int r = service_attempt(try_delete, &operation, operation.error);
    arena_reset(&arena);
    return r;
}

static int try_forget(void *context)
{
    struct operation *operation = context;
    struct load_balancer balancer;
    struct change change;
    uint64_t revision;
    char key[KEY_LEN];
    change_begin(&change, operation->service, operation->arena, operation->error);
    key_of_id(key, KEY_LOAD_BALANCERS, operation->id);
    int r = service_load_one(operation->service, key, &load_balancer_schema, operation->arena,
                             &balancer, &revision, operation->error);
    if (r < 0) {
        return r == -ENOENT ? 0 : r;
    }
    if (!balancer.deleting) {
        return error_set_field(operation->error, -EBUSY, "in_use", NULL,
                               "the load balancer \"%s\" is not being deleted", balancer.name);
    }
    store_expect(&change.transaction, key, revision);
    store_delete(&change.transaction, key);
    r = change_lock(&change, key_of_id(key, KEY_PROJECT_LOCKS, balancer.project_id));
    return r == 0 ? change_commit(&change) : r;
}

int service_load_balancer_forget(struct service *service, uint64_t id, struct error *error)
{
    struct error own = {0};
    struct arena arena;
    arena_init(&arena, 8192);
    struct operation operation = {
        .service = service, .arena = &arena, .id = id, .error = error != NULL ? error : &own};
    int r = service_attempt(try_forget, &operation, operation.error);
    arena_reset(&arena);
    return r;
}
