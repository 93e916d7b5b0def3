// SPDX-License-Identifier: Apache-2.0
// Projects, load balancers and target groups as resources. Each function reads, calls the service,
// and answers with the object as it is then.
#include <inttypes.h>
#include <stdio.h>

#include "api/call.h"

// ── Projects ─────────────────────────────────────────────────────────────────────────────────

int serve_projects(struct call *call)
{
    struct project *projects;
    size_t count;
    int r = service_project_list(call->api->service, &call->arena, &projects, &count, &call->error);
    return r < 0 ? r : answer_items(call, &project_schema, projects, count);
}

int serve_project_new(struct call *call)
{
    struct project *project;
    int r = call_need_body(call);
    if (r == 0) {
        r = service_project_create(call->api->service, call->body, &call->arena, &project,
                                   &call->error);
    }
    if (r == 0) {
        r = answer_location(call, "/v1/projects/%" PRIu64, project->id);
    }
    return r < 0 ? r : answer_object(call, 201, &project_schema, project, project->generation);
}

int serve_project(struct call *call)
{
    struct project *project;
    int r = call_project(call, &project);
    return r < 0 ? r : answer_object(call, 200, &project_schema, project, project->generation);
}

int serve_project_change(struct call *call)
{
    struct project *project;
    uint64_t if_match;
    const char *ref = call_value(call, 0);
    int r = ref == NULL ? call->error.code : call_need_body(call);
    if (r == 0) {
        r = call_if_match(call, &if_match);
    }
    if (r == 0) {
        r = service_project_update(call->api->service, ref, call->body, if_match, &call->arena,
                                   &project, &call->error);
    }
    return r < 0 ? r : answer_object(call, 200, &project_schema, project, project->generation);
}

int serve_project_delete(struct call *call)
{
    uint64_t if_match;
    const char *ref = call_value(call, 0);
    int r = ref == NULL ? call->error.code : call_if_match(call, &if_match);
    if (r == 0) {
        r = service_project_delete(call->api->service, ref, if_match, &call->error);
    }
    return r < 0 ? r : answer_nothing(call);
}

// ── Load balancers ───────────────────────────────────────────────────────────────────────────

int call_wait_serving(struct call *call, uint64_t *ret_wait_ms)
{
    uint64_t timeout_s;
    const char *wait = call_parameter(call, "wait");
    int r = wait == NULL ? call->error.code : call_number(call, "timeout_s", 600, 30, &timeout_s);
    if (r < 0) {
        return r;
    }
    *ret_wait_ms = 0;
    if (wait[0] == '\0') {
        return 0;
    }
    if (strcmp(wait, "serving") != 0) {
        return error_set_field(&call->error, -EINVAL, "invalid_parameter", "wait",
                               "the parameter wait can only be \"serving\"");
    }
    *ret_wait_ms = MAX(timeout_s * 1000, UINT64_C(1));
    return 0;
}

static bool is_active(const struct load_balancer *balancer)
{
    const struct load_balancer_status *status = balancer->status;
    return status != NULL && status->state == LOAD_BALANCER_ACTIVE &&
           status->generation >= balancer->generation;
}

static int find_waited(struct call *call, struct project **ret_project,
                       struct load_balancer **ret_balancer)
{
    char ref[24];
    snprintf(ref, sizeof(ref), "%" PRIu64, call->project_id);
    int r = service_project_find(call->api->service, ref, &call->arena, ret_project, &call->error);
    if (r == 0) {
        snprintf(ref, sizeof(ref), "%" PRIu64, call->load_balancer_id);
        r = service_load_balancer_find(call->api->service, *ret_project, ref, &call->arena,
                                       ret_balancer, &call->error);
    }
    return r;
}

// Memory of each look is given back: a wait may take many.
static int look_at_waited(struct call *call)
{
    struct controller *controller = call->api->options.controller;
    struct arena whole = call->arena;
    struct project *project;
    struct load_balancer *balancer;
    arena_init(&call->arena, 8192);
    int r = find_waited(call, &project, &balancer);
    bool active = r == 0 && is_active(balancer);
    if (r == 0 && !active && balancer->deleting) {
        r = error_set_field(&call->error, -EBUSY, "deleting", NULL,
                            "the load balancer \"%s\" is being deleted", balancer->name);
    } else if (r == 0 && !active && call->expired) {
        const char *state = balancer->status != NULL
                                ? load_balancer_state_names[balancer->status->state]
                                : "unknown";
        r = error_set_field(&call->error, -ETIMEDOUT, "not_serving", NULL,
                            "the load balancer \"%s\" does not serve yet: its state is %s",
                            balancer->name, state);
    } else if (r == 0 && !active) {
        controller_wait_status(controller, call->load_balancer_id, &call->waiter);
        r = API_WAIT;
    }
    arena_reset(&call->arena);
    call->arena = whole;
    return r;
}

static int again_until_active(struct call *call)
{
    int r = look_at_waited(call);
    return r == 0 ? call->then(call) : r;
}

int wait_until_active(struct call *call, uint64_t wait_ms, uint64_t project_id, uint64_t id,
                      int (*finish)(struct call *call))
{
    call->project_id = project_id;
    call->load_balancer_id = id;
    call->then = finish;
    return call_wait(call, wait_ms, again_until_active);
}

static int finish_load_balancer(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    int r = find_waited(call, &project, &balancer);
    if (r == 0 && call->reply_status == 201) {
        r = answer_location(call, "/v1/projects/%" PRIu64 "/load-balancers/%" PRIu64, project->id,
                            balancer->id);
    }
    return r < 0 ? r
                 : answer_object(call, call->reply_status, &load_balancer_schema, balancer,
                                 balancer->generation);
}

int answer_load_balancer(struct call *call, unsigned status, const struct project *project,
                         const struct load_balancer *balancer)
{
    uint64_t wait_ms;
    call->reply_status = status;
    call->project_id = project->id;
    call->load_balancer_id = balancer->id;
    int r = call_wait_serving(call, &wait_ms);
    if (r < 0) {
        return r;
    }
    return wait_ms == 0
               ? finish_load_balancer(call)
               : wait_until_active(call, wait_ms, project->id, balancer->id, finish_load_balancer);
}

int serve_load_balancers(struct call *call)
{
    struct project *project;
    struct load_balancer *balancers;
    size_t count;
    int r = call_project(call, &project);
    if (r == 0) {
        r = service_load_balancer_list(call->api->service, project, &call->arena, &balancers,
                                       &count, &call->error);
    }
    return r < 0 ? r : answer_items(call, &load_balancer_schema, balancers, count);
}

int serve_load_balancer_new(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    uint64_t wait_ms;
    int r = call_need_body(call);
    if (r == 0) {
        r = call_wait_serving(call, &wait_ms); // refused before anything is made
    }
    if (r == 0) {
        r = call_project(call, &project);
    }
    if (r == 0) {
        r = service_load_balancer_create(call->api->service, project, call->body, &call->arena,
                                         &balancer, &call->error);
    }
    return r < 0 ? r : answer_load_balancer(call, 201, project, balancer);
}

int serve_load_balancer(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    int r = call_project(call, &project);
    const char *ref = call_value(call, 1);
    if (r == 0 && ref != NULL) {
        r = service_load_balancer_find(call->api->service, project, ref, &call->arena, &balancer,
                                       &call->error);
    }
    return call->error.code != 0
               ? call->error.code
               : answer_object(call, 200, &load_balancer_schema, balancer, balancer->generation);
}

int serve_load_balancer_change(struct call *call)
{
    struct project *project;
    struct load_balancer *balancer;
    uint64_t if_match, wait_ms;
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_need_body(call);
    if (r == 0) {
        r = call_wait_serving(call, &wait_ms);
    }
    if (r == 0) {
        r = call_if_match(call, &if_match);
    }
    if (r == 0) {
        r = call_project(call, &project);
    }
    if (r == 0) {
        r = service_load_balancer_update(call->api->service, project, ref, call->body, if_match,
                                         &call->arena, &balancer, &call->error);
    }
    return r < 0 ? r : answer_load_balancer(call, 200, project, balancer);
}

int serve_load_balancer_delete(struct call *call)
{
    struct project *project;
    uint64_t if_match;
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_if_match(call, &if_match);
    if (r == 0) {
        r = call_project(call, &project);
    }
    if (r == 0) {
        r = service_load_balancer_delete(call->api->service, project, ref, if_match, &call->error);
    }
    return r < 0 ? r : answer_nothing(call);
}

// ── Target groups ────────────────────────────────────────────────────────────────────────────

int serve_target_groups(struct call *call)
{
    struct project *project;
    struct target_group *groups;
    size_t count;
    int r = call_project(call, &project);
    if (r == 0) {
        r = service_target_group_list(call->api->service, project, &call->arena, &groups, &count,
                                      &call->error);
    }
    return r < 0 ? r : answer_items(call, &target_group_schema, groups, count);
}

static int answer_target_group(struct call *call, unsigned status, const struct target_group *group)
{
    resolve_keep(call);
    int r = answer_location(call, "/v1/projects/%" PRIu64 "/target-groups/%" PRIu64,
                            group->project_id, group->id);
    return r < 0 ? r : answer_object(call, status, &target_group_schema, group, group->generation);
}

static int create_target_group(struct call *call)
{
    struct project *project;
    struct target_group *group;
    int r = call_project(call, &project);
    if (r == 0) {
        r = service_target_group_create(call->api->service, project, call->body, &call->arena,
                                        &group, &call->error);
    }
    return r < 0 ? r : answer_target_group(call, 201, group);
}

int serve_target_group_new(struct call *call)
{
    int r = call_need_body(call);
    return r < 0 ? r
                 : resolve_hosts_of_targets(call, json_object_get(call->body, "targets"),
                                            create_target_group);
}

int serve_target_group(struct call *call)
{
    struct project *project;
    struct target_group *group;
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_project(call, &project);
    if (r == 0) {
        r = service_target_group_find(call->api->service, project, ref, &call->arena, &group,
                                      &call->error);
    }
    return r < 0 ? r : answer_object(call, 200, &target_group_schema, group, group->generation);
}

static int change_target_group(struct call *call)
{
    struct project *project;
    struct target_group *group;
    uint64_t if_match;
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_if_match(call, &if_match);
    if (r == 0) {
        r = call_project(call, &project);
    }
    if (r == 0) {
        r = service_target_group_update(call->api->service, project, ref, call->body, if_match,
                                        &call->arena, &group, &call->error);
    }
    return r < 0 ? r : answer_target_group(call, 200, group);
}

int serve_target_group_change(struct call *call)
{
    int r = call_need_body(call);
    return r < 0 ? r
                 : resolve_hosts_of_targets(call, json_object_get(call->body, "targets"),
                                            change_target_group);
}

int serve_target_group_delete(struct call *call)
{
    struct project *project;
    uint64_t if_match;
    const char *ref = call_value(call, 1);
    int r = ref == NULL ? call->error.code : call_if_match(call, &if_match);
    if (r == 0) {
        r = call_project(call, &project);
    }
    if (r == 0) {
        r = service_target_group_delete(call->api->service, project, ref, if_match, &call->error);
    }
    return r < 0 ? r : answer_nothing(call);
}
