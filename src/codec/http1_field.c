// SPDX-License-Identifier: Apache-2.0
// Field names: the table of those the parser knows, and how a name is found in it.
//
// A name's slot is a hash of its length, its first and its last but one letter. The slots are
// designated initializers, so a collision after a new row is a compile error (-Woverride-init);
// then other factors have to be tried.
#include "codec/http1.h"
#include "codec/http1_scan.h"

enum { SLOTS = 128, NAME_MAX_LEN = 24 };

#define SLOT(len, first, last_but_one)                                                   \
    (((unsigned)(len)*88u + (unsigned)(first)*58u + (unsigned)(last_but_one)*50u) >> 2 & \
     (SLOTS - 1))

struct row {
    char name[NAME_MAX_LEN];
    uint8_t len, id, flags;
};

static const struct row rows[SLOTS] = {
#define ROW(id, name, first, last_but_one, flags) \
    [SLOT(sizeof(name) - 1, first, last_but_one)] = {name, sizeof(name) - 1, HTTP1_##id, flags},
    HTTP1_FIELD_TABLE(ROW)
#undef ROW
};

static const uint8_t flags_of[HTTP1_FIELD_IDS] = {
#define FLAGS(id, name, first, last_but_one, flags) [HTTP1_##id] = flags,
    HTTP1_FIELD_TABLE(FLAGS)
#undef FLAGS
};

const uint8_t http1_token_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

// Equal but for case: a difference is allowed in bit 5 alone, and only where the known byte is a
// letter (bit 6). So a control byte never passes for '-', and what matches needs no other check.
static inline bool same8(const char *given, const char *known)
{
    uint64_t known_word = load8(known);
    uint64_t letters = known_word & UINT64_C(0x4040404040404040);
    return ((load8(given) ^ known_word) & ~(letters >> 1)) == 0;
}
static inline bool same4(const char *given, const char *known)
{
    uint32_t known_word = load4(known);
    uint32_t letters = known_word & 0x40404040u;
    return ((load4(given) ^ known_word) & ~(letters >> 1)) == 0;
}

static inline bool same_name(const char *given, const struct row *row)
{
    size_t len = row->len;
    const char *known = row->name;
    if (len >= 8) {
        return same8(given, known) && same8(given + len - 8, known + len - 8) &&
               (len <= 16 || same8(given + 8, known + 8));
    }
    if (len >= 4) {
        return same4(given, known) && same4(given + len - 4, known + len - 4);
    }
    for (size_t i = 0; i < len; i++) {
        if (ascii_lower(given[i]) != known[i]) {
            return false;
        }
    }
    return true;
}

static bool is_lookalike(const char *given, const struct row *row)
{
    for (size_t i = 0; i < row->len; i++) {
        char c = given[i] == '_' ? '-' : ascii_lower(given[i]);
        if (c != row->name[i]) {
            return false;
        }
    }
    return true;
}

uint8_t http1_field_lookup(struct str name, bool *ret_lookalike)
{
    *ret_lookalike = false;
    if (name.len < 2) {
        return HTTP1_UNKNOWN;
    }
    const struct row *row = &rows[SLOT(name.len, name.at[0] | 0x20, name.at[name.len - 2] | 0x20)];
    if (row->len != name.len) {
        return HTTP1_UNKNOWN;
    }
    if (__builtin_expect(same_name(name.at, row), 1)) {
        return row->id;
    }
    *ret_lookalike = is_lookalike(name.at, row);
    return HTTP1_UNKNOWN;
}

uint8_t http1_field_flags(uint8_t id)
{
    return flags_of[id];
}

const struct http1_field *http1_find(const struct http1_head *head, enum http1_field_id id,
                                     uint32_t from)
{
    if ((head->fields_seen & HTTP1_SET(id)) == 0) {
        return NULL;
    }
    for (uint32_t i = MAX(from, head->first[id]); i < head->field_count; i++) {
        if (head->fields[i].id == id) {
            return &head->fields[i];
        }
    }
    return NULL;
}

const struct http1_field *http1_find_name(const struct http1_head *head, struct str name)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (str_equal_nocase(head->fields[i].name, name)) {
            return &head->fields[i];
        }
    }
    return NULL;
}

bool http1_token_is_valid(struct str token)
{
    for (size_t i = 0; i < token.len; i++) {
        if (!is_token_byte(token.at[i])) {
            return false;
        }
    }
    return token.len > 0;
}

bool http1_value_is_valid(struct str value)
{
    return scan_value(value.at, value.at, value.at + value.len) == value.at + value.len;
}
