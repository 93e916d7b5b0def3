// SPDX-License-Identifier: Apache-2.0
// /openapi.json (OpenAPI 3.1), made from the table of routes and the model's tables.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "model/desired.h"
#include "model/observed.h"

static const struct schema *const schemas[] = {
    &project_schema,
    &load_balancer_schema,
    &load_balancer_status_schema,
    &unit_status_schema,
    &listener_schema,
    &timeouts_schema,
    &target_group_schema,
    &target_schema,
    &health_check_schema,
    &target_report_schema,
    &unit_schema,
    &node_schema,
    &event_schema,
    &request_schema,
    &instance_schema,
    &instance_backend_schema,
    &instance_health_check_schema,
    &instance_criteria_schema,
    &desired_schema,
    &desired_front_schema,
    &desired_network_schema,
    &desired_unit_schema,
    &desired_limits_schema,
    &observed_schema,
    &observed_network_schema,
    &observed_unit_schema,
};

// What a body is, by the end of a path.
static const struct {
    const char *end;
    const struct schema *schema;
} bodies[] = {
    {"/projects", &project_schema},
    {"/{project}", &project_schema},
    {"/load-balancers", &load_balancer_schema},
    {"/{load_balancer}", &load_balancer_schema},
    {"/listeners", &listener_schema},
    {"/{listener}", &listener_schema},
    {"/target-groups", &target_group_schema},
    {"/{target_group}", &target_group_schema},
    {"/targets", &target_schema},
    {"/{address_port}", &target_schema},
    {"/health-check", &health_check_schema},
    {"/requests", &request_schema},
    {"/events", &event_schema},
    {"/units", &unit_schema},
    {"/nodes", &node_schema},
    {"/desired", &desired_schema},
    {"/observed", &observed_schema},
};

static const struct schema *schema_of(const char *pattern)
{
    size_t len = strlen(pattern);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        size_t end = strlen(bodies[i].end);
        if (len >= end && strcmp(pattern + len - end, bodies[i].end) == 0) {
            return bodies[i].schema;
        }
    }
    return NULL;
}

static json_t *content_of(const char *type, json_t *schema)
{
    return json_pack("{s:{s:{s:o}}}", "content", type, "schema", schema);
}

static json_t *reference_to(const struct schema *schema)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema->name);
}

static json_t *describe_responses(const struct route *route, const struct schema *schema)
{
    size_t len = strlen(route->pattern);
    bool is_get = strcmp(route->method, "GET") == 0;
    bool is_list = is_get && len > 0 && route->pattern[len - 1] == 's' &&
                   strstr(route->pattern, "{node}") == NULL && schema != NULL;
    bool is_empty =
        strcmp(route->method, "DELETE") == 0 || strstr(route->pattern, "/observed") != NULL;
    const char *status = is_empty                                                          ? "204"
                         : strcmp(route->method, "POST") == 0 && schema != &request_schema ? "201"
                                                                                           : "200";
    json_t *good = json_pack("{s:s}", "description", is_empty ? "Done" : "The object as it is now");
    if (!is_empty && schema != NULL && schema != &request_schema) {
        json_t *body = reference_to(schema);
        if (is_list) {
            body = json_pack("{s:s, s:{s:{s:s, s:o}}}", "type", "object", "properties", "items",
                             "type", "array", "items", body);
        }
        json_t *content = content_of("application/json", body);
        json_object_update(good, content);
        json_decref(content);
    }
    json_t *problem = json_pack("{s:s}", "$ref", "#/components/responses/problem");
    return json_pack("{s:o, s:o}", status, good, "default", problem);
}

static json_t *describe_parameters(const char *pattern)
{
    json_t *parameters = json_array();
    for (const char *at = strchr(pattern, '{'); at != NULL; at = strchr(at + 1, '{')) {
        size_t len = strcspn(at + 1, "}");
        json_array_append_new(parameters,
                              json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", at + 1, len, "in",
                                        "path", "required", 1, "schema", "type", "string"));
    }
    return parameters;
}

static json_t *describe_route(const struct route *route)
{
    const struct schema *schema = schema_of(route->pattern);
    json_t *json = json_pack("{s:s, s:o, s:o}", "summary", route->text, "parameters",
                             describe_parameters(route->pattern), "responses",
                             describe_responses(route, schema));
    bool has_body = strcmp(route->method, "GET") != 0 && strcmp(route->method, "DELETE") != 0;
    if (has_body && schema != NULL) {
        json_t *body = content_of("application/json", reference_to(schema));
        json_object_set_new(json, "requestBody", body);
    }
    return json;
}

static json_t *describe_paths(void)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < api_route_count; i++) {
        char method[8];
        size_t len = 0;
        for (; api_routes[i].method[len] != '\0' && len + 1 < sizeof(method); len++) {
            method[len] = (char)tolower((unsigned char)api_routes[i].method[len]);
        }
        method[len] = '\0';
        json_t *path = json_object_get(paths, api_routes[i].pattern);
        if (path == NULL) {
            path = json_object();
            json_object_set_new(paths, api_routes[i].pattern, path);
        }
        json_object_set_new(path, method, describe_route(&api_routes[i]));
    }
    return paths;
}

int serve_openapi(struct call *call)
{
    json_t *components = json_object();
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
        json_object_set_new(components, schemas[i]->name, schema_describe(schemas[i]));
    }
    json_object_set_new(
        components, "problem",
        json_pack("{s:s, s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}", "type",
                  "object", "description", "What went wrong (RFC 9457)", "properties", "type",
                  "type", "string", "title", "type", "string", "status", "type", "integer", "code",
                  "type", "string", "detail", "type", "string", "field", "type", "string"));
    json_t *problem =
        json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", "What went wrong", "content",
                  "application/problem+json", "schema", "$ref", "#/components/schemas/problem");
    json_t *json =
        json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:o, s:{s:o}}}", "openapi", "3.1.0", "info", "title",
                  "Weir", "version", WEIR_VERSION, "paths", describe_paths(), "components",
                  "schemas", components, "responses", "problem", problem);
    return answer_json(call, 200, json, 0);
}
