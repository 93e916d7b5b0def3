// SPDX-License-Identifier: Apache-2.0
// Instances: a load balancer, its listener and its target group in one transaction. The steps are
// those of service_load_balancer.c and service_target_group.c.
#include <stdio.h>

#include "control/service_private.h"

struct operation {
    struct service *service;
    struct arena *arena;
    const struct project *project;
    const struct request *request;
    struct service_instance *result;
    struct error *error;
};

// A subnet that is said must be the project's; or it becomes the project's, when nobody has chosen
// one and nothing uses it.
static int settle_subnet(struct operation *operation, struct change *change,
                         struct project *project, uint64_t revision, const struct prefix *subnet)
{
    char field[32], said[ADDR_TEXT_LEN], own[ADDR_TEXT_LEN];
    struct load_balancer *balancers;
    size_t count;
    if (subnet->family == 0 || memcmp(subnet, &project->subnet, sizeof(*subnet)) == 0) {
        return 0;
    }
    const char *base = operation->request->base;
    snprintf(field, sizeof(field), "%s%ssubnet", base, base[0] != '\0' ? "." : "");
    int r = project_load_balancers(operation->service, project->id, operation->arena, &balancers,
                                   &count, operation->error);
    if (r < 0) {
        return r;
    }
    if (project->subnet_chosen || count > 0) {
        return error_set_field(operation->error, -EINVAL, "subnet_differs", field,
                               "the subnet of the project \"%s\" is %s, not %s", project->name,
                               prefix_format(&project->subnet, own), prefix_format(subnet, said));
    }
    struct prefix wanted = *subnet;
    r = stage_subnet(change, project, &wanted, field);
    return r < 0 ? r : stage_project(change, project, revision);
}

// Names and checks of the objects, told in the instance's words.
static int validate(struct operation *operation, const struct load_balancer *balancer,
                    const struct target_group *group)
{
    int r = load_balancer_validate(balancer, operation->error);
    if (r == 0) {
        r = target_group_validate(group, "", operation->error);
    }
    if (r < 0) {
        instance_error_field(operation->request->base, operation->error);
    }
    return r;
}

static int begin(struct operation *operation, struct change *change, struct project *ret_project,
                 uint64_t *ret_revision)
{
    change_begin(change, operation->service, operation->arena, operation->error);
    int r = change_load_project(change, operation->project->id, ret_project, ret_revision);
    return r < 0 ? r : refuse_deleting(ret_project, operation->error);
}

static int finish(struct operation *operation, struct change *change)
{
    int r = change->event_count > 0 ? change_commit(change) : 0;
    return r < 0 ? r
                 : load_balancer_fill_status(operation->service, operation->result->balancer,
                                             operation->arena, operation->error);
}

// ── Create ───────────────────────────────────────────────────────────────────────────────────

static int try_create(void *context)
{
    struct operation *operation = context;
    struct arena *arena = operation->arena;
    struct service_instance *result = operation->result;
    struct instance instance;
    struct change change;
    uint64_t revision;
    result->project = arena_new(arena, struct project);
    result->balancer = arena_new(arena, struct load_balancer);
    result->group = arena_new(arena, struct target_group);
    struct listener *listener = arena_new(arena, struct listener);
    if (result->project == NULL || result->balancer == NULL || result->group == NULL ||
        listener == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    schema_defaults(&load_balancer_schema, result->balancer);
    schema_defaults(&target_group_schema, result->group);
    schema_defaults(&listener_schema, listener);
    result->balancer->listeners = listener;
    result->balancer->listener_count = 1;
    int r = instance_parse(operation->request, NULL, arena, &instance, operation->error);
    if (r == 0) {
        instance_to_objects(&instance, result->balancer, listener, result->group);
        r = validate(operation, result->balancer, result->group);
    }
    if (r == 0) {
        r = begin(operation, &change, result->project, &revision);
    }
    if (r == 0) {
        r = settle_subnet(operation, &change, result->project, revision, &instance.subnet);
    }
    if (r == 0) {
        r = change_take_ids(&change, 3);
    }
    if (r == 0) {
        r = stage_new_target_group(&change, result->project, result->group, "name");
        listener->target_group_id = result->group->id;
    }
    if (r == 0) {
        r = stage_new_load_balancer(&change, result->project, result->balancer, result->group,
                                    "name");
    }
    if (r == -EEXIST && strcmp(operation->error->field, "name") == 0) {
        instance_error_field(operation->request->base, operation->error);
    }
    return r == 0 ? finish(operation, &change) : r;
}

int service_instance_create(struct service *service, const struct project *project,
                            const struct request *request, struct arena *arena,
                            struct service_instance *ret_instance, struct error *error)
{
    struct error own = {0};
    struct service_instance result = {0};
    struct operation operation = {service, arena,   project,
                                  request, &result, error != NULL ? error : &own};
    int r = service_attempt(try_create, &operation, operation.error);
    if (r == 0) {
        *ret_instance = result;
    }
    return r;
}

// ── Find ─────────────────────────────────────────────────────────────────────────────────────

static int load_group_of(struct operation *operation, const struct load_balancer *balancer,
                         struct target_group *ret_group, uint64_t *ret_revision)
{
    char ref[24];
    if (balancer->listener_count == 0) {
        return -ENOENT;
    }
    snprintf(ref, sizeof(ref), "%" PRIu64, balancer->listeners[0].target_group_id);
    return load_target_group(operation->service, operation->project, ref, operation->arena,
                             ret_group, ret_revision, NULL);
}

// Of what is being deleted, the target group may be gone.
static int complete(struct operation *operation, struct service_instance *instance)
{
    instance->group = arena_new(operation->arena, struct target_group);
    if (instance->group == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    schema_defaults(&target_group_schema, instance->group);
    int r = load_group_of(operation, instance->balancer, instance->group, NULL);
    return r == -ENOENT ? 0 : r < 0 ? error_set(operation->error, r, "the database failed") : 0;
}

int service_instance_find(struct service *service, const struct project *project, const char *ref,
                          struct arena *arena, struct service_instance *ret_instance,
                          struct error *error)
{
    struct operation operation = {
        .service = service, .arena = arena, .project = project, .error = error};
    struct service_instance instance = {.project = (struct project *)project};
    int r = service_load_balancer_find(service, project, ref, arena, &instance.balancer, error);
    if (r == 0) {
        r = complete(&operation, &instance);
    }
    if (r == 0) {
        *ret_instance = instance;
    }
    return r;
}

int service_instance_list(struct service *service, const struct project *project,
                          struct arena *arena, struct service_instance **ret_instances,
                          size_t *ret_count, struct error *error)
{
    struct operation operation = {
        .service = service, .arena = arena, .project = project, .error = error};
    struct load_balancer *balancers = NULL;
    size_t count = 0;
    int r = service_load_balancer_list(service, project, arena, &balancers, &count, error);
    struct service_instance *instances =
        arena_array(arena, struct service_instance, MAX(count, (size_t)1));
    if (r == 0 && instances == NULL) {
        r = error_set(error, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        instances[i].project = (struct project *)project;
        instances[i].balancer = &balancers[i];
        r = complete(&operation, &instances[i]);
    }
    if (r == 0) {
        *ret_instances = instances;
        *ret_count = count;
    }
    return r;
}

// ── Update ───────────────────────────────────────────────────────────────────────────────────

static int refuse_half_gone(struct operation *operation, const struct load_balancer *balancer)
{
    return error_set_field(operation->error, -EBUSY, "deleting", NULL,
                           "the instance \"%s\" is being deleted", balancer->name);
}

static int try_update(void *context)
{
    struct operation *operation = context;
    struct arena *arena = operation->arena;
    struct service_instance *result = operation->result;
    struct load_balancer balancer_before;
    struct target_group group_before;
    struct instance before, instance;
    struct change change;
    uint64_t revision, balancer_revision, group_revision;
    result->project = arena_new(arena, struct project);
    result->balancer = arena_new(arena, struct load_balancer);
    result->group = arena_new(arena, struct target_group);
    if (result->project == NULL || result->balancer == NULL || result->group == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    int r = begin(operation, &change, result->project, &revision);
    if (r == 0) {
        r = load_load_balancer(operation->service, result->project, operation->request->object,
                               arena, &balancer_before, &balancer_revision, operation->error);
    }
    if (r < 0) {
        return r;
    }
    if (balancer_before.deleting ||
        load_group_of(operation, &balancer_before, &group_before, &group_revision) < 0) {
        return refuse_half_gone(operation, &balancer_before);
    }
    struct listener *listeners =
        arena_array(arena, struct listener, balancer_before.listener_count);
    if (listeners == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    memcpy(listeners, balancer_before.listeners,
           balancer_before.listener_count * sizeof(*listeners));
    *result->balancer = balancer_before;
    *result->group = group_before;
    result->balancer->listeners = listeners;
    instance_from_objects(&balancer_before, listeners, &group_before, &result->project->subnet,
                          &before);
    r = instance_parse(operation->request, &before, arena, &instance, operation->error);
    if (r == 0) {
        const char *group_name = group_before.name;
        instance_to_objects(&instance, result->balancer, listeners, result->group);
        result->group->name = group_name;
        r = validate(operation, result->balancer, result->group);
    }
    if (r == 0) {
        r = settle_subnet(operation, &change, result->project, revision, &instance.subnet);
    }
    if (r == 0) {
        r = stage_target_group(&change, &group_before, result->group, group_revision);
    }
    if (r == 0) {
        r = stage_load_balancer(&change, &balancer_before, result->balancer, result->group,
                                balancer_revision);
    }
    return r == 0 ? finish(operation, &change) : r;
}

int service_instance_update(struct service *service, const struct project *project,
                            const struct request *request, struct arena *arena,
                            struct service_instance *ret_instance, struct error *error)
{
    struct error own = {0};
    struct service_instance result = {0};
    struct operation operation = {service, arena,   project,
                                  request, &result, error != NULL ? error : &own};
    int r = service_attempt(try_update, &operation, operation.error);
    if (r == 0) {
        *ret_instance = result;
    }
    return r;
}

// ── Delete ───────────────────────────────────────────────────────────────────────────────────

// Its target group goes with it when it is named like it and nobody else uses it.
static int stage_group_removal(struct operation *operation, struct change *change,
                               const struct load_balancer *balancer)
{
    struct target_group group;
    uint64_t revision;
    struct load_balancer *others;
    size_t count = 0;
    int r = load_group_of(operation, balancer, &group, &revision);
    if (r < 0 || strcmp(group.name, balancer->name) != 0) {
        return r == -ENOENT ? 0 : r;
    }
    r = project_load_balancers(operation->service, balancer->project_id, operation->arena, &others,
                               &count, operation->error);
    for (size_t i = 0; i < count && r == 0; i++) {
        for (size_t k = 0; k < others[i].listener_count; k++) {
            if (others[i].id != balancer->id && !others[i].deleting &&
                others[i].listeners[k].target_group_id == group.id) {
                return 0;
            }
        }
    }
    return r < 0 ? r : stage_target_group_removal(change, &group, revision);
}

static int try_delete(void *context)
{
    struct operation *operation = context;
    struct load_balancer balancer;
    struct project project;
    struct change change;
    uint64_t revision;
    change_begin(&change, operation->service, operation->arena, operation->error);
    int r = change_load_project(&change, operation->project->id, &project, NULL);
    if (r == 0) {
        r = load_load_balancer(operation->service, &project, operation->request->object,
                               operation->arena, &balancer, &revision, operation->error);
    }
    if (r == 0 && balancer.deleting) {
        return 0; // asked for twice
    }
    if (r == 0) {
        r = stage_group_removal(operation, &change, &balancer);
    }
    if (r == 0) {
        r = stage_load_balancer_removal(&change, &balancer, revision);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_instance_delete(struct service *service, const struct project *project,
                            const struct request *request, struct error *error)
{
    struct error own = {0};
    struct arena arena;
    arena_init(&arena, 8192);
    struct operation operation = {.service = service,
                                  .arena = &arena,
                                  .project = project,
                                  .request = request,
                                  .error = error != NULL ? error : &own};
    int r = service_attempt(try_delete, &operation, operation.error);
    arena_reset(&arena);
    return r;
}
