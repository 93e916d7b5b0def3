// SPDX-License-Identifier: Apache-2.0
// One call: a request on its way to its answer. A route's function looks at it and returns
//   0          answer is filled in: it is sent
//   negative   error is filled in: it becomes a problem (RFC 9457), or the envelope's error
//   API_WAIT   it waits for the controller: `again` is called when something changed, and at the
//              deadline with expired set; it returns the same again
//   API_TAKEN  the function has answered, or streams, by itself
#pragma once

#include "api/api.h"
#include "event/timer.h"
#include "http/router.h"

enum { API_WAIT = 1, API_TAKEN = 2 };

struct api {
    struct api_options options;
    struct service *service; // the controller's
    uint64_t complain_at_ms; // not earlier
};

struct api_answer {
    unsigned status;
    json_t *body;         // owned; or:
    char *text;           // owned, JSON
    uint64_t etag;        // generation; 0: none
    const char *location; // in the arena; NULL: none
};

struct lookup; // of hosts.c

struct call {
    struct api *api;
    struct http_request *request;
    struct arena arena;
    struct route_match match;
    json_t *body; // NULL when there is none
    struct error error;
    struct api_answer answer;

    // While it waits.
    int (*again)(struct call *call);
    struct controller_waiter waiter;
    struct timer deadline;
    bool expired, is_waiting;
    bool has_after;                         // of events: waits_for_after was given
    uint64_t waits_for_id, waits_for_after; // the function's own
    uint64_t project_id, load_balancer_id;
    unsigned reply_status;
    bool is_envelope; // errors are told in the envelope's form
    struct request envelope;

    // While host names are resolved.
    struct lookup *lookups;
    size_t lookup_count, lookups_open, lookups_failed;
    const char *lookup_field;
    int (*then)(struct call *call);
};

// A route: what serves it is cast back from route.serve.
typedef int (*serve_fn)(struct call *call);

// The index-th {name} of the path, in the arena. NULL: out of memory (error is set).
const char *call_value(struct call *call, size_t index);
// A parameter of the query; "" when absent. NULL: badly written (error is set).
const char *call_parameter(struct call *call, const char *name);
// -EINVAL with reason invalid_parameter. absent: what it is when it is not given.
int call_number(struct call *call, const char *name, uint64_t max, uint64_t absent,
                uint64_t *ret_number);
// The generation in If-Match; 0 when there is none or it is "*".
int call_if_match(struct call *call, uint64_t *ret_generation);
// The body is an object.
int call_need_body(struct call *call);
// {"project"} of the path, which is always its first {name}.
int call_project(struct call *call, struct project **ret_project);

// Answers. A NULL json is "out of memory".
int answer_json(struct call *call, unsigned status, json_t *json, uint64_t etag);
int answer_object(struct call *call, unsigned status, const struct schema *schema,
                  const void *object, uint64_t etag);
// {"items": […]}; items is an array of schema->size structs.
int answer_items(struct call *call, const struct schema *schema, const void *items, size_t count);
int answer_nothing(struct call *call);
// Formats answer.location into the arena.
int answer_location(struct call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Makes it wait until the deadline (0: answered by `again` at once with expired set).
int call_wait(struct call *call, uint64_t wait_ms, int (*again)(struct call *call));
// Goes on with what a function of the kind above returned. The call may be freed inside.
void call_continue(struct call *call, int result);
void call_free(struct call *call);

// HTTP status of an error.
unsigned problem_status(const struct error *error);
json_t *problem_json(const struct error *error);
// body: what was sent; its action and type are repeated.
json_t *envelope_error_json(const json_t *body, const struct error *error);
// The reason, or a word derived from the code.
const char *problem_code(const struct error *error);

// Resolves the names that are not known yet, for at most 5 s, then calls `then`. hosts: in the
// arena, doubles allowed. field: of the error when one has no address.
int resolve_hosts(struct call *call, const char *const *hosts, size_t count, const char *field,
                  int (*then)(struct call *call));
// Writes what was resolved to the store, after the operation has succeeded.
void resolve_keep(struct call *call);
void resolve_cancel(struct call *call);
// The host names in an array of targets (anything else is left to the table to refuse).
int resolve_hosts_of_targets(struct call *call, const json_t *targets,
                             int (*then)(struct call *call));

// rest.c, sub.c
int serve_projects(struct call *call);
int serve_project_new(struct call *call);
int serve_project(struct call *call);
int serve_project_change(struct call *call);
int serve_project_delete(struct call *call);
int serve_load_balancers(struct call *call);
int serve_load_balancer_new(struct call *call);
int serve_load_balancer(struct call *call);
int serve_load_balancer_change(struct call *call);
int serve_load_balancer_delete(struct call *call);
int serve_target_groups(struct call *call);
int serve_target_group_new(struct call *call);
int serve_target_group(struct call *call);
int serve_target_group_change(struct call *call);
int serve_target_group_delete(struct call *call);
int serve_listeners(struct call *call);
int serve_listener_new(struct call *call);
int serve_listener(struct call *call);
int serve_listener_change(struct call *call);
int serve_listener_delete(struct call *call);
int serve_targets(struct call *call);
int serve_target_new(struct call *call);
int serve_target(struct call *call);
int serve_target_put(struct call *call);
int serve_target_delete(struct call *call);
int serve_health_check(struct call *call);
int serve_health_check_put(struct call *call);
// cluster.c
int serve_units(struct call *call);
int serve_nodes(struct call *call);
int serve_health(struct call *call);
int serve_desired(struct call *call);
int serve_observed(struct call *call);
int serve_events(struct call *call);
// envelope.c
int serve_request(struct call *call);
// openapi.c
int serve_openapi(struct call *call);

extern const struct route api_routes[];
extern const size_t api_route_count;

// ?wait=serving: reads the parameter; *ret_wait_ms 0 when it is not given.
int call_wait_serving(struct call *call, uint64_t *ret_wait_ms);
// Answers with the load balancer, at once or when it is active.
int answer_load_balancer(struct call *call, unsigned status, const struct project *project,
                         const struct load_balancer *balancer);
// For both doors: waits until it is active, then `finish` makes the answer.
int wait_until_active(struct call *call, uint64_t wait_ms, uint64_t project_id, uint64_t id,
                      int (*finish)(struct call *call));
