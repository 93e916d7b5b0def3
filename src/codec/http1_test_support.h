// SPDX-License-Identifier: Apache-2.0
// For the tests of http1: every input is also cut in two at every place and fed byte by byte, each
// time from memory of its exact length (so that a sanitizer sees a read past it) and at an address
// of its own (so that views that were not moved along point to freed memory).
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/http1.h"

struct fed {
    struct http1_head head;
    char *bytes; // what the views point into
    size_t len;
    int result;
};

// method < 0: a request; otherwise a response to it.
static inline void feed_part(struct fed *fed, struct str whole, size_t len,
                             const struct http1_limits *limits, int method)
{
    char *moved = malloc(len > 0 ? len : 1);
    assert_non_null(moved);
    memcpy(moved, whole.at, len);
    free(fed->bytes);
    fed->bytes = moved;
    fed->len = len;
    struct str bytes = {moved, len};
    fed->result = method < 0
                      ? http1_parse_request(&fed->head, bytes, limits)
                      : http1_parse_response(&fed->head, bytes, limits, (enum http1_method)method);
}

static inline void fed_init(struct fed *fed)
{
    memset(fed, 0xa5, sizeof(*fed)); // what http1_head_init leaves must not matter
    http1_head_init(&fed->head);
    fed->bytes = NULL;
    fed->result = 0;
}

static inline void assert_same_verdict(const struct fed *fed, const struct fed *whole,
                                       const char *name, size_t cut)
{
    if (fed->result != whole->result) {
        fail_msg("%s: cut at %zu gives %d (%s) instead of %d (%s)", name, cut, fed->result,
                 fed->head.refusal ? fed->head.refusal : "-", whole->result,
                 whole->head.refusal ? whole->head.refusal : "-");
    }
    if (whole->result < 0) {
        assert_string_equal(fed->head.refusal, whole->head.refusal);
    }
    if (whole->result > 0) {
        assert_int_equal(fed->head.field_count, whole->head.field_count);
        assert_true(str_equal(fed->head.target, whole->head.target));
        assert_true(str_equal(fed->head.path, whole->head.path));
        assert_true(str_equal(fed->head.host, whole->head.host));
        assert_true(str_equal(fed->head.upgrade, whole->head.upgrade));
        for (uint32_t i = 0; i < fed->head.field_count; i++) {
            assert_true(str_equal(fed->head.fields[i].name, whole->head.fields[i].name));
            assert_true(str_equal(fed->head.fields[i].value, whole->head.fields[i].value));
            assert_int_equal(fed->head.fields[i].flags, whole->head.fields[i].flags);
        }
    }
}

// Feeds all of the input at once, and then in every other way; *ret_fed is the whole one's (the
// caller frees ret_fed->bytes).
static inline void feed_every_way(const char *name, struct str input,
                                  const struct http1_limits *limits, int method,
                                  struct fed *ret_fed)
{
    struct fed *whole = ret_fed, part;
    fed_init(whole);
    feed_part(whole, input, input.len, limits, method);
    for (size_t cut = 0; cut < input.len; cut++) {
        fed_init(&part);
        feed_part(&part, input, cut, limits, method);
        if (part.result == 0) {
            feed_part(&part, input, input.len, limits, method);
        }
        assert_same_verdict(&part, whole, name, cut);
        free(part.bytes);
    }
    fed_init(&part);
    for (size_t len = 0; len <= input.len && part.result == 0; len++) {
        feed_part(&part, input, len, limits, method);
    }
    assert_same_verdict(&part, whole, name, 1);
    free(part.bytes);
}
