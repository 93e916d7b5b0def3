// SPDX-License-Identifier: Apache-2.0
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

struct depth {
    size_t deepest;
    unsigned line, column; // where it got too deep
};

// jansson goes 2,048 levels deep, by recursion, before it says no; so the depth is looked at first.
// Only brackets outside of strings count; whether they match is jansson's to say.
static bool is_too_deep(struct str text, struct depth *ret_depth)
{
    size_t depth = 0;
    bool in_string = false;
    unsigned line = 1, column = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        column++;
        if (c == '\n') {
            line++;
            column = 0;
        }
        if (in_string) {
            if (c == '\\') {
                i++;
                column++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                *ret_depth = (struct depth){depth, line, column};
                return true;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

// Appends the path of the first number that no integer of ours can hold: "info.port", "list[2]".
static bool find_huge_number(const json_t *json, char *path, size_t size, size_t len)
{
    const char *key;
    json_t *value;
    size_t index;
    if (json_is_real(json)) {
        double number = json_real_value(json);
        return number >= 0x1p63 || number < -0x1p63;
    }
    json_object_foreach((json_t *)json, key, value)
    {
        int more = snprintf(path + len, size - len, "%s%.48s", len > 0 ? "." : "", key);
        if (find_huge_number(value, path, size, MIN(len + (size_t)more, size - 1))) {
            return true;
        }
    }
    json_array_foreach(json, index, value)
    {
        int more = snprintf(path + len, size - len, "[%zu]", index);
        if (find_huge_number(value, path, size, MIN(len + (size_t)more, size - 1))) {
            return true;
        }
    }
    path[len] = '\0';
    return false;
}

// jansson stops at an integer past 64 bits with a position only; the field helps a person more.
static int refuse_huge_number(struct str text, const json_error_t *at, struct error *error)
{
    char path[64] = "";
    json_t *json = json_loadb(text.at, text.len, JSON_DECODE_INT_AS_REAL, NULL);
    bool found = json != NULL && find_huge_number(json, path, sizeof(path), 0);
    json_decref(json);
    return error_set_field(error, -EINVAL, "json_invalid", path, "line %d, column %d: %s", at->line,
                           at->column, found ? "the number is too large" : at->text);
}

int json_doc_parse(struct str text, size_t max_bytes, json_t **ret_json, struct error *error)
{
    if (text.len > max_bytes) {
        return error_set_field(error, -EFBIG, "json_too_large", NULL,
                               "the JSON is larger than %zu bytes", max_bytes);
    }
    struct depth depth;
    if (is_too_deep(text, &depth)) {
        return error_set_field(error, -E2BIG, "json_too_deep", NULL,
                               "line %u, column %u: nested deeper than %d levels", depth.line,
                               depth.column, JSON_DEPTH_MAX);
    }
    json_error_t at;
    // jansson seeds its hash by itself, so keys cannot be chosen to collide.
    json_t *json = json_loadb(text.len > 0 ? text.at : "", text.len, JSON_REJECT_DUPLICATES, &at);
    if (json == NULL) {
        // Most of its allocations fail without a word.
        if (json_error_code(&at) == json_error_out_of_memory || at.text[0] == '\0') {
            return error_set(error, -ENOMEM, "out of memory");
        }
        if (json_error_code(&at) == json_error_numeric_overflow) {
            return refuse_huge_number(text, &at, error);
        }
        return error_set_field(error, -EINVAL, "json_invalid", NULL, "line %d, column %d: %s",
                               at.line, at.column, at.text);
    }
    *ret_json = json;
    return 0;
}

char *json_doc_print(const json_t *json)
{
    return json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_doc_pretty(const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (text == NULL) {
        return NULL;
    }
    size_t len = strlen(text);
    char *ended = realloc(text, len + 2);
    if (ended == NULL) {
        free(text);
        return NULL;
    }
    memcpy(ended + len, "\n", 2);
    return ended;
}

struct str json_doc_str(const json_t *object, const char *key, struct str otherwise)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return otherwise;
    }
    return (struct str){json_string_value(value), json_string_length(value)};
}

int64_t json_doc_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_doc_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

void json_decref_ptr(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
