// SPDX-License-Identifier: Apache-2.0
// The commands of `weir` and their options: two tables from which help, parsing and completion are
// made, so that they cannot differ. A command is a verb, mostly a noun, and at most one argument;
// every option that it takes is a bit of `options`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;

enum option_id {
    OPTION_SERVER,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_PROJECT,
    OPTION_SUBNET,
    OPTION_USER,
    OPTION_PORT,
    OPTION_PROTOCOL,
    OPTION_ALGORITHM,
    OPTION_TARGET,
    OPTION_ADD_TARGET,
    OPTION_REMOVE_TARGET,
    OPTION_UNITS,
    OPTION_HEALTH_PROTOCOL,
    OPTION_HEALTH_PATH,
    OPTION_HEALTH_PORT,
    OPTION_HEALTH_INTERVAL,
    OPTION_LISTENER,
    OPTION_LB,
    OPTION_AFTER,
    OPTION_LIMIT,
    OPTION_FOLLOW,
    OPTION_WAIT,
    OPTION_TIMEOUT,
    OPTION_COUNT
};
#define OPTION_BIT(name) (1u << OPTION_##name)
// Taken by every command.
#define OPTIONS_COMMON \
    (OPTION_BIT(SERVER) | OPTION_BIT(OUTPUT) | OPTION_BIT(HELP) | OPTION_BIT(VERSION))

// What completion offers for a word.
enum words {
    WORDS_NONE,
    WORDS_FILES,
    WORDS_PROJECTS,
    WORDS_LBS,
    WORDS_TARGET_GROUPS,
    WORDS_CHOICES
};

struct option_row {
    const char *name;    // without "--"
    char letter;         // 'o' for -o, 0: none
    const char *value;   // what help calls its value; NULL: a switch
    const char *choices; // "http|tcp"; NULL: anything
    bool repeated;
    enum words words;
    const char *text;
};
extern const struct option_row option_rows[OPTION_COUNT];

struct command {
    const char *verb, *noun; // noun NULL: the verb alone
    const char *argument;    // "NAME"; NULL: none
    bool argument_optional;
    enum words words; // of the argument
    uint32_t options;
    int (*run)(struct call *call); // an exit code
    const char *text;              // one line
    const char *example;           // NULL: none
};
extern const struct command commands[];
extern const size_t command_count;

// NULL when there is none. noun may be NULL; "lb", "load-balancer" and their plurals are one.
const struct command *command_find(const char *verb, const char *noun);
bool command_verb_exists(const char *verb);

// Help on stdout: of everything, of one verb (noun NULL) or of one command.
void commands_print_help(void);
void command_print_help(const struct command *command);
