// SPDX-License-Identifier: Apache-2.0
#include "api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "codec/json.h"

#define ROUTE(method, pattern, function, text)          \
    {                                                   \
        method, pattern, (void (*)(void))function, text \
    }

const struct route api_routes[] = {
    ROUTE("GET", "/v1/projects", serve_projects, "All projects"),
    ROUTE("POST", "/v1/projects", serve_project_new, "A new project"),
    ROUTE("GET", "/v1/projects/{project}", serve_project, "One project"),
    ROUTE("PATCH", "/v1/projects/{project}", serve_project_change, "Change a project"),
    ROUTE("DELETE", "/v1/projects/{project}", serve_project_delete, "Delete an empty project"),
    ROUTE("GET", "/v1/projects/{project}/load-balancers", serve_load_balancers,
          "The project's load balancers"),
    ROUTE("POST", "/v1/projects/{project}/load-balancers", serve_load_balancer_new,
          "A new load balancer; ?wait=serving&timeout_s="),
    ROUTE("GET", "/v1/projects/{project}/load-balancers/{load_balancer}", serve_load_balancer,
          "One load balancer with its status"),
    ROUTE("PATCH", "/v1/projects/{project}/load-balancers/{load_balancer}",
          serve_load_balancer_change, "Change a load balancer; ?wait=serving&timeout_s="),
    ROUTE("DELETE", "/v1/projects/{project}/load-balancers/{load_balancer}",
          serve_load_balancer_delete, "Delete a load balancer"),
    ROUTE("GET", "/v1/projects/{project}/load-balancers/{load_balancer}/listeners", serve_listeners,
          "Its listeners"),
    ROUTE("POST", "/v1/projects/{project}/load-balancers/{load_balancer}/listeners",
          serve_listener_new, "A new listener"),
    ROUTE("GET", "/v1/projects/{project}/load-balancers/{load_balancer}/listeners/{listener}",
          serve_listener, "One listener"),
    ROUTE("PATCH", "/v1/projects/{project}/load-balancers/{load_balancer}/listeners/{listener}",
          serve_listener_change, "Change a listener"),
    ROUTE("DELETE", "/v1/projects/{project}/load-balancers/{load_balancer}/listeners/{listener}",
          serve_listener_delete, "Delete a listener; the last one stays"),
    ROUTE("GET", "/v1/projects/{project}/target-groups", serve_target_groups,
          "The project's target groups"),
    ROUTE("POST", "/v1/projects/{project}/target-groups", serve_target_group_new,
          "A new target group"),
    ROUTE("GET", "/v1/projects/{project}/target-groups/{target_group}", serve_target_group,
          "One target group"),
    ROUTE("PATCH", "/v1/projects/{project}/target-groups/{target_group}", serve_target_group_change,
          "Change a target group"),
    ROUTE("DELETE", "/v1/projects/{project}/target-groups/{target_group}",
          serve_target_group_delete, "Delete a target group that nothing uses"),
    ROUTE("GET", "/v1/projects/{project}/target-groups/{target_group}/health-check",
          serve_health_check, "Its health check"),
    ROUTE("PUT", "/v1/projects/{project}/target-groups/{target_group}/health-check",
          serve_health_check_put, "Replace its health check"),
    ROUTE("GET", "/v1/projects/{project}/target-groups/{target_group}/targets", serve_targets,
          "Its targets"),
    ROUTE("POST", "/v1/projects/{project}/target-groups/{target_group}/targets", serve_target_new,
          "One more target"),
    ROUTE("GET", "/v1/projects/{project}/target-groups/{target_group}/targets/{address_port}",
          serve_target, "One target"),
    ROUTE("PUT", "/v1/projects/{project}/target-groups/{target_group}/targets/{address_port}",
          serve_target_put, "Set a target's weight; it is added when it is not there"),
    ROUTE("DELETE", "/v1/projects/{project}/target-groups/{target_group}/targets/{address_port}",
          serve_target_delete, "Remove a target"),
    ROUTE("POST", "/v1/requests", serve_request, "The envelope; ?wait=serving&timeout_s="),
    ROUTE("GET", "/v1/events", serve_events,
          "?project=&load_balancer=&after=&limit=&wait_ms=; or Accept: text/event-stream"),
    ROUTE("GET", "/v1/units", serve_units, "All units"),
    ROUTE("GET", "/v1/nodes", serve_nodes, "All nodes"),
    ROUTE("GET", "/v1/nodes/{node}/desired", serve_desired,
          "For agents: what the node shall run; ?after=&wait_ms="),
    ROUTE("PUT", "/v1/nodes/{node}/observed", serve_observed, "For agents: what the node runs"),
    ROUTE("GET", "/v1/health", serve_health, "Whether the controller works"),
    ROUTE("GET", "/openapi.json", serve_openapi, "This description"),
};
const size_t api_route_count = ARRAY_LEN(api_routes);

int api_new(const struct api_options *options, struct api **ret_api, struct error *error)
{
    struct api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    api->options = *options;
    api->service = controller_service(options->controller);
    *ret_api = api;
    return 0;
}

struct api *api_free(struct api *api)
{
    free(api);
    return NULL;
}

// ── From a request to its function ───────────────────────────────────────────────────────────

static int find_route(struct call *call)
{
    const struct http1_head *head = call->request->head;
    switch (route_find(api_routes, ARRAY_LEN(api_routes), head->method_text, head->path,
                       &call->match)) {
    case 0:
        return 0;
    case -ENOENT:
        return error_set_field(&call->error, -ENOENT, "no_such_path", NULL,
                               "there is nothing at this path");
    case -EPERM:
        return error_set_field(&call->error, -EPERM, "method_not_allowed", NULL,
                               "this path takes %s", call->match.allow);
    default:
        return error_set_field(&call->error, -EINVAL, "invalid_path", NULL,
                               "the path is badly encoded or too long");
    }
}

// A web page anywhere can make a browser on this machine send a POST here, without being asked
// first when it calls the JSON plain text. Browsers tell by Origin; no page is ours yet.
static int refuse_web_pages(struct call *call)
{
    const struct http1_head *head = call->request->head;
    if (http1_method_is_safe(head->method) || http1_find(head, HTTP1_ORIGIN, 0) == NULL) {
        return 0;
    }
    return error_set_field(&call->error, -EACCES, "cross_origin", "Origin",
                           "web pages may not change anything here");
}

// An agent's report is its own document; everything else that has a body is a user's JSON.
static int read_body(struct call *call)
{
    struct str body = call->request->body;
    const char *method = call->match.route->method;
    bool takes_body = strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0;
    if (!takes_body || call->match.route->serve == (void (*)(void))serve_observed) {
        return 0;
    }
    return json_doc_parse(body, JSON_USER_BYTES_MAX, &call->body, &call->error);
}

static void gone(struct http_request *request)
{
    call_free(request->owner);
}

void api_asked(struct http_request *request, void *owner)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        http_request_reply(request, &(struct http_reply){.status = 503});
        return;
    }
    call->api = owner;
    call->request = request;
    arena_init(&call->arena, 8192);
    request->owner = call;
    request->gone = gone;
    int r = find_route(call);
    serve_fn serve = r == 0 ? (serve_fn)call->match.route->serve : NULL;
    call->is_envelope = serve == serve_request;
    if (r == 0) {
        r = refuse_web_pages(call);
    }
    if (r == 0) {
        r = read_body(call);
    }
    call_continue(call, r == 0 ? serve(call) : r);
}
