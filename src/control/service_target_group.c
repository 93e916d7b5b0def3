// SPDX-License-Identifier: Apache-2.0
// Target groups of a project.
#include <stdio.h>

#include "control/service_private.h"
#include "model/label.h"

struct operation {
    struct service *service;
    struct arena *arena;
    const struct project *project;
    const char *ref;
    const json_t *body;
    uint64_t if_match;
    struct target_group *group; // the result
    struct error *error;
};

int load_target_group(struct service *service, const struct project *project, const char *ref,
                      struct arena *arena, struct target_group *ret_group, uint64_t *ret_revision,
                      struct error *error)
{
    char key[KEY_LEN], label[LABEL_LEN];
    uint64_t id = 0;
    struct target_group group;
    int r = 0;
    if (!ref_is_id(ref, &id)) {
        r = label_derive(str_of(ref), label) < 0 || strlen(ref) > NAME_MAX_LEN
                ? -ENOENT
                : find_by_label(service, key_of_label(key, "target_group", project->id, label),
                                arena, &id, error);
    }
    if (r == 0) {
        r = service_load_one(service, key_of_id(key, KEY_TARGET_GROUPS, id), &target_group_schema,
                             arena, &group, ret_revision, error);
    }
    if (r == -ENOENT || (r == 0 && group.project_id != project->id)) {
        return refuse_not_found(error, "target group", ref);
    }
    if (r == 0) {
        *ret_group = group;
    }
    return r;
}

int service_target_group_find(struct service *service, const struct project *project,
                              const char *ref, struct arena *arena, struct target_group **ret_group,
                              struct error *error)
{
    struct target_group *group = arena_new(arena, struct target_group);
    if (group == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = load_target_group(service, project, ref, arena, group, NULL, error);
    if (r == 0) {
        *ret_group = group;
    }
    return r;
}

int project_target_groups(struct service *service, uint64_t project_id, struct arena *arena,
                          struct target_group **ret_groups, size_t *ret_count, struct error *error)
{
    struct target_group *all = NULL;
    size_t count = 0, kept = 0;
    int r = service_load_all(service, KEY_TARGET_GROUPS, &target_group_schema, arena, (void **)&all,
                             &count, error);
    for (size_t i = 0; i < count && r == 0; i++) {
        if (project_id == 0 || all[i].project_id == project_id) {
            all[kept++] = all[i];
        }
    }
    if (r == 0) {
        *ret_groups = all;
        *ret_count = kept;
    }
    return r;
}

int service_target_group_list(struct service *service, const struct project *project,
                              struct arena *arena, struct target_group **ret_groups,
                              size_t *ret_count, struct error *error)
{
    return project_target_groups(service, project != NULL ? project->id : 0, arena, ret_groups,
                                 ret_count, error);
}

// ── Steps ────────────────────────────────────────────────────────────────────────────────────

static int put_target_group(struct change *change, const struct target_group *group,
                            uint64_t revision)
{
    char key[KEY_LEN];
    key_of_id(key, KEY_TARGET_GROUPS, group->id);
    store_expect(&change->transaction, key, revision);
    return service_store_object(&change->transaction, key, &target_group_schema, group);
}

int stage_new_target_group(struct change *change, const struct project *project,
                           struct target_group *group, const char *name_field)
{
    char label[LABEL_LEN], key[KEY_LEN], id[24];
    uint64_t other;
    if (label_derive(str_of(group->name), label) < 0) {
        return name_validate(group->name, name_field, change->error);
    }
    key_of_label(key, "target_group", project->id, label);
    int r = find_by_label(change->service, key, change->arena, &other, change->error);
    if (r != -ENOENT) {
        return r < 0 ? r
                     : error_set_field(change->error, -EEXIST, "name_taken", name_field,
                                       "the project \"%s\" has a target group named \"%s\" already",
                                       project->name, group->name);
    }
    group->id = change_next_id(change);
    group->project_id = project->id;
    group->generation = 1;
    group->created_at = group->updated_at = change->now_ms;
    snprintf(id, sizeof(id), "%" PRIu64, group->id);
    store_expect(&change->transaction, key, 0);
    store_put(&change->transaction, key, str_of(id));
    r = put_target_group(change, group, 0);
    return r < 0 ? r
                 : change_add_event(change, "target_group_created", "target_group", group->id,
                                    project->id, 0, "requested",
                                    "target group \"%s\" with %zu targets", group->name,
                                    group->target_count);
}

int stage_target_group(struct change *change, const struct target_group *before,
                       struct target_group *group, uint64_t revision)
{
    bool same;
    int r = objects_are_equal(&target_group_schema, before, group, &same, change->error);
    if (r < 0 || same) {
        return r;
    }
    group->generation++;
    group->updated_at = change->now_ms;
    r = put_target_group(change, group, revision);
    return r < 0 ? r
                 : change_add_event(change, "target_group_updated", "target_group", group->id,
                                    group->project_id, 0, "requested",
                                    "target group \"%s\" changed: %zu targets", group->name,
                                    group->target_count);
}

int stage_target_group_removal(struct change *change, const struct target_group *group,
                               uint64_t revision)
{
    char key[KEY_LEN], label[LABEL_LEN];
    key_of_id(key, KEY_TARGET_GROUPS, group->id);
    store_expect(&change->transaction, key, revision);
    store_delete(&change->transaction, key);
    label_derive(str_of(group->name), label);
    store_delete(&change->transaction, key_of_label(key, "target_group", group->project_id, label));
    return change_add_event(change, "target_group_deleted", "target_group", group->id,
                            group->project_id, 0, "requested", "target group \"%s\" deleted",
                            group->name);
}

// ── Operations ───────────────────────────────────────────────────────────────────────────────

// What a check speaks follows what the group speaks, unless it was said. In a change, what is left
// out stays, and null takes the default.
static void default_check_protocol(struct target_group *group, const json_t *body, bool is_change)
{
    const json_t *check = json_object_get(body, "health_check");
    const json_t *protocol = json_object_get(check, "protocol");
    bool left_out = check == NULL || (json_is_object(check) && protocol == NULL);
    if (is_change ? json_is_null(check) || json_is_null(protocol) : left_out) {
        group->health_check.protocol = group->protocol;
    }
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
    struct target_group *group = arena_new(operation->arena, struct target_group);
    struct change change;
    struct project project;
    if (group == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    int r = schema_parse(&target_group_schema, operation->body, SCHEMA_CREATE, "", operation->arena,
                         group, operation->error);
    if (r == 0) {
        default_check_protocol(group, operation->body, false);
        r = target_group_validate(group, "", operation->error);
    }
    if (r == 0) {
        r = begin_in_project(operation, &change, &project);
    }
    if (r == 0) {
        r = change_take_ids(&change, 1);
    }
    if (r == 0) {
        r = stage_new_target_group(&change, &project, group, "name");
    }
    operation->group = group;
    return r == 0 ? change_commit(&change) : r;
}

int service_target_group_create(struct service *service, const struct project *project,
                                const json_t *body, struct arena *arena,
                                struct target_group **ret_group, struct error *error)
{
    struct error own = {0};
    struct operation operation = {.service = service,
                                  .arena = arena,
                                  .project = project,
                                  .body = body,
                                  .error = error != NULL ? error : &own};
    int r = service_attempt(try_create, &operation, operation.error);
    if (r == 0) {
        *ret_group = operation.group;
    }
    return r;
}

static int try_update(void *context)
{
    struct operation *operation = context;
    struct target_group *group = arena_new(operation->arena, struct target_group), before;
    struct change change;
    struct project project;
    uint64_t revision;
    if (group == NULL) {
        return error_set(operation->error, -ENOMEM, "out of memory");
    }
    int r = begin_in_project(operation, &change, &project);
    if (r == 0) {
        r = load_target_group(operation->service, &project, operation->ref, operation->arena,
                              &before, &revision, operation->error);
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, before.generation, operation->error);
    }
    if (r < 0) {
        return r;
    }
    *group = before;
    r = schema_parse(&target_group_schema, operation->body, SCHEMA_PATCH, "", operation->arena,
                     group, operation->error);
    if (r == 0) {
        default_check_protocol(group, operation->body, true);
        r = target_group_validate(group, "", operation->error);
    }
    if (r == 0) {
        r = stage_target_group(&change, &before, group, revision);
    }
    operation->group = group;
    return r == 0 && change.event_count > 0 ? change_commit(&change) : r;
}

int service_target_group_update(struct service *service, const struct project *project,
                                const char *ref, const json_t *patch, uint64_t if_match,
                                struct arena *arena, struct target_group **ret_group,
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
        *ret_group = operation.group;
    }
    return r;
}

static int refuse_when_used(struct operation *operation, const struct target_group *group)
{
    struct load_balancer *balancers;
    size_t count = 0;
    int r = project_load_balancers(operation->service, group->project_id, operation->arena,
                                   &balancers, &count, operation->error);
    for (size_t i = 0; i < count && r == 0; i++) {
        for (size_t k = 0; k < balancers[i].listener_count && r == 0; k++) {
            if (!balancers[i].deleting && balancers[i].listeners[k].target_group_id == group->id) {
                r = error_set_field(operation->error, -EBUSY, "in_use", NULL,
                                    "the target group \"%s\" is in use by the load balancer \"%s\"",
                                    group->name, balancers[i].name);
            }
        }
    }
    return r;
}

static int try_delete(void *context)
{
    struct operation *operation = context;
    struct target_group group;
    struct change change;
    struct project project;
    uint64_t revision;
    int r = begin_in_project(operation, &change, &project);
    if (r == 0) {
        r = load_target_group(operation->service, &project, operation->ref, operation->arena,
                              &group, &revision, operation->error);
    }
    if (r == 0) {
        r = check_if_match(operation->if_match, group.generation, operation->error);
    }
    if (r == 0) {
        r = refuse_when_used(operation, &group);
    }
    if (r == 0) {
        r = stage_target_group_removal(&change, &group, revision);
    }
    return r == 0 ? change_commit(&change) : r;
}

int service_target_group_delete(struct service *service, const struct project *project,
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
