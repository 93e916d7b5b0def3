// SPDX-License-Identifier: Apache-2.0
// JSON with limits, over jansson: size and depth are checked before a value is built, duplicate
// keys and anything behind the document are refused, an error says line and column.
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

enum {
    JSON_USER_BYTES_MAX = 1 << 20,      // what a user sends
    JSON_DOCUMENT_BYTES_MAX = 16 << 20, // what our programs send each other
    JSON_DEPTH_MAX = 32,
};

// The caller owns *ret_json (json_decref). -EFBIG past max_bytes, -E2BIG when deeper than
// JSON_DEPTH_MAX, -EINVAL for anything that is not exactly one JSON object or array, -ENOMEM.
// error->reason is "json_too_large", "json_too_deep" or "json_invalid".
int json_doc_parse(struct str text, size_t max_bytes, json_t **ret_json, struct error *error);

// One line, without spaces, keys in their order of insertion; the caller frees it. NULL: out of
// memory. json_doc_pretty is for people: two spaces, a newline at the end.
char *json_doc_print(const json_t *json);
char *json_doc_pretty(const json_t *json);

// The value of key when object has it with that type; the default otherwise. For documents that our
// own programs wrote; what users send is parsed by the model's tables.
struct str json_doc_str(const json_t *object, const char *key, struct str otherwise);
int64_t json_doc_int(const json_t *object, const char *key, int64_t otherwise);
bool json_doc_bool(const json_t *object, const char *key, bool otherwise);

void json_decref_ptr(json_t **json); // for cleanup(json_decref_ptr)
