// SPDX-License-Identifier: Apache-2.0
// weir request: an envelope of docs/DOCUMENTS.md §2 as it stands in a file. What is in it is the
// controller's to judge; here it only has to be JSON and of bearable size.
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

enum { REQUEST_BYTES_MAX = 1024 * 1024 };

// EXIT_OK, or EXIT_USAGE with a sentence. The caller frees the text.
static int read_file(const char *name, char **ret_text, size_t *ret_len)
{
    bool from_stdin = strcmp(name, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(name, "re");
    if (file == NULL) {
        tell_error("cannot read %s: %s", name, strerror(errno));
        return EXIT_USAGE;
    }
    // One byte more than allowed shows that there is more.
    char *text = malloc(REQUEST_BYTES_MAX + 1);
    size_t len = text != NULL ? fread(text, 1, REQUEST_BYTES_MAX + 1, file) : 0;
    int error = text == NULL ? ENOMEM : ferror(file) ? errno : 0;
    if (!from_stdin) {
        fclose(file);
    }
    if (error != 0 || len > REQUEST_BYTES_MAX) {
        free(text);
        if (error != 0) {
            tell_error("cannot read %s: %s", name, strerror(error));
        } else {
            tell_error("%s is longer than %d bytes", name, (int)REQUEST_BYTES_MAX);
        }
        return EXIT_USAGE;
    }
    *ret_text = text;
    *ret_len = len;
    return EXIT_OK;
}

int run_request(struct call *call)
{
    cleanup(free_ptr) char *text = NULL;
    size_t len = 0;
    int code = read_file(call->argument, &text, &len);
    if (code != EXIT_OK) {
        return code;
    }
    json_error_t problem;
    cleanup(json_release) json_t *envelope =
        json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem);
    if (envelope == NULL) {
        tell_error("%s is no JSON: line %d, column %d: %s", call->argument, problem.line,
                   problem.column, problem.text);
        return EXIT_USAGE;
    }
    struct answer answer;
    code = client_send(&call->client, "POST", "/v1/requests", envelope, NULL, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    cleanup(json_release) json_t *body = answer.body;
    if (strcmp(json_text(body, "status"), "successful") != 0 || answer.status >= 400) {
        print_answer(body);
        return client_tell_refusal(&answer);
    }
    const json_t *info = json_object_get(body, "info");
    const char *action = json_text(body, "action");
    if (call_option(call, OPTION_WAIT) != NULL &&
        strcmp(json_text(body, "type"), "instance") == 0 &&
        (strcmp(action, "create") == 0 || strcmp(action, "update") == 0)) {
        char id[24];
        snprintf(id, sizeof(id), "%llu", (unsigned long long)json_number(info, "id"));
        code = wait_active(call, json_text(info, "project"), id, NULL);
        if (code != EXIT_OK) {
            print_answer(body);
            return code;
        }
        // What is printed is what is now: the answer, with the units and verdicts that came.
        cleanup(json_release) json_t *question =
            json_pack("{s:s, s:s, s:s, s:I}", "action", "info", "type", "instance", "project",
                      json_text(info, "project"), "id", (json_int_t)json_number(info, "id"));
        struct answer fresh;
        code = client_ask(&call->client, "POST", "/v1/requests", question, NULL, &fresh);
        if (code != EXIT_OK) {
            return code;
        }
        json_t *now = json_object_get(fresh.body, "info");
        if (json_is_object(now)) {
            json_object_set(body, "info", now);
        }
        answer_free(&fresh);
    }
    return print_answer(body);
}
