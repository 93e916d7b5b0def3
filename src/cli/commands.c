// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"

const struct option_row option_rows[OPTION_COUNT] = {
    [OPTION_SERVER] = {"server", 0, "ADDRESS", NULL, false, WORDS_NONE,
                       "where the controller is: unix:PATH or http://HOST:PORT"},
    [OPTION_OUTPUT] = {"output", 'o', "FORM", "table|json", false, WORDS_CHOICES,
                       "for people or for programs"},
    [OPTION_HELP] = {"help", 'h', NULL, NULL, false, WORDS_NONE, "this help"},
    [OPTION_VERSION] = {"version", 0, NULL, NULL, false, WORDS_NONE, "the version"},
    [OPTION_PROJECT] = {"project", 'p', "PROJECT", NULL, false, WORDS_PROJECTS,
                        "the project, by name or id (else $WEIR_PROJECT)"},
    [OPTION_SUBNET] = {"subnet", 0, "PREFIX", NULL, false, WORDS_NONE,
                       "the project's network, as 10.1.0.0/24 (else a free one)"},
    [OPTION_USER] = {"user", 0, "USER", NULL, false, WORDS_NONE, "whom it belongs to"},
    [OPTION_PORT] = {"port", 0, "PORT", NULL, false, WORDS_NONE, "the port that clients use"},
    [OPTION_PROTOCOL] = {"protocol", 0, "PROTOCOL", "http|tcp", false, WORDS_CHOICES,
                         "http (default) or tcp"},
    [OPTION_ALGORITHM] = {"algorithm", 0, "ALGORITHM", "round_robin|least_outstanding", false,
                          WORDS_CHOICES, "how a target is chosen"},
    [OPTION_TARGET] = {"target", 't', "TARGET", NULL, true, WORDS_NONE,
                       "ADDRESS[:PORT][=WEIGHT] or a URL; may be repeated"},
    [OPTION_ADD_TARGET] = {"add-target", 0, "TARGET", NULL, true, WORDS_NONE,
                           "ADDRESS:PORT[=WEIGHT]; one that is there gets the new weight"},
    [OPTION_REMOVE_TARGET] = {"remove-target", 0, "TARGET", NULL, true, WORDS_NONE, "ADDRESS:PORT"},
    [OPTION_UNITS] = {"units", 0, "N", NULL, false, WORDS_NONE, "how many units serve it (1-8)"},
    [OPTION_HEALTH_PROTOCOL] = {"health-protocol", 0, "PROTOCOL", "http|tcp", false, WORDS_CHOICES,
                                "how targets are checked"},
    [OPTION_HEALTH_PATH] = {"health-path", 0, "PATH", NULL, false, WORDS_NONE,
                            "what an HTTP check asks for (/)"},
    [OPTION_HEALTH_PORT] = {"health-port", 0, "PORT", NULL, false, WORDS_NONE,
                            "the port that is checked (the target's own)"},
    [OPTION_HEALTH_INTERVAL] = {"health-interval", 0, "SECONDS", NULL, false, WORDS_NONE,
                                "between two checks (5)"},
    [OPTION_LISTENER] = {"listener", 0, "PORT", NULL, false, WORDS_NONE,
                         "which listener, when there are several"},
    [OPTION_LB] = {"lb", 0, "LB", NULL, false, WORDS_LBS, "the load balancer, by name or id"},
    [OPTION_AFTER] = {"after", 0, "ID", NULL, false, WORDS_NONE, "only what followed this event"},
    [OPTION_LIMIT] = {"limit", 'n', "N", NULL, false, WORDS_NONE, "how many, the newest (100)"},
    [OPTION_FOLLOW] = {"follow", 'f', NULL, NULL, false, WORDS_NONE,
                       "go on as they come, until Ctrl-C"},
    [OPTION_WAIT] = {"wait", 'w', NULL, NULL, false, WORDS_NONE,
                     "until it is done, with lines of progress"},
    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS", NULL, false, WORDS_NONE,
                        "how long to wait at most (60)"},
};

#define WAIT (OPTION_BIT(WAIT) | OPTION_BIT(TIMEOUT))
#define HEALTH                                                                         \
    (OPTION_BIT(HEALTH_PROTOCOL) | OPTION_BIT(HEALTH_PATH) | OPTION_BIT(HEALTH_PORT) | \
     OPTION_BIT(HEALTH_INTERVAL))
#define EVENTS                                                                      \
    (OPTION_BIT(PROJECT) | OPTION_BIT(LB) | OPTION_BIT(AFTER) | OPTION_BIT(LIMIT) | \
     OPTION_BIT(FOLLOW))

const struct command commands[] = {
    {"request", NULL, "FILE", false, WORDS_FILES, WAIT, run_request,
     "send a request as JSON (\"-\": from stdin) and print the answer",
     "weir request examples/instance.json --wait"},
    {"create", "project", "NAME", false, WORDS_NONE, OPTION_BIT(SUBNET) | OPTION_BIT(USER),
     run_create_project, "make a project: a network and what lives in it",
     "weir create project john --subnet 10.1.0.0/24"},
    {"create", "lb", "NAME", false, WORDS_NONE,
     OPTION_BIT(PROJECT) | OPTION_BIT(PORT) | OPTION_BIT(PROTOCOL) | OPTION_BIT(ALGORITHM) |
         OPTION_BIT(TARGET) | OPTION_BIT(UNITS) | HEALTH | WAIT,
     run_create_lb, "make a load balancer",
     "weir create lb shop --project john --port 80 --target 10.1.0.11:8080 --target 10.1.0.12:8080 "
     "--wait"},
    {"get", "projects", NULL, false, WORDS_NONE, 0, run_get_projects, "list projects", NULL},
    {"get", "lbs", NULL, false, WORDS_NONE, OPTION_BIT(PROJECT), run_get_lbs, "list load balancers",
     NULL},
    {"get", "target-groups", NULL, false, WORDS_NONE, OPTION_BIT(PROJECT), run_get_target_groups,
     "list target groups", NULL},
    {"get", "units", NULL, false, WORDS_NONE, 0, run_get_units, "list units", NULL},
    {"get", "nodes", NULL, false, WORDS_NONE, 0, run_get_nodes, "list nodes", NULL},
    {"get", "events", NULL, false, WORDS_NONE, EVENTS, run_events, "the same as weir events", NULL},
    {"describe", "project", "NAME", false, WORDS_PROJECTS, 0, run_describe_project,
     "a project and its load balancers", NULL},
    {"describe", "lb", "NAME", false, WORDS_LBS, OPTION_BIT(PROJECT), run_describe_lb,
     "a load balancer, its listeners, targets and units", NULL},
    {"update", "project", "NAME", false, WORDS_PROJECTS, OPTION_BIT(SUBNET) | OPTION_BIT(USER),
     run_update_project, "change a project (its subnet only while it has no load balancer)", NULL},
    {"update", "lb", "NAME", false, WORDS_LBS,
     OPTION_BIT(PROJECT) | OPTION_BIT(LISTENER) | OPTION_BIT(ADD_TARGET) |
         OPTION_BIT(REMOVE_TARGET) | OPTION_BIT(PORT) | OPTION_BIT(UNITS) | OPTION_BIT(ALGORITHM) |
         HEALTH | WAIT,
     run_update_lb, "change targets, weights, port, units, algorithm or health check",
     "weir update lb shop --project john --add-target 10.1.0.13:8080=2 --remove-target "
     "10.1.0.11:8080"},
    {"delete", "project", "NAME", false, WORDS_PROJECTS, WAIT, run_delete_project,
     "remove a project that has no load balancer", NULL},
    {"delete", "lb", "NAME", false, WORDS_LBS, OPTION_BIT(PROJECT) | WAIT, run_delete_lb,
     "remove a load balancer and its units", NULL},
    {"delete", "target-group", "NAME", false, WORDS_TARGET_GROUPS, OPTION_BIT(PROJECT),
     run_delete_target_group, "remove a target group that no listener uses", NULL},
    {"events", NULL, NULL, false, WORDS_NONE, EVENTS, run_events, "what Weir did, when and why",
     "weir events --project john --follow"},
    {"status", NULL, NULL, false, WORDS_NONE, 0, run_status,
     "the controller, its nodes and load balancers on one page", NULL},
    {"completion", NULL, "SHELL", false, WORDS_CHOICES, 0, run_completion,
     "print the completion for a shell (bash)", "source <(weir completion bash)"},
    {"help", NULL, "COMMAND", true, WORDS_NONE, 0, run_help, "this list, or help on a command",
     NULL},
};
const size_t command_count = ARRAY_LEN(commands);

// What else a noun may be called. Singular and plural are one, whichever the table has.
static const char *const noun_aliases[][2] = {
    {"load-balancer", "lb"},
    {"load-balancers", "lb"},
    {"loadbalancer", "lb"},
    {"instance", "lb"},
    {"instances", "lb"},
    {"tg", "target-group"},
    {"targetgroup", "target-group"},
};

static bool same_noun(const char *row, const char *noun)
{
    size_t row_len = strlen(row), noun_len = strlen(noun);
    row_len -= row_len > 0 && row[row_len - 1] == 's';
    noun_len -= noun_len > 0 && noun[noun_len - 1] == 's';
    return row_len == noun_len && strncmp(row, noun, row_len) == 0;
}

const struct command *command_find(const char *verb, const char *noun)
{
    for (size_t i = 0; noun != NULL && i < ARRAY_LEN(noun_aliases); i++) {
        if (strcmp(noun, noun_aliases[i][0]) == 0) {
            noun = noun_aliases[i][1];
            break;
        }
    }
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].verb, verb) == 0 &&
            (commands[i].noun == NULL || (noun != NULL && same_noun(commands[i].noun, noun)))) {
            return &commands[i];
        }
    }
    return NULL;
}

bool command_verb_exists(const char *verb)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].verb, verb) == 0) {
            return true;
        }
    }
    return false;
}

static void command_format(const struct command *command, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s%s%s%s%s%s", command->verb, command->noun != NULL ? " " : "",
             command->noun != NULL ? command->noun : "", command->argument != NULL ? " " : "",
             command->argument_optional ? "[" : "",
             command->argument != NULL ? command->argument : "");
    if (command->argument_optional) {
        strncat(buffer, "]", size - strlen(buffer) - 1);
    }
}

static void print_options(uint32_t bits)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        if (!(bits & (1u << id))) {
            continue;
        }
        char left[64];
        int len = row->letter != 0
                      ? snprintf(left, sizeof(left), "-%c, --%s", row->letter, row->name)
                      : snprintf(left, sizeof(left), "    --%s", row->name);
        if (row->value != NULL) {
            snprintf(left + len, sizeof(left) - (size_t)len, " %s", row->value);
        }
        printf("  %-30s %s", left, row->text);
        if (row->choices != NULL && row->words == WORDS_CHOICES) {
            printf(": %s", row->choices);
        }
        printf("\n");
    }
}

void commands_print_help(void)
{
    printf("weir: load balancing as a service, on your own machines\n\n"
           "Usage: weir COMMAND [OPTION …]\n\n");
    for (size_t i = 0; i < command_count; i++) {
        char left[64];
        command_format(&commands[i], left, sizeof(left));
        printf("  %-26s %s\n", left, commands[i].text);
    }
    printf("\nEvery command takes\n");
    print_options(OPTIONS_COMMON);
    printf(
        "\nIts own options: weir help COMMAND. The server is also taken from $WEIR_SERVER; else "
        "it\n"
        "is unix:/run/weir/controller.sock or, where that is not, http://127.0.0.1:7600.\n\n"
        "Exit codes: 0 done · 1 the controller refused · 2 wrong usage · 3 no controller answers\n"
        "· 4 what was waited for did not come in time\n");
}

void command_print_help(const struct command *command)
{
    char left[64];
    command_format(command, left, sizeof(left));
    printf("Usage: weir %s%s\n\n  %s\n", left, command->options != 0 ? " [OPTION …]" : "",
           command->text);
    if (command->options != 0) {
        printf("\n");
        print_options(command->options);
    }
    printf("\n");
    print_options(OPTIONS_COMMON);
    if (command->example != NULL) {
        printf("\nExample:\n  %s\n", command->example);
    }
}

int run_help(struct call *call)
{
    if (call->argument == NULL) {
        commands_print_help();
        return EXIT_OK;
    }
    bool first = true;
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].verb, call->argument) == 0) {
            if (!first) {
                printf("\n");
            }
            command_print_help(&commands[i]);
            first = false;
        }
    }
    if (first) {
        fprintf(stderr, "weir: there is no such command; see weir help\n");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}
