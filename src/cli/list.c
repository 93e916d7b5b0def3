// SPDX-License-Identifier: Apache-2.0
// weir get …: lists. JSON is printed as the controller gave it ({"items": […]}).
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

static int get_items(struct call *call, const char *path, json_t **ret_body)
{
    int code = client_get(&call->client, path, ret_body);
    if (code == EXIT_OK && !json_is_array(json_object_get(*ret_body, "items"))) {
        tell_error("the controller's answer holds no list");
        json_decref(*ret_body);
        return EXIT_UNREACHABLE;
    }
    return code;
}

int run_get_projects(struct call *call)
{
    cleanup(json_release) json_t *body = NULL;
    int code = get_items(call, "/v1/projects", &body);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(body) : code;
    }
    static const struct table_column columns[] = {
        {.title = "ID", .right = true}, {"NAME"}, {"USER"}, {"SUBNET"}, {"AGE"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        char age[24];
        format_since(json_text(item, "created_at"), age, sizeof(age));
        table_add(&table,
                  (const char *[]){number_text(json_number(item, "id")), json_text(item, "name"),
                                   json_text(item, "user"), json_text(item, "subnet"), age});
    }
    table_print(&table, "There is no project yet; weir create project NAME makes one.");
    table_close(&table);
    return EXIT_OK;
}

// Lists of one kind over one project, or over all of them: the items, each with its "project" name.
// what: "load-balancers", "target-groups".
int get_in_projects(struct call *call, const char *what, json_t **ret_body)
{
    cleanup(json_release) json_t *projects = NULL, *all = json_array();
    const char *only = call_project(call);
    if (only != NULL) {
        cleanup(free_ptr) char *path = client_path("/v1/projects/%s", only);
        json_t *project = NULL;
        int code = client_get(&call->client, path, &project);
        if (code != EXIT_OK) {
            return code;
        }
        projects = json_pack("{s:[o]}", "items", project);
    } else {
        int code = get_items(call, "/v1/projects", &projects);
        if (code != EXIT_OK) {
            return code;
        }
    }
    size_t i, j;
    json_t *project, *item;
    json_array_foreach(json_object_get(projects, "items"), i, project)
    {
        cleanup(free_ptr) char *pattern = NULL;
        if (asprintf(&pattern, "/v1/projects/%%u/%s", what) < 0) {
            return EXIT_UNREACHABLE;
        }
        cleanup(free_ptr) char *path = client_path(pattern, json_number(project, "id"));
        struct answer answer;
        int code = client_send(&call->client, "GET", path, NULL, NULL, &answer);
        if (code != EXIT_OK) {
            return code;
        }
        cleanup(json_release) json_t *body = answer.body;
        if (answer.status == 404 && only == NULL) {
            continue; // the project went away meanwhile
        }
        if (answer.status >= 400) {
            return client_tell_refusal(&answer);
        }
        json_array_foreach(json_object_get(body, "items"), j, item)
        {
            json_object_set_new(item, "project", json_string(json_text(project, "name")));
            json_array_append(all, item);
        }
    }
    *ret_body = json_pack("{s:O}", "items", all);
    return EXIT_OK;
}

// "2/2": how many of the units that it wants serve.
static void format_units(const json_t *balancer, char *buffer, size_t size)
{
    const json_t *units = json_object_get(json_object_get(balancer, "status"), "units");
    size_t serving = 0, i;
    json_t *unit;
    json_array_foreach(units, i, unit)
    {
        serving += strcmp(json_text(unit, "state"), "serving") == 0;
    }
    snprintf(buffer, size, "%zu/%llu", serving, (unsigned long long)json_number(balancer, "units"));
}

static void format_targets(const json_t *balancer, char *buffer, size_t size)
{
    const json_t *targets = json_object_get(json_object_get(balancer, "status"), "targets");
    size_t healthy = 0, i;
    json_t *target;
    json_array_foreach(targets, i, target)
    {
        healthy += strcmp(json_text(target, "verdict"), "healthy") == 0;
    }
    snprintf(buffer, size, "%zu/%zu", healthy, json_array_size(targets));
}

void print_lbs(const json_t *items)
{
    static const struct table_column columns[] = {{.title = "ID", .right = true},
                                                  {"PROJECT"},
                                                  {"NAME"},
                                                  {.title = "STATE", .is_state = true},
                                                  {.title = "UNITS"},
                                                  {.title = "HEALTHY"},
                                                  {"URL"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const json_t *status = json_object_get(item, "status");
        char units[48], targets[48];
        format_units(item, units, sizeof(units));
        format_targets(item, targets, sizeof(targets));
        table_add(&table,
                  (const char *[]){number_text(json_number(item, "id")), json_text(item, "project"),
                                   json_text(item, "name"), json_text(status, "state"), units,
                                   targets, json_text(status, "url")});
    }
    table_print(&table, "There is no load balancer yet; weir create lb NAME makes one.");
    table_close(&table);
}

int run_get_lbs(struct call *call)
{
    cleanup(json_release) json_t *body = NULL;
    int code = get_in_projects(call, "load-balancers", &body);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(body) : code;
    }
    print_lbs(json_object_get(body, "items"));
    return EXIT_OK;
}

int run_get_target_groups(struct call *call)
{
    cleanup(json_release) json_t *body = NULL;
    int code = get_in_projects(call, "target-groups", &body);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(body) : code;
    }
    static const struct table_column columns[] = {
        {.title = "ID", .right = true},      {"PROJECT"}, {"NAME"}, {"PROTOCOL"}, {"ALGORITHM"},
        {.title = "TARGETS", .right = true}, {"CHECK"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        char check[128];
        format_health_check(json_object_get(item, "health_check"), check, sizeof(check));
        table_add(&table,
                  (const char *[]){number_text(json_number(item, "id")), json_text(item, "project"),
                                   json_text(item, "name"), json_text(item, "protocol"),
                                   json_text(item, "algorithm"),
                                   number_text(json_array_size(json_object_get(item, "targets"))),
                                   check});
    }
    table_print(&table, "There is no target group yet.");
    table_close(&table);
    return EXIT_OK;
}

int run_get_units(struct call *call)
{
    cleanup(json_release) json_t *body = NULL;
    int code = get_items(call, "/v1/units", &body);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(body) : code;
    }
    static const struct table_column columns[] = {{.title = "ID", .right = true},
                                                  {.title = "LB", .right = true},
                                                  {"NODE"},
                                                  {"ADDRESS"},
                                                  {"ROLE"},
                                                  {.title = "STATE", .is_state = true},
                                                  {.title = "REPLACES"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        uint64_t replaces = json_number(item, "replaces");
        table_add(&table, (const char *[]){number_text(json_number(item, "id")),
                                           number_text(json_number(item, "load_balancer_id")),
                                           json_text(item, "node"), json_text(item, "front"),
                                           json_text(item, "role"), json_text(item, "state"),
                                           replaces > 0 ? number_text(replaces) : ""});
    }
    table_print(&table, "No unit runs.");
    table_close(&table);
    return EXIT_OK;
}

void print_nodes(const json_t *items)
{
    static const struct table_column columns[] = {
        {.title = "ID", .right = true},       {"NAME"},
        {.title = "STATE", .is_state = true}, {"RUNTIME"},
        {.title = "UNITS", .right = true},    {"LAST REPORT"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        char age[24], ago[32] = "";
        format_since(json_text(item, "last_report_at"), age, sizeof(age));
        if (age[0] != '\0') {
            snprintf(ago, sizeof(ago), "%s ago", age);
        }
        table_add(&table,
                  (const char *[]){number_text(json_number(item, "id")), json_text(item, "name"),
                                   json_text(item, "state"), json_text(item, "runtime"),
                                   number_text(json_number(item, "units")), ago});
    }
    table_print(&table, "No node has reported yet; weir-agent makes a machine one.");
    table_close(&table);
}

int run_get_nodes(struct call *call)
{
    cleanup(json_release) json_t *body = NULL;
    int code = get_items(call, "/v1/nodes", &body);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(body) : code;
    }
    print_nodes(json_object_get(body, "items"));
    return EXIT_OK;
}

int run_status(struct call *call)
{
    cleanup(json_release) json_t *health = NULL, *nodes = NULL, *balancers = NULL;
    int code = client_get(&call->client, "/v1/health", &health);
    code = code == EXIT_OK ? get_items(call, "/v1/nodes", &nodes) : code;
    code = code == EXIT_OK ? get_in_projects(call, "load-balancers", &balancers) : code;
    if (code != EXIT_OK) {
        return code;
    }
    if (call->json) {
        cleanup(json_release) json_t *page = json_pack(
            "{s:O, s:O, s:O}", "controller", health, "nodes", json_object_get(nodes, "items"),
            "load_balancers", json_object_get(balancers, "items"));
        return print_answer(page);
    }
    const char *version = json_text(health, "version");
    printf("Controller %s%s at %s: ", version, version[0] != '\0' ? "" : "answers",
           call->client.socket[0] != '\0' ? call->client.socket : call->client.base);
    print_colored(stdout, "green", "answers");
    printf("\n\n");
    print_nodes(json_object_get(nodes, "items"));
    printf("\n");
    print_lbs(json_object_get(balancers, "items"));
    return EXIT_OK;
}
