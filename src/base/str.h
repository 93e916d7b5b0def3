// SPDX-License-Identifier: Apache-2.0
// A view of bytes that somebody else owns; not terminated by NUL.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *at;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
// For printf: "%.*s", STR_ARG(text)
#define STR_ARG(text) (int)(text).len, (text).at

static inline struct str str_of(const char *text)
{
    return (struct str){text, text != NULL ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

// ASCII only, as HTTP field names and DNS labels compare.
static inline bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (a.at[i] != b.at[i] && ascii_lower(a.at[i]) != ascii_lower(b.at[i])) {
            return false;
        }
    }
    return true;
}

// Decimal digits only: no sign, no space. -EINVAL for anything else or nothing, -ERANGE past max.
int str_to_u64(struct str text, uint64_t max, uint64_t *ret_value);

// Whether UTF-8 text holds what a terminal or a page obeys instead of showing it: C0 and C1 controls,
// DEL, and the marks that reorder a line (U+202A–E, U+2066–9).
bool str_has_controls(struct str text);

// A copy ended by NUL that the caller frees; NULL when memory is out.
char *str_copy(struct str text);
