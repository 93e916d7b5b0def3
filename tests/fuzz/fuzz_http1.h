// SPDX-License-Identifier: Apache-2.0
// What the two targets of HTTP/1 heads share.
#pragma once

#include <stdlib.h>

#include "codec/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define CHECK(condition)    \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (false)

// Small, so that the fuzzer meets them.
static const struct http1_limits fuzz_limits = {
    .line_bytes = 256, .head_bytes = 1024, .fields = 16, .body_bytes = 100000, .connect = true};
static const struct http1_limits fuzz_roomy_limits = {
    .line_bytes = 4096, .head_bytes = 8192, .fields = 64, .connect = true};

static inline int fuzz_parse(struct http1_head *head, struct str text, int method)
{
    return method < 0 ? http1_parse_request(head, text, &fuzz_limits)
                      : http1_parse_response(head, text, &fuzz_limits, (enum http1_method)method);
}

// Expects n, the verdict on the whole text, from two parts that lie at different addresses.
static inline void check_parts(struct http1_head *parts, const struct http1_head *whole,
                               struct str text, size_t cut, int n, int method)
{
    cut = MIN(cut, text.len);
    char *first = malloc(cut + 1);
    CHECK(first != NULL);
    memcpy(first, text.at, cut);
    http1_head_init(parts);
    int m = fuzz_parse(parts, (struct str){first, cut}, method);
    if (m == 0) {
        memset(first, 0, cut); // nothing may be read here any more
        m = fuzz_parse(parts, text, method);
    }
    CHECK(m == n && parts->field_count == whole->field_count);
    CHECK(n >= 0 || strcmp(parts->refusal, whole->refusal) == 0);
    for (uint32_t i = 0; n > 0 && i < whole->field_count; i++) {
        CHECK(str_equal(parts->fields[i].value, whole->fields[i].value));
    }
    free(first);
}

static inline bool same_message(const struct http1_head *a, const struct http1_head *b)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < a->field_count; i++) {
        const struct http1_field *field = &a->fields[i];
        if ((field->flags & HTTP1_DROPPED) != 0 ||
            (field->id == HTTP1_EXPECT && !a->expects_continue)) {
            continue;
        }
        while (at < b->field_count && (b->fields[at].flags & HTTP1_DROPPED) != 0) {
            at++;
        }
        if (at == b->field_count || !str_equal(field->name, b->fields[at].name) ||
            !str_equal(field->value, b->fields[at].value)) {
            return false;
        }
        at++;
    }
    return a->body == b->body && a->expects_continue == b->expects_continue &&
           (a->body != HTTP1_BODY_LENGTH || a->content_length == b->content_length) &&
           str_equal(a->method_text, b->method_text) && str_equal(a->path, b->path) &&
           str_equal(a->query, b->query) && a->status == b->status &&
           (a->host.len == 0 || str_equal(a->host, b->host));
}
