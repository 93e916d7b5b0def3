// SPDX-License-Identifier: Apache-2.0
// Projects and their subnets.
#include <stdio.h>

#include "control/ipam.h"
#include "control/service_private.h"
#include "model/label.h"

struct operation {
    struct service *service;
    struct arena *arena;
    const char *ref;
    uint64_t id;
    const json_t *body;
    uint64_t if_match;
    struct project *project; // the result
    struct error *error;
};

static int load_project(struct service *service, const char *ref, struct arena *arena,
                        struct project *ret_project, uint64_t *ret_revision, struct error *error)
{
    char key[KEY_LEN], label[LABEL_LEN];
    uint64_t id = 0;
    int r = 0;
    if (!ref_is_id(ref, &id)) {
        r = label_derive(str_of(ref), label) < 0 || strlen(ref) > NAME_MAX_LEN
                ? -ENOENT
                : find_by_label(service, key_of_project_label(key, label), arena, &id, error);
    }
    if (r == 0) {
        r = service_load_one(service, key_of_id(key, KEY_PROJECTS, id), &project_schema, arena,
                             ret_project, ret_revision, error);
    }
    return r == -ENOENT ? refuse_not_found(error, "project", ref) : r;
}

int service_project_find(struct service *service, const char *ref, struct arena *arena,
                         struct project **ret_project, struct error *error)
{
    struct project *project = arena_new(arena, struct project);
    if (project == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = load_project(service, ref, arena, project, NULL, error);
    if (r == 0) {
        *ret_project = project;
    }
    return r;
}

int service_project_list(struct service *service, struct arena *arena,
                         struct project **ret_projects, size_t *ret_count, struct error *error)
{
    return service_load_all(service, KEY_PROJECTS, &project_schema, arena, (void **)ret_projects,
                            ret_count, error);
}

int change_load_project(struct change *change, uint64_t id, struct project *ret_project,
                        uint64_t *ret_revision)
{
    char key[KEY_LEN];
    int r = change_lock(change, key_of_id(key, KEY_PROJECT_LOCKS, id));
    if (r == 0) {
        r = service_load_one(change->service, key_of_id(key, KEY_PROJECTS, id), &project_schema,
                             change->arena, ret_project, ret_revision, change->error);
    }
    if (r == -ENOENT) {
        char ref[24];
        snprintf(ref, sizeof(ref), "%" PRIu64, id);
        r = refuse_not_found(change->error, "project", ref);
    }
    return r;
}

// ── Subnets ──────────────────────────────────────────────────────────────────────────────────

struct subnets {
    const struct prefix *front;
    const struct project *projects;
    size_t project_count;
    const struct service_hooks *hooks;
    uint64_t except; // the project that asks
};

static int load_subnets(struct change *change, uint64_t except, struct subnets *ret_subnets)
{
    struct service *service = change->service;
    struct subnets subnets = {
        .front = &service->front_subnet, .hooks = &service->hooks, .except = except};
    struct project *projects;
    int r = change_lock(change, KEY_SUBNETS_LOCK);
    if (r == 0) {
        r = service_project_list(service, change->arena, &projects, &subnets.project_count,
                                 change->error);
    }
    if (r == 0) {
        subnets.projects = projects;
        *ret_subnets = subnets;
    }
    return r;
}

// False, and in words what it meets, when the subnet is not free.
static bool subnet_is_free(const struct subnets *subnets, const struct prefix *subnet, char *what,
                           size_t what_size)
{
    char text[ADDR_TEXT_LEN];
    if (prefix_overlaps(subnet, subnets->front)) {
        snprintf(what, what_size, "the front subnet %s", prefix_format(subnets->front, text));
        return false;
    }
    for (size_t i = 0; i < subnets->project_count; i++) {
        const struct project *project = &subnets->projects[i];
        if (project->id != subnets->except && prefix_overlaps(subnet, &project->subnet)) {
            snprintf(what, what_size, "%s of the project \"%s\"",
                     prefix_format(&project->subnet, text), project->name);
            return false;
        }
    }
    struct prefix route;
    const char *node;
    if (subnets->hooks->find_route != NULL &&
        subnets->hooks->find_route(subnets->hooks->owner, subnet, &route, &node)) {
        snprintf(what, what_size, "%s, which the node \"%.40s\" routes itself",
                 prefix_format(&route, text), node);
        return false;
    }
    return true;
}

static int check_subnet_form(const struct prefix *subnet, const char *field, struct error *error)
{
    if (subnet->family != 4 || subnet->bits < PROJECT_SUBNET_BITS_MIN ||
        subnet->bits > PROJECT_SUBNET_BITS_MAX) {
        return error_set_field(error, -EINVAL, "out_of_range", field,
                               "a project's subnet is IPv4 and from /%d to /%d",
                               PROJECT_SUBNET_BITS_MIN, PROJECT_SUBNET_BITS_MAX);
    }
    uint8_t first = subnet->ip[0];
    if (first == 0 || first == 127 || first >= 224 || (first == 169 && subnet->ip[1] == 254)) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "a project's subnet cannot lie in loopback, link-local, multicast "
                               "or reserved space");
    }
    return 0;
}

// The first free one of the pool. A node's route is learned of by meeting it: then it is used, too.
static int pick_subnet(const struct change *change, const struct subnets *subnets,
                       struct prefix *ret_subnet)
{
    enum { ROUTES_MAX = 256 };
    const struct prefix *pool = &change->service->project_pool;
    const char *node;
    char text[ADDR_TEXT_LEN];
    size_t count = 0;
    struct prefix *used =
        arena_array(change->arena, struct prefix, subnets->project_count + 1 + ROUTES_MAX);
    if (used == NULL) {
        return error_set(change->error, -ENOMEM, "out of memory");
    }
    used[count++] = *subnets->front;
    for (size_t i = 0; i < subnets->project_count; i++) {
        if (subnets->projects[i].id != subnets->except) {
            used[count++] = subnets->projects[i].subnet;
        }
    }
    for (size_t met = 0; met < ROUTES_MAX; met++) {
        struct prefix candidate;
        if (ipam_pick_subnet(pool, IPAM_PROJECT_BITS, used, count, &candidate) < 0) {
            break;
        }
        if (subnets->hooks->find_route == NULL ||
            !subnets->hooks->find_route(subnets->hooks->owner, &candidate, &used[count], &node)) {
            *ret_subnet = candidate;
            return 0;
        }
        count++;
    }
    return error_set_field(change->error, -EEXIST, "no_free_subnet", "subnet",
                           "no /%d of the pool %s is free; name a subnet", IPAM_PROJECT_BITS,
                           prefix_format(pool, text));
}

int stage_subnet(struct change *change, struct project *project, const struct prefix *subnet,
                 const char *field)
{
    struct subnets subnets = {0};
    struct prefix chosen = *subnet;
    char what[160], text[ADDR_TEXT_LEN];
    int r = chosen.family != 0 ? check_subnet_form(&chosen, field, change->error) : 0;
    if (r == 0) {
        r = load_subnets(change, project->id, &subnets);
    }
    if (r < 0) {
        return r;
    }
    if (chosen.family == 0) {
        r = pick_subnet(change, &subnets, &chosen);
    } else if (!subnet_is_free(&subnets, &chosen, what, sizeof(what))) {
        r = error_set_field(change->error, -EEXIST, "subnet_overlaps", field,
                            "the subnet %s overlaps %s", prefix_format(&chosen, text), what);
    }
    if (r == 0) {
        project->subnet = chosen;
        project->subnet_chosen = subnet->family != 0;
    }
    return r;
}

// ── Create, update, delete ───────────────────────────────────────────────────────────────────

int stage_project(struct change *change, struct project *project, uint64_t revision)
{
    char key[KEY_LEN];
    project->updated_at = change->now_ms;
    project->generation++;
    key_of_id(key, KEY_PROJECTS, project->id);
    store_expect(&change->transaction, key, revision);
    return service_store_object(&change->transaction, key, &project_schema, project);
}

static int try_create(void *context)
{
    struct operation *operation = context;
    struct error *error = operation->error;
    struct project *project = arena_new(operation->arena, struct project);
    char label[LABEL_LEN], key[KEY_LEN], id[24];
    if (project == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = schema_parse(&project_schema, operation->body, SCHEMA_CREATE, "", operation->arena,
                         project, error);
    if (r == 0) {
        r = name_validate(project->name, "name", error);
    }
    if (r < 0) {
        return r;
    }
    label_derive(str_of(project->name), label);
    project->label = arena_copy(operation->arena, str_of(label)).at;
    struct change change;
    uint64_t other;
    change_begin(&change, operation->service, operation->arena, error);
    key_of_project_label(key, label);
    r = find_by_label(operation->service, key, operation->arena, &other, error);
    if (r != -ENOENT) {
        return r < 0 ? r
                     : error_set_field(error, -EEXIST, "name_taken", "name",
                                       "there is a project named \"%s\" (%s in DNS) already",
                                       project->name, label);
    }
    struct prefix wanted = project->subnet;
    r = change_take_ids(&change, 1);
    if (r == 0) {
        r = stage_subnet(&change, project, &wanted, "subnet");
    }
    if (r < 0) {
        return r;
    }
    project->id = change_next_id(&change);
    project->created_at = change.now_ms;
    snprintf(id, sizeof(id), "%" PRIu64, project->id);
    store_expect(&change.transaction, key, 0);
    store_put(&change.transaction, key, str_of(id));
    r = stage_project(&change, project, 0);
    if (r == 0) {
        char subnet[ADDR_TEXT_LEN];
        r = change_add_event(&change, "project_created", "project", project->id, project->id, 0,
                             "requested", "project \"%s\" with subnet %s", project->name,
                             prefix_format(&project->subnet, subnet));
    }
    if (r == 0) {
        r = change_commit(&change);
    }
    operation->project = project;
    return r;
}

int service_project_create(struct service *service, const json_t *body, struct arena *arena,
                           struct project **ret_project, struct error *error)
{
    struct error own = {0};
    struct operation operation = {
        .service = service, .arena = arena, .body = body, .error = error != NULL ? error : &own};
    int r = service_attempt(try_create, &operation, operation.error);
    if (r == 0) {
        *ret_project = operation.project;
    }
    return r;
}

static int try_update(void *context)
{
    struct operation *operation = context;
    struct error *error = operation->error;
    struct project *before = arena_new(operation->arena, struct project);
    struct project *project = arena_new(operation->arena, struct project);
    struct change change;
    uint64_t revision = 0;
    bool same = false;
    if (before == NULL || project == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    change_begin(&change, operation->service, operation->arena, error);
    int r = change_load_project(&change, operation->id, before, &revision);
    if (r == 0) {
        r = refuse_deleting(before, error);
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, before->generation, error);
    }
    if (r < 0) {
        return r;
    }
    *project = *before;
    r = schema_parse(&project_schema, operation->body, SCHEMA_PATCH, "", operation->arena, project,
                     error);
    if (r == 0) {
        r = objects_are_equal(&project_schema, before, project, &same, error);
    }
    operation->project = project;
    if (r < 0 || same) {
        return r;
    }
    if (memcmp(&project->subnet, &before->subnet, sizeof(project->subnet)) != 0) {
        struct load_balancer *balancers;
        size_t count = 0;
        struct prefix wanted = project->subnet;
        r = project_load_balancers(operation->service, project->id, operation->arena, &balancers,
                                   &count, error);
        if (r == 0 && count > 0) {
            r = error_set_field(error, -EBUSY, "in_use", "subnet",
                                "the subnet is in use by %zu load balancers", count);
        }
        if (r == 0) {
            r = stage_subnet(&change, project, &wanted, "subnet");
        }
    }
    if (r == 0) {
        r = stage_project(&change, project, revision);
    }
    if (r == 0) {
        r = change_add_event(&change, "project_updated", "project", project->id, project->id, 0,
                             "requested", "project \"%s\" changed", project->name);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_project_update(struct service *service, const char *ref, const json_t *patch,
                           uint64_t if_match, struct arena *arena, struct project **ret_project,
                           struct error *error)
{
    struct error own = {0};
    struct project *found;
    struct operation operation = {.service = service,
                                  .arena = arena,
                                  .body = patch,
                                  .if_match = if_match,
                                  .error = error != NULL ? error : &own};
    int r = service_project_find(service, ref, arena, &found, operation.error);
    if (r == 0) {
        operation.id = found->id;
        r = service_attempt(try_update, &operation, operation.error);
    }
    if (r == 0) {
        *ret_project = operation.project;
    }
    return r;
}

static int try_delete(void *context)
{
    struct operation *operation = context;
    struct error *error = operation->error;
    struct service *service = operation->service;
    struct load_balancer *balancers;
    struct project project;
    struct change change;
    uint64_t revision = 0;
    size_t count = 0;
    char key[KEY_LEN];
    change_begin(&change, service, operation->arena, error);
    int r = change_load_project(&change, operation->id, &project, &revision);
    if (r == 0 && project.deleting) {
        return 0; // asked for twice
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, project.generation, error);
    }
    if (r == 0) {
        r = project_load_balancers(service, project.id, operation->arena, &balancers, &count,
                                   error);
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        if (!balancers[i].deleting) {
            r = error_set_field(error, -EBUSY, "not_empty", NULL,
                                "the project \"%s\" still has the load balancer \"%s\"",
                                project.name, balancers[i].name);
        }
    }
    if (r < 0) {
        return r;
    }
    project.deleting = true;
    store_delete(&change.transaction, key_of_project_label(key, project.label));
    r = stage_project(&change, &project, revision);
    if (r == 0) {
        r = change_add_event(&change, "project_delete_requested", "project", project.id, project.id,
                             0, "requested", "project \"%s\" is being deleted", project.name);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_project_delete(struct service *service, const char *ref, uint64_t if_match,
                           struct error *error)
{
    struct error own = {0};
    struct arena arena;
    struct project *found;
    arena_init(&arena, 8192);
    struct operation operation = {.service = service,
                                  .arena = &arena,
                                  .if_match = if_match,
                                  .error = error != NULL ? error : &own};
    int r = service_project_find(service, ref, &arena, &found, operation.error);
    if (r == 0) {
        operation.id = found->id;
        r = service_attempt(try_delete, &operation, operation.error);
    }
    arena_reset(&arena);
    return r;
}

static int try_forget(void *context)
{
    struct operation *operation = context;
    struct error *error = operation->error;
    struct service *service = operation->service;
    struct load_balancer *balancers;
    struct target_group *groups = NULL;
    struct project project;
    struct change change;
    uint64_t revision = 0;
    size_t count = 0, group_count = 0;
    char key[KEY_LEN];
    change_begin(&change, service, operation->arena, error);
    int r = change_load_project(&change, operation->id, &project, &revision);
    if (r == -ENOENT) {
        *error = (struct error){0};
        return 0;
    }
    if (r == 0) {
        r = project_load_balancers(service, project.id, operation->arena, &balancers, &count,
                                   error);
    }
    if (r == 0) {
        r = project_target_groups(service, project.id, operation->arena, &groups, &group_count,
                                  error);
    }
    if (r == 0 && (!project.deleting || count > 0)) {
        r = error_set_field(error, -EBUSY, "not_empty", NULL, "the project \"%s\" is in use",
                            project.name);
    }
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < group_count; i++) {
        char label[LABEL_LEN];
        label_derive(str_of(groups[i].name), label);
        store_delete(&change.transaction, key_of_id(key, KEY_TARGET_GROUPS, groups[i].id));
        store_delete(&change.transaction, key_of_label(key, "target_group", project.id, label));
    }
    key_of_id(key, KEY_PROJECTS, project.id);
    store_expect(&change.transaction, key, revision);
    store_delete(&change.transaction, key);
    store_delete(&change.transaction, key_of_id(key, KEY_PROJECT_LOCKS, project.id));
    r = change_lock(&change, KEY_SUBNETS_LOCK);
    if (r == 0) {
        r = change_add_event(&change, "project_deleted", "project", project.id, project.id, 0,
                             "nothing of it runs any more", "project \"%s\" is gone", project.name);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_project_forget(struct service *service, uint64_t id, struct error *error)
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
