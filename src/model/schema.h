// SPDX-License-Identifier: Apache-2.0
// One truth: every field that travels in a document of docs/DOCUMENTS.md is one row of a C table.
// The functions here parse, merge, print and describe any object from its table, so that what is
// accepted, what is answered and what /openapi.json says cannot differ.
//
// Memory: a parsed object lives in the arena that the caller passes, with everything it points to;
// there is no x_free. Strings are ended by NUL and never NULL ("" when absent). An object made by
// hand may point to anything that lives as long as it does.
//
// Pure: no I/O, no globals that change, any thread. -ENOMEM at any allocation leaves the object
// half filled: the caller throws its arena away.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum field_kind {
    FIELD_STRING,   // const char *; min and max are bytes of UTF-8; control characters are refused
    FIELD_INTEGER,  // any unsigned integer of `size` bytes, in [min, max]
    FIELD_BOOL,     // bool
    FIELD_ENUM,     // an enum; names[] in the order of its values
    FIELD_TIME,     // uint64_t, ms since 1970 UTC; RFC 3339 in JSON; 0: left out
    FIELD_IP,       // struct addr, its port is left alone; family 0: ""
    FIELD_ENDPOINT, // struct addr with port, "10.1.0.11:80"; family 0: ""
    FIELD_PREFIX,   // struct prefix; family 0: ""
    FIELD_OBJECT,   // a struct inside this one
    FIELD_POINTER,  // const struct *; NULL when absent
    FIELD_ARRAY,    // pointer to items, and a size_t at count_offset; min and max are items
    FIELD_COUNTERS, // as FIELD_ARRAY of struct counter; in JSON one object name → integer
    FIELD_JSON,     // const char *: any JSON object, kept as its text on one line; "" when absent
};

enum field_flag {
    FIELD_REQUIRED = 1,  // must be present
    FIELD_READ_ONLY = 2, // refused from users
    FIELD_IMMUTABLE = 4, // users set it once, when they create the object
    FIELD_OPTIONAL = 8,  // not printed while 0, "", NULL or without items
    FIELD_ANY_CASE = 16, // an enum whose names compare without case
};

struct schema;

struct field {
    const char *name;
    enum field_kind kind;
    uint16_t offset, size, count_offset;
    uint16_t flags;
    int64_t min, max;            // max 0: the kind's own limit
    int64_t number;              // default of an integer, bool or enum
    const char *string;          // default of a string, ip, endpoint or prefix; NULL: empty
    const char *const *names;    // of an enum, ended by NULL
    const struct schema *schema; // of an object, or of an array's items
    enum field_kind item;        // of an array: FIELD_OBJECT, FIELD_STRING, FIELD_IP, FIELD_PREFIX
    const char *text;            // one line for the API's description
};

struct schema {
    const char *name; // as in /openapi.json: "load_balancer"
    const char *text;
    size_t size; // of the struct
    const struct field *fields;
    size_t field_count;
};

struct counter {
    const char *name;
    uint64_t value;
};

#define FIELD_AT(type, member) \
    .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define FIELD_ITEMS(type, member, count)                                       \
    .offset = offsetof(type, member), .size = sizeof(*((type *)NULL)->member), \
    .count_offset = offsetof(type, count)
#define SCHEMA_FIELDS(table) .fields = (table), .field_count = ARRAY_LEN(table)

enum schema_mode {
    // A user creates: unknown and read-only fields are refused, required ones demanded, the rest
    // takes its default.
    SCHEMA_CREATE,
    // A user changes: RFC 7396 over what *object holds; null gives the default; unknown, read-only
    // and immutable fields are refused (immutable ones may be repeated unchanged). Arrays are
    // replaced whole, their items as in SCHEMA_CREATE.
    SCHEMA_PATCH,
    // One of our own programs, or the store: unknown fields are ignored (it may be newer), all
    // others accepted, ranges still checked.
    SCHEMA_OURS,
};

// -EINVAL (error->reason: unknown_field, wrong_type, out_of_range, missing_field, read_only_field,
// immutable_field, invalid_value), -ENOMEM. error->field is a path such as "listeners[0].port".
// Paths begin with `base` ("" for none), e.g. "info".
int schema_parse(const struct schema *schema, const json_t *json, enum schema_mode mode,
                 const char *base, struct arena *arena, void *object, struct error *error);

// Parses text (JSON, one object) as SCHEMA_OURS; errors of json_doc_parse besides those above.
int schema_parse_text(const struct schema *schema, struct str text, struct arena *arena,
                      void *object, struct error *error);

// Every field gets its default.
void schema_defaults(const struct schema *schema, void *object);

// A new reference; NULL when memory is out.
json_t *schema_print(const struct schema *schema, const void *object);
// The same as one line of text that the caller frees; NULL when memory is out.
char *schema_print_text(const struct schema *schema, const void *object);

// A JSON Schema (2020-12) object; other schemas are named as #/components/schemas/NAME.
json_t *schema_describe(const struct schema *schema);
