// SPDX-License-Identifier: Apache-2.0
// weir describe …: one object on one page.
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

static void print_field(const char *title, const char *text)
{
    printf("%-14s", title);
    print_colored(stdout, state_color(text), text[0] != '\0' ? text : "-");
    printf("\n");
}

static void print_age(const json_t *object)
{
    char age[24];
    format_since(json_text(object, "created_at"), age, sizeof(age));
    printf("%-14s", "Created");
    print_colored(stdout, NULL, json_text(object, "created_at"));
    printf(age[0] != '\0' ? " (%s ago)\n" : "%s\n", age);
}

int run_describe_project(struct call *call)
{
    cleanup(free_ptr) char *path = client_path("/v1/projects/%s", call->argument);
    cleanup(free_ptr) char *list = client_path("/v1/projects/%s/load-balancers", call->argument);
    cleanup(json_release) json_t *project = NULL, *balancers = NULL;
    int code = client_get(&call->client, path, &project);
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(project) : code;
    }
    code = client_get(&call->client, list, &balancers);
    if (code != EXIT_OK) {
        return code;
    }
    print_field("Project", json_text(project, "name"));
    print_field("Id", number_text(json_number(project, "id")));
    print_field("User", json_text(project, "user"));
    print_field("Subnet", json_text(project, "subnet"));
    print_age(project);
    printf("\n");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(balancers, "items"), i, item)
    {
        json_object_set_new(item, "project", json_string(json_text(project, "name")));
    }
    print_lbs(json_object_get(balancers, "items"));
    return EXIT_OK;
}

static void print_listeners(struct call *call, const json_t *balancer, const char *project)
{
    static const struct table_column columns[] = {{.title = "LISTENER", .right = true},
                                                  {"PROTOCOL"},
                                                  {.title = "PORT", .right = true},
                                                  {"TARGET GROUP"},
                                                  {"ALGORITHM"},
                                                  {"CHECK"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    table.indent = "";
    size_t i;
    json_t *listener;
    json_array_foreach(json_object_get(balancer, "listeners"), i, listener)
    {
        cleanup(json_release) json_t *group = NULL;
        cleanup(free_ptr) char *path = client_path("/v1/projects/%s/target-groups/%u", project,
                                                   json_number(listener, "target_group_id"));
        char check[128] = "";
        if (client_get(&call->client, path, &group) == EXIT_OK) {
            format_health_check(json_object_get(group, "health_check"), check, sizeof(check));
        }
        table_add(&table,
                  (const char *[]){number_text(json_number(listener, "id")),
                                   json_text(listener, "protocol"),
                                   number_text(json_number(listener, "port")),
                                   json_text(group, "name"), json_text(group, "algorithm"), check});
    }
    table_print(&table, "It has no listener.");
    table_close(&table);
}

static void print_targets(const json_t *status)
{
    static const struct table_column columns[] = {
        {"TARGET"}, {.title = "VERDICT", .is_state = true}, {.title = "REASON", .may_wrap = true}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *target;
    json_array_foreach(json_object_get(status, "targets"), i, target)
    {
        table_add(&table,
                  (const char *[]){json_text(target, "address"), json_text(target, "verdict"),
                                   json_text(target, "reason")});
    }
    table_print(&table, "No unit has reported a target yet.");
    table_close(&table);
}

static void print_units(const json_t *status)
{
    static const struct table_column columns[] = {{.title = "UNIT", .right = true},
                                                  {"NODE"},
                                                  {"ADDRESS"},
                                                  {"ROLE"},
                                                  {.title = "STATE", .is_state = true},
                                                  {.title = "REPLACES"}};
    struct table table;
    table_open(&table, columns, ARRAY_LEN(columns));
    size_t i;
    json_t *unit;
    json_array_foreach(json_object_get(status, "units"), i, unit)
    {
        uint64_t replaces = json_number(unit, "replaces");
        table_add(&table, (const char *[]){number_text(json_number(unit, "id")),
                                           json_text(unit, "node"), json_text(unit, "address"),
                                           json_text(unit, "role"), json_text(unit, "state"),
                                           replaces > 0 ? number_text(replaces) : ""});
    }
    table_print(&table, "It has no unit.");
    table_close(&table);
}

int run_describe_lb(struct call *call)
{
    const char *project;
    cleanup(json_release) json_t *balancer = NULL;
    int code = need_project(call, &project);
    code = code == EXIT_OK ? get_lb(call, project, call->argument, &balancer) : code;
    if (code != EXIT_OK || call->json) {
        return code == EXIT_OK ? print_answer(balancer) : code;
    }
    const json_t *status = json_object_get(balancer, "status");
    print_field("Load balancer", json_text(balancer, "name"));
    print_field("Id", number_text(json_number(balancer, "id")));
    print_field("Type", json_text(balancer, "type"));
    print_field("State", json_text(status, "state"));
    print_field("URL", json_text(status, "url"));
    printf("%-14s", "In DNS");
    size_t i;
    json_t *address;
    json_array_foreach(json_object_get(status, "addresses"), i, address)
    {
        printf("%s", i > 0 ? ", " : "");
        print_colored(stdout, NULL, json_is_string(address) ? json_string_value(address) : "");
    }
    printf("%s\n", i == 0 ? "nothing yet" : "");
    print_age(balancer);
    printf("\n");
    print_listeners(call, balancer, project);
    printf("\n");
    print_targets(status);
    printf("\n");
    print_units(status);
    return EXIT_OK;
}
