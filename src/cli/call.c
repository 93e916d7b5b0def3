// SPDX-License-Identifier: Apache-2.0
// From argv to a call. Options may stand anywhere after the verb, as "--name value",
// "--name=value",
// "-o value" or "-ovalue"; "--" ends them.
#include "cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "cli/output.h"

// Numbers are checked before anything is sent.
static const struct {
    enum option_id id;
    uint64_t min, max;
} numbers[] = {
    {OPTION_PORT, 1, 65535},          {OPTION_UNITS, 1, 8},        {OPTION_HEALTH_PORT, 0, 65535},
    {OPTION_HEALTH_INTERVAL, 1, 300}, {OPTION_LISTENER, 1, 65535}, {OPTION_AFTER, 0, INT64_MAX},
    {OPTION_LIMIT, 1, 1000},          {OPTION_TIMEOUT, 1, 3600},
};

const char *call_option(const struct call *call, enum option_id id)
{
    const struct option_values *values = &call->values[id];
    return values->count > 0 ? values->at[values->count - 1] : NULL;
}

uint64_t call_number(const struct call *call, enum option_id id, uint64_t fallback)
{
    uint64_t number = fallback;
    const char *text = call_option(call, id);
    if (text != NULL) {
        str_to_u64(str_of(text), UINT64_MAX, &number);
    }
    return number;
}

const char *call_project(const struct call *call)
{
    const char *project = call_option(call, OPTION_PROJECT);
    if (project == NULL) {
        project = getenv("WEIR_PROJECT");
    }
    return project != NULL && project[0] != '\0' ? project : NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (len > 0 && strchr(value, '|') == NULL && strncmp(at, value, len) == 0 &&
            (at[len] == '|' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static int check_value(enum option_id id, const char *value)
{
    const struct option_row *row = &option_rows[id];
    if (row->choices != NULL && !is_choice(row->choices, value)) {
        tell_error("--%s is one of %s, not \"%s\"", row->name, row->choices, value);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint64_t number;
        if (numbers[i].id == id &&
            (str_to_u64(str_of(value), numbers[i].max, &number) < 0 || number < numbers[i].min)) {
            tell_error("--%s is a number from %llu to %llu, not \"%s\"", row->name,
                       (unsigned long long)numbers[i].min, (unsigned long long)numbers[i].max,
                       value);
            return EXIT_USAGE;
        }
    }
    return EXIT_OK;
}

static int add_value(struct call *call, enum option_id id, const char *value)
{
    struct option_values *values = &call->values[id];
    if (values->count > 0 && !option_rows[id].repeated && option_rows[id].value != NULL) {
        tell_error("--%s may stand only once", option_rows[id].name);
        return EXIT_USAGE;
    }
    if (values->count >= VALUES_MAX) {
        tell_error("--%s stands more than %d times", option_rows[id].name, VALUES_MAX);
        return EXIT_USAGE;
    }
    const char **grown = realloc(values->at, (values->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        tell_error("out of memory");
        return EXIT_USAGE;
    }
    values->at = grown;
    values->at[values->count++] = value;
    return check_value(id, value);
}

static int find_option(const char *name, size_t len, char letter)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        if (letter != 0 ? row->letter == letter
                        : strlen(row->name) == len && strncmp(row->name, name, len) == 0) {
            return id;
        }
    }
    return -1;
}

// Takes the option at argv[*at] with its value; moves *at to the last word it used.
static int take_option(struct call *call, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *value = NULL;
    int id;
    if (word[1] == '-') {
        const char *equal = strchr(word, '=');
        size_t len = equal != NULL ? (size_t)(equal - word - 2) : strlen(word + 2);
        id = find_option(word + 2, len, 0);
        value = equal != NULL ? equal + 1 : NULL;
    } else {
        id = find_option(NULL, 0, word[1]);
        value = word[2] != '\0' ? word + 2 : NULL;
    }
    if (id < 0) {
        tell_error("there is no option %s; see weir help", word);
        return EXIT_USAGE;
    }
    if (option_rows[id].value == NULL) {
        if (value != NULL) {
            tell_error("--%s takes no value", option_rows[id].name);
            return EXIT_USAGE;
        }
        return add_value(call, (enum option_id)id, "");
    }
    if (value == NULL) {
        if (*at + 1 >= argc) {
            tell_error("--%s needs a value", option_rows[id].name);
            return EXIT_USAGE;
        }
        value = argv[++*at];
    }
    return add_value(call, (enum option_id)id, value);
}

static int refuse_verb(const char *verb, const char *noun)
{
    if (!command_verb_exists(verb)) {
        tell_error("there is no command \"%s\"; see weir help", verb);
        return EXIT_USAGE;
    }
    char nouns[256] = "";
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].verb, verb) == 0 && commands[i].noun != NULL) {
            strncat(nouns, nouns[0] != '\0' ? ", " : "", sizeof(nouns) - strlen(nouns) - 1);
            strncat(nouns, commands[i].noun, sizeof(nouns) - strlen(nouns) - 1);
        }
    }
    if (noun == NULL) {
        tell_error("%s what? One of: %s", verb, nouns);
    } else {
        tell_error("weir cannot %s \"%s\"; one of: %s", verb, noun, nouns);
    }
    return EXIT_USAGE;
}

// Words are the verb, the noun (where the verb has some) and the argument, in this order.
static int take_words(struct call *call, const char **words, size_t count)
{
    const struct command *command = command_find(words[0], count > 1 ? words[1] : NULL);
    if (command == NULL) {
        return refuse_verb(words[0], count > 1 ? words[1] : NULL);
    }
    call->command = command;
    size_t used = command->noun != NULL ? 2 : 1;
    if (command->argument != NULL && count > used) {
        call->argument = words[used++];
    }
    if (count > used) {
        tell_error("\"%s\" is one word too many; see weir help %s", words[used], command->verb);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int check_call(const struct call *call)
{
    const struct command *command = call->command;
    const char *noun = command->noun != NULL ? command->noun : "";
    const char *space = command->noun != NULL ? " " : "";
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (call->values[id].count > 0 && !((command->options | OPTIONS_COMMON) & (1u << id))) {
            tell_error("%s%s%s takes no --%s; see weir help %s", command->verb, space, noun,
                       option_rows[id].name, command->verb);
            return EXIT_USAGE;
        }
    }
    if (command->argument != NULL && call->argument == NULL && !command->argument_optional) {
        tell_error("%s%s%s needs a %s", command->verb, space, noun, command->argument);
        return EXIT_USAGE;
    }
    if (call->argument != NULL && call->argument[0] == '\0') {
        tell_error("the %s is empty", command->argument);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int call_parse(struct call *call, int argc, char **argv, bool *ret_done)
{
    *call = (struct call){0};
    *ret_done = false;
    const char *words[4];
    size_t count = 0;
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            int code = take_option(call, argc, argv, &i);
            if (code != EXIT_OK) {
                return code;
            }
        } else if (count < ARRAY_LEN(words)) {
            words[count++] = argv[i];
        } else {
            tell_error("\"%s\" is one word too many; see weir help", argv[i]);
            return EXIT_USAGE;
        }
    }
    if (call_option(call, OPTION_VERSION) != NULL) {
        printf("weir %s\n", WEIR_VERSION);
        *ret_done = true;
        return EXIT_OK;
    }
    bool help = call_option(call, OPTION_HELP) != NULL;
    if (count == 0) {
        commands_print_help();
        *ret_done = true;
        return help ? EXIT_OK : EXIT_USAGE;
    }
    if (help && count == 1 && command_verb_exists(words[0])) {
        call->argument = words[0];
        *ret_done = true;
        return run_help(call);
    }
    int code = take_words(call, words, count);
    if (code != EXIT_OK) {
        return code;
    }
    if (help) {
        command_print_help(call->command);
        *ret_done = true;
        return EXIT_OK;
    }
    const char *form = call_option(call, OPTION_OUTPUT);
    call->json = form != NULL && strcmp(form, "json") == 0;
    return check_call(call);
}

void call_free(struct call *call)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        free(call->values[id].at);
    }
    client_close(&call->client);
}
