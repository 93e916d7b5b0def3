// SPDX-License-Identifier: Apache-2.0
// Shared by the two halves of the schema: parsing, and everything else.
#pragma once

#include "base/str.h"
#include "model/schema.h"

// Of a user's string that names no limit of its own.
enum { SCHEMA_STRING_MAX = 1024 };

int64_t field_integer_max(const struct field *field);
void field_integer_store(const struct field *field, void *at, uint64_t value);
uint64_t field_integer_load(const struct field *field, const void *at);

// kind: FIELD_IP (keeps the port), FIELD_ENDPOINT, FIELD_PREFIX.
int field_address_read(enum field_kind kind, struct str text, void *at);

void schema_default_field(const struct field *field, void *object);

// *ret_json NULL with 0: an optional field without a value. -ENOMEM.
int schema_print_field(const struct field *field, const void *object, json_t **ret_json);

// As json_doc_parse.
int schema_read_json(struct str text, json_t **ret_json, struct error *error);
