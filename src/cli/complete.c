// SPDX-License-Identifier: Apache-2.0
// Completion. The shell's part is a few lines that hand the words typed so far to
// `weir __complete`; what may follow comes from the tables in commands.c, and names of objects from
// the controller, which gets half a second to answer.
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

enum { COMPLETE_TIMEOUT_MS = 500 };

static const char bash_script[] = "# bash completion for weir; made by: weir completion bash\n"
                                  "_weir() {\n"
                                  "    local IFS=$'\\n' word=${COMP_WORDS[COMP_CWORD]}\n"
                                  "    COMPREPLY=()\n"
                                  "    local words\n"
                                  "    words=$(\"${COMP_WORDS[0]}\" __complete "
                                  "\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null) || return\n"
                                  "    if [ \"$words\" = \"<files>\" ]; then\n"
                                  "        compopt -o filenames\n"
                                  "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                                  "        return\n"
                                  "    fi\n"
                                  "    while read -r candidate; do\n"
                                  "        [[ -n $candidate && $candidate == \"$word\"* ]] && "
                                  "COMPREPLY+=(\"$(printf %q \"$candidate\")\")\n"
                                  "    done <<<\"$words\"\n"
                                  "}\n"
                                  "complete -F _weir weir\n";

int run_completion(struct call *call)
{
    if (strcmp(call->argument, "bash") != 0) {
        tell_error("there is completion for bash only, not for \"%s\"", call->argument);
        return EXIT_USAGE;
    }
    fputs(bash_script, stdout);
    return EXIT_OK;
}

static void print_names(struct call *call, enum words words)
{
    cleanup(json_release) json_t *body = NULL;
    call->client.quiet = true;
    call->client.timeout_ms = COMPLETE_TIMEOUT_MS;
    int code = words == WORDS_PROJECTS ? client_get(&call->client, "/v1/projects", &body)
               : words == WORDS_LBS    ? get_in_projects(call, "load-balancers", &body)
                                       : get_in_projects(call, "target-groups", &body);
    if (code != EXIT_OK) {
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        cleanup(free_ptr) char *name = text_clean(json_text(item, "name"));
        printf("%s\n", name);
    }
}

static void print_words(struct call *call, enum words words, const char *choices)
{
    if (words == WORDS_FILES) {
        printf("<files>\n");
    } else if (words == WORDS_CHOICES && choices != NULL) {
        for (const char *c = choices; *c != '\0'; c++) {
            putchar(*c == '|' ? '\n' : *c);
        }
        putchar('\n');
    } else if (words != WORDS_NONE && words != WORDS_CHOICES) {
        print_names(call, words);
    }
}

// The row of the option that `word` is, when it waits for a value; NULL otherwise.
static const struct option_row *waiting_option(const char *word)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        bool is_long = strncmp(word, "--", 2) == 0 && strcmp(word + 2, row->name) == 0;
        bool is_short =
            row->letter != 0 && word[0] == '-' && word[1] == row->letter && word[2] == '\0';
        if (row->value != NULL && (is_long || is_short)) {
            return row;
        }
    }
    return NULL;
}

int complete_words(int count, char **words)
{
    const char *last = count > 0 ? words[count - 1] : "";
    const char *plain[3] = {NULL, NULL, NULL}; // verb, noun, argument, as far as they stand there
    size_t plain_count = 0;
    struct call call = {0};
    const char *server = NULL;
    const struct option_row *waits = NULL;
    for (int i = 0; i + 1 < count; i++) {
        if (waits != NULL) {
            if (waits == &option_rows[OPTION_PROJECT]) {
                call.values[OPTION_PROJECT] = (struct option_values){(const char **)&words[i], 1};
            } else if (waits == &option_rows[OPTION_SERVER]) {
                server = words[i];
            }
            waits = NULL;
        } else if (words[i][0] == '-' && words[i][1] != '\0') {
            waits = waiting_option(words[i]);
        } else if (plain_count < ARRAY_LEN(plain)) {
            plain[plain_count++] = words[i];
        }
    }
    // A server that is not there leaves the client without names to offer.
    call.client.quiet = true;
    if (client_open(&call.client, server != NULL ? server : getenv("WEIR_SERVER")) < 0) {
        return EXIT_USAGE;
    }
    const struct command *command = plain_count > 0 ? command_find(plain[0], plain[1]) : NULL;
    if (waits != NULL) {
        print_words(&call, waits->words, waits->choices);
    } else if (last[0] == '-') {
        for (int id = 0; id < OPTION_COUNT; id++) {
            uint32_t bits = OPTIONS_COMMON | (command != NULL ? command->options : 0);
            if (bits & (1u << id)) {
                printf("--%s\n", option_rows[id].name);
            }
        }
    } else if (command != NULL) {
        size_t used = command->noun != NULL ? 2 : 1;
        if (plain_count == used && command->run == run_completion) {
            printf("bash\n");
        } else if (plain_count == used && command->run != run_help) {
            print_words(&call, command->words, NULL);
        }
    }
    bool help = command != NULL && command->run == run_help && plain_count == 1;
    if (waits == NULL && last[0] != '-' && (plain_count == 0 || help || command == NULL)) {
        for (size_t i = 0; i < command_count; i++) {
            bool repeats = i > 0 && strcmp(commands[i].verb, commands[i - 1].verb) == 0;
            if ((plain_count == 0 || help) && !repeats) {
                printf("%s\n", commands[i].verb);
            } else if (plain_count == 1 && !help && strcmp(commands[i].verb, plain[0]) == 0 &&
                       commands[i].noun != NULL) {
                printf("%s\n", commands[i].noun);
            }
        }
    }
    client_close(&call.client);
    return EXIT_OK;
}
