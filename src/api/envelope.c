// SPDX-License-Identifier: Apache-2.0
// POST /v1/requests: the envelope. One function an action and type; all end in the same service as
// the REST paths do.
#include <inttypes.h>
#include <stdio.h>

#include "api/call.h"

static struct service *service_of(struct call *call)
{
    return call->api->service;
}

static int answer_envelope(struct call *call, unsigned status, json_t *info)
{
    const struct request *request = &call->envelope;
    if (info == NULL) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    return answer_json(call, status,
                       json_pack("{s:s, s:s, s:s, s:o}", "status", "successful", "action",
                                 request_action_names[request->action], "type",
                                 request_type_names[request->type], "info", info),
                       0);
}

// ── Projects ─────────────────────────────────────────────────────────────────────────────────

// A project with the names of its instances, as the source document has it.
static json_t *print_project(struct call *call, const struct project *project)
{
    struct load_balancer *balancers;
    size_t count = 0;
    json_t *instances = json_array();
    int r = service_load_balancer_list(service_of(call), project, &call->arena, &balancers, &count,
                                       &call->error);
    json_t *json = r == 0 ? schema_print(&project_schema, project) : NULL;
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(instances, json_pack("{s:I, s:s}", "id", (json_int_t)balancers[i].id,
                                                   "name", balancers[i].name));
    }
    if (json == NULL || json_object_set_new(json, "instances", instances) < 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

// Errors of the service speak of the object; here it stands in info.
static int in_envelope(struct call *call, int r, const char *when_not_found)
{
    struct error *error = &call->error;
    if (r == -ENOENT && error->field[0] == '\0') {
        snprintf(error->field, sizeof(error->field), "%s", when_not_found);
    } else if (r < 0 && call->envelope.type == REQUEST_PROJECT && error->field[0] != '\0' &&
               call->envelope.base[0] != '\0') {
        char field[sizeof(error->field)];
        snprintf(field, sizeof(field), "%s.%.50s", call->envelope.base, error->field);
        memcpy(error->field, field, sizeof(field));
    }
    return r;
}

static int project_create(struct call *call)
{
    struct project *project;
    int r = service_project_create(service_of(call), call->envelope.info, &call->arena, &project,
                                   &call->error);
    return r < 0 ? in_envelope(call, r, "")
                 : answer_envelope(call, 201, print_project(call, project));
}

static int project_info(struct call *call)
{
    struct project *project;
    int r = service_project_find(service_of(call), call->envelope.object, &call->arena, &project,
                                 &call->error);
    return r < 0 ? in_envelope(call, r, "id")
                 : answer_envelope(call, 200, print_project(call, project));
}

static int project_update(struct call *call)
{
    struct project *project;
    int r = service_project_update(service_of(call), call->envelope.object, call->envelope.info, 0,
                                   &call->arena, &project, &call->error);
    return r < 0 ? in_envelope(call, r, "id")
                 : answer_envelope(call, 200, print_project(call, project));
}

static int project_delete(struct call *call)
{
    struct project *project;
    int r = service_project_find(service_of(call), call->envelope.object, &call->arena, &project,
                                 &call->error);
    if (r == 0) {
        r = service_project_delete(service_of(call), call->envelope.object, 0, &call->error);
    }
    return r < 0 ? in_envelope(call, r, "id")
                 : answer_envelope(call, 200,
                                   json_pack("{s:I, s:s}", "id", (json_int_t)project->id, "name",
                                             project->name));
}

static int project_list(struct call *call)
{
    struct project *projects;
    size_t count;
    int r = service_project_list(service_of(call), &call->arena, &projects, &count, &call->error);
    json_t *items = r == 0 ? json_array() : NULL;
    for (size_t i = 0; i < count && items != NULL; i++) {
        if (json_array_append_new(items, print_project(call, &projects[i])) < 0) {
            json_decref(items);
            items = NULL;
        }
    }
    return r < 0 ? r
                 : answer_envelope(call, 200,
                                   items != NULL ? json_pack("{s:o}", "items", items) : NULL);
}

// ── Instances ────────────────────────────────────────────────────────────────────────────────

static int find_project(struct call *call, struct project **ret_project)
{
    int r = service_project_find(service_of(call), call->envelope.project, &call->arena,
                                 ret_project, &call->error);
    return in_envelope(call, r, "project");
}

static int answer_instance(struct call *call, unsigned status,
                           const struct service_instance *instance)
{
    return answer_envelope(call, status,
                           instance_print(instance->project, instance->balancer, instance->group));
}

static int finish_instance(struct call *call)
{
    char project_ref[24], ref[24];
    struct project *project;
    struct service_instance instance;
    snprintf(project_ref, sizeof(project_ref), "%" PRIu64, call->project_id);
    snprintf(ref, sizeof(ref), "%" PRIu64, call->load_balancer_id);
    int r =
        service_project_find(service_of(call), project_ref, &call->arena, &project, &call->error);
    if (r == 0) {
        r = service_instance_find(service_of(call), project, ref, &call->arena, &instance,
                                  &call->error);
    }
    return r < 0 ? r : answer_instance(call, call->reply_status, &instance);
}

// Created or changed: answered at once, or when it is active.
static int conclude(struct call *call, unsigned status, const struct service_instance *instance)
{
    uint64_t wait_ms;
    resolve_keep(call);
    call->reply_status = status;
    int r = call_wait_serving(call, &wait_ms);
    if (r < 0 || wait_ms == 0) {
        return r < 0 ? r : answer_instance(call, status, instance);
    }
    return wait_until_active(call, wait_ms, instance->project->id, instance->balancer->id,
                             finish_instance);
}

static int instance_write(struct call *call)
{
    struct project *project;
    struct service_instance instance;
    bool creates = call->envelope.action == REQUEST_CREATE;
    int r = find_project(call, &project);
    if (r < 0) {
        return r;
    }
    r = creates ? service_instance_create(service_of(call), project, &call->envelope, &call->arena,
                                          &instance, &call->error)
                : service_instance_update(service_of(call), project, &call->envelope, &call->arena,
                                          &instance, &call->error);
    return r < 0 ? in_envelope(call, r, "id") : conclude(call, creates ? 201 : 200, &instance);
}

// Resolves first, so that a target that has no address stops everything.
static int instance_resolve_and_write(struct call *call)
{
    const char **hosts;
    size_t count;
    uint64_t wait_ms;
    int r = call_wait_serving(call, &wait_ms); // refused before anything is made
    if (r == 0) {
        r = request_hosts(&call->envelope, &call->arena, &hosts, &count, &call->error);
    }
    if (r < 0) {
        return r;
    }
    const char *field =
        call->envelope.base[0] != '\0' ? "info.backend.entities" : "backend.entities";
    return resolve_hosts(call, hosts, count, field, instance_write);
}

static int instance_info(struct call *call)
{
    struct project *project;
    struct service_instance instance;
    int r = find_project(call, &project);
    if (r < 0) {
        return r;
    }
    r = service_instance_find(service_of(call), project, call->envelope.object, &call->arena,
                              &instance, &call->error);
    return r < 0 ? in_envelope(call, r, "id") : answer_instance(call, 200, &instance);
}

static int instance_delete(struct call *call)
{
    struct project *project;
    struct service_instance instance;
    int r = find_project(call, &project);
    if (r < 0) {
        return r;
    }
    r = service_instance_find(service_of(call), project, call->envelope.object, &call->arena,
                              &instance, &call->error);
    if (r == 0) {
        r = service_instance_delete(service_of(call), project, &call->envelope, &call->error);
    }
    return r < 0 ? in_envelope(call, r, "id")
                 : answer_envelope(call, 200,
                                   json_pack("{s:I, s:s, s:s}", "id",
                                             (json_int_t)instance.balancer->id, "name",
                                             instance.balancer->name, "project", project->name));
}

static int instance_list(struct call *call)
{
    struct project *project;
    struct service_instance *instances;
    size_t count = 0;
    int r = find_project(call, &project);
    if (r == 0) {
        r = service_instance_list(service_of(call), project, &call->arena, &instances, &count,
                                  &call->error);
    }
    json_t *items = r == 0 ? json_array() : NULL;
    for (size_t i = 0; i < count && items != NULL; i++) {
        if (json_array_append_new(
                items, instance_print(project, instances[i].balancer, instances[i].group)) < 0) {
            json_decref(items);
            items = NULL;
        }
    }
    return r < 0 ? r
                 : answer_envelope(call, 200,
                                   items != NULL ? json_pack("{s:o}", "items", items) : NULL);
}

static int (*const functions[2][5])(struct call *call) = {
    [REQUEST_PROJECT] = {[REQUEST_CREATE] = project_create,
                         [REQUEST_INFO] = project_info,
                         [REQUEST_UPDATE] = project_update,
                         [REQUEST_DELETE] = project_delete,
                         [REQUEST_LIST] = project_list},
    [REQUEST_INSTANCE] = {[REQUEST_CREATE] = instance_resolve_and_write,
                          [REQUEST_INFO] = instance_info,
                          [REQUEST_UPDATE] = instance_resolve_and_write,
                          [REQUEST_DELETE] = instance_delete,
                          [REQUEST_LIST] = instance_list},
};

int serve_request(struct call *call)
{
    int r = request_parse(call->body, &call->arena, &call->envelope, &call->error);
    return r < 0 ? r : functions[call->envelope.type][call->envelope.action](call);
}
