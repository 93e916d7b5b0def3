// SPDX-License-Identifier: Apache-2.0
#include "http/router.h"

#include "codec/uri.h"

// Cuts the segment before the next '/' off *rest (which starts with '/').
static struct str segment_take(struct str *rest)
{
    struct str segment = {rest->at + 1, rest->len - 1};
    const char *slash = segment.len > 0 ? memchr(segment.at, '/', segment.len) : NULL;
    if (slash != NULL) {
        segment.len = (size_t)(slash - segment.at);
    }
    rest->at += 1 + segment.len;
    rest->len -= 1 + segment.len;
    return segment;
}

static bool is_name(struct str segment)
{
    return segment.len > 2 && segment.at[0] == '{';
}

// 1 when the path matches; values are set.
static int pattern_match(struct str pattern, struct str path, struct writer *text,
                         struct str values[ROUTE_VALUES_MAX])
{
    size_t count = 0;
    while (pattern.len > 0 && path.len > 0) {
        struct str want = segment_take(&pattern);
        struct str have = segment_take(&path);
        if (!is_name(want)) {
            if (!str_equal(want, have)) {
                return 0;
            }
            continue;
        }
        if (have.len == 0) {
            return 0;
        }
        char *start = text->at;
        if (count == ROUTE_VALUES_MAX || uri_decode(text, have) < 0 || text->overflowed) {
            return -EINVAL;
        }
        values[count++] = (struct str){start, (size_t)(text->at - start)};
    }
    return pattern.len == 0 && path.len == 0;
}

static void allow_add(struct route_match *match, const char *method)
{
    size_t len = strlen(match->allow);
    if (len + strlen(method) + 3 < sizeof(match->allow)) {
        strcpy(match->allow + len, len > 0 ? ", " : "");
        strcat(match->allow, method);
    }
}

int route_find(const struct route *routes, size_t count, struct str method, struct str path,
               struct route_match *ret_match)
{
    memset(ret_match, 0, offsetof(struct route_match, text));
    ret_match->allow[0] = '\0';
    if (path.len == 0 || path.at[0] != '/') {
        return -ENOENT;
    }
    const char *known = NULL;
    for (size_t i = 0; i < count; i++) {
        struct writer text;
        struct str values[ROUTE_VALUES_MAX] = {0};
        writer_init(&text, ret_match->text, sizeof(ret_match->text));
        int matched = pattern_match(str_of(routes[i].pattern), path, &text, values);
        if (matched < 0) {
            return matched;
        }
        if (matched == 0 || (known != NULL && strcmp(known, routes[i].pattern) != 0)) {
            continue;
        }
        known = routes[i].pattern;
        if (str_equal(method, str_of(routes[i].method)) ||
            (str_equal(method, STR("HEAD")) && strcmp(routes[i].method, "GET") == 0)) {
            ret_match->route = &routes[i];
            memcpy(ret_match->values, values, sizeof(values));
            return 0;
        }
        allow_add(ret_match, routes[i].method);
    }
    return known != NULL ? -EPERM : -ENOENT;
}
