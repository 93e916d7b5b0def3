// SPDX-License-Identifier: Apache-2.0
// One call of the program: the command that was meant, its argument and its options.
//
// Everything here is borrowed from argv and lives as long as main().
#pragma once

#include "cli/client.h"
#include "cli/commands.h"

// What the program ends with; documented in `weir help`.
enum exit_code {
    EXIT_OK = 0,
    EXIT_REFUSED = 1,     // the controller refused, or an object is not there
    EXIT_USAGE = 2,       // the command line is wrong; nothing was sent
    EXIT_UNREACHABLE = 3, // no controller answers there
    EXIT_TIMED_OUT = 4,   // what was waited for did not come in time
};

enum { VALUES_MAX = 1000 }; // of one repeated option: as many as a target group may have targets

struct option_values {
    const char **at;
    size_t count;
};

struct call {
    const struct command *command;
    const char *argument; // NULL: not given
    struct option_values values[OPTION_COUNT];
    bool json; // -o json
    struct client client;
};

// The option's (last) value; NULL when it was not given. A switch that was given has "".
const char *call_option(const struct call *call, enum option_id id);
// fallback when the option was not given. The value was checked to be a number when it was parsed.
uint64_t call_number(const struct call *call, enum option_id id, uint64_t fallback);
// --project, else $WEIR_PROJECT, else NULL.
const char *call_project(const struct call *call);

// Reads the command line: EXIT_OK, or EXIT_USAGE with one sentence on stderr. When help or the
// version was asked for, it is printed, *ret_done is true and nothing is left to do.
int call_parse(struct call *call, int argc, char **argv, bool *ret_done);
void call_free(struct call *call);

// The commands, by the file they are in.
int run_request(struct call *call);
int run_create_project(struct call *call);
int run_create_lb(struct call *call);
int run_update_lb(struct call *call);
int run_update_project(struct call *call);
int run_delete_project(struct call *call);
int run_delete_lb(struct call *call);
int run_delete_target_group(struct call *call);
int run_get_projects(struct call *call);
int run_get_lbs(struct call *call);
int run_get_target_groups(struct call *call);
int run_get_units(struct call *call);
int run_get_nodes(struct call *call);
int run_describe_project(struct call *call);
int run_describe_lb(struct call *call);
int run_events(struct call *call);
int run_status(struct call *call);
int run_completion(struct call *call);
int run_help(struct call *call);

// `weir __complete WORD …`: what may stand for the last WORD, one a line. Not in the table.
int complete_words(int count, char **words);
