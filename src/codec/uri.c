// SPDX-License-Identifier: Apache-2.0
#include "codec/uri.h"

#include "base/addr.h"
#include "codec/http1_scan.h"

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What a byte may stand in, unescaped.
enum {
    UNRESERVED = 1,
    // RFC 3986 §3.2.2 reg-name, but for ',': a list of hosts is what two joined Host fields look
    // like.
    NAME = 2,
    PATH = 4,  // pchar / "/" (§3.3)
    QUERY = 8, // and '?' (§3.4)
};
enum {
    ANYWHERE = UNRESERVED | NAME | PATH | QUERY,
    BUT_UNRESERVED = NAME | PATH | QUERY,
};
static const uint8_t classes[256] = {
    ['a' ... 'z'] = ANYWHERE, ['A' ... 'Z'] = ANYWHERE,
    ['0' ... '9'] = ANYWHERE, ['-'] = ANYWHERE,
    ['.'] = ANYWHERE,         ['_'] = ANYWHERE,
    ['~'] = ANYWHERE,         ['!'] = BUT_UNRESERVED,
    ['$'] = BUT_UNRESERVED,   ['&'] = BUT_UNRESERVED,
    ['\''] = BUT_UNRESERVED,  ['('] = BUT_UNRESERVED,
    [')'] = BUT_UNRESERVED,   ['*'] = BUT_UNRESERVED,
    ['+'] = BUT_UNRESERVED,   [';'] = BUT_UNRESERVED,
    ['='] = BUT_UNRESERVED,   [','] = PATH | QUERY,
    [':'] = PATH | QUERY,     ['@'] = PATH | QUERY,
    ['/'] = PATH | QUERY,     ['?'] = QUERY,
};

static bool is_escape(struct str text, size_t at)
{
    return text.len - at >= 3 && text.at[at] == '%' && hex_value(text.at[at + 1]) >= 0 &&
           hex_value(text.at[at + 2]) >= 0;
}

static bool is_made_of(struct str text, unsigned class)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((classes[(uint8_t)text.at[i]] & class) != 0) {
            continue;
        }
        if (!is_escape(text, i)) {
            return false;
        }
        i += 2;
    }
    return true;
}

static bool is_name(struct str host)
{
    return host.len > 0 && host.len <= 255 && is_made_of(host, NAME);
}

static bool is_ipv6(struct str text)
{
    struct addr addr;
    return addr_parse_ip(text, &addr) == 0 && addr.family == 6;
}

int uri_parse_authority(struct str text, struct str *ret_host, uint16_t *ret_port)
{
    struct str host = text;
    if (text.len > 0 && text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.len);
        if (close == NULL) {
            return -EINVAL;
        }
        host.len = (size_t)(close - text.at) + 1;
        if (!is_ipv6((struct str){host.at + 1, host.len - 2})) {
            return -EINVAL;
        }
    } else {
        const char *colon = memchr(text.at, ':', text.len);
        host.len = colon != NULL ? (size_t)(colon - text.at) : text.len;
        if (!is_name(host)) {
            return -EINVAL;
        }
    }
    struct str rest = {text.at + host.len, text.len - host.len};
    uint64_t port = 0;
    if (rest.len > 0) {
        if (rest.at[0] != ':') {
            return -EINVAL;
        }
        rest.at++;
        rest.len--;
        // RFC 3986 §3.2.3: the port may be empty.
        if (rest.len > 5 || (rest.len > 0 && (str_to_u64(rest, 65535, &port) != 0 || port == 0))) {
            return -EINVAL;
        }
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return 0;
}

static void split_query(struct str text, struct str *ret_path, struct str *ret_query)
{
    const char *mark = text.len > 0 ? memchr(text.at, '?', text.len) : NULL;
    *ret_path = text;
    *ret_query = (struct str){0};
    if (mark != NULL) {
        ret_path->len = (size_t)(mark - text.at);
        *ret_query = (struct str){mark + 1, text.len - ret_path->len - 1};
    }
}

bool uri_path_is_valid(struct str path)
{
    struct str query;
    split_query(path, &path, &query);
    return path.len > 0 && path.at[0] == '/' && is_made_of(path, PATH) && is_made_of(query, QUERY);
}

int uri_parse(struct str text, struct uri *ret_uri, struct error *error)
{
    struct uri uri = {0};
    struct str rest = text;
    if (text.len >= 8 && str_equal_nocase((struct str){text.at, 8}, STR("https://"))) {
        uri.https = true;
        rest = (struct str){text.at + 8, text.len - 8};
    } else if (text.len >= 7 && str_equal_nocase((struct str){text.at, 7}, STR("http://"))) {
        rest = (struct str){text.at + 7, text.len - 7};
    } else {
        return error_set_field(error, -EINVAL, "bad_url", NULL,
                               "the URL must begin with http:// or https://");
    }
    size_t len = 0;
    while (len < rest.len && rest.at[len] != '/' && rest.at[len] != '?') {
        len++;
    }
    uint16_t port;
    if (uri_parse_authority((struct str){rest.at, len}, &uri.host, &port) != 0) {
        return error_set_field(error, -EINVAL, "bad_url", NULL,
                               "the URL's host or port is not valid");
    }
    if (uri.host.at[0] == '[') {
        uri.host_is_ipv6 = true;
        uri.host = (struct str){uri.host.at + 1, uri.host.len - 2};
    }
    uri.port_given = port != 0;
    uri.port = port != 0 ? port : uri.https ? 443 : 80;
    split_query((struct str){rest.at + len, rest.len - len}, &uri.path, &uri.query);
    if (!is_made_of(uri.path, PATH) || !is_made_of(uri.query, QUERY)) {
        return error_set_field(error, -EINVAL, "bad_url", NULL,
                               "the URL's path or query has a character that must be escaped");
    }
    *ret_uri = uri;
    return 0;
}

int uri_decode(struct writer *writer, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            if (!is_escape(text, i)) {
                return -EINVAL;
            }
            c = (char)(hex_value(text.at[i + 1]) << 4 | hex_value(text.at[i + 2]));
            if (c == '\0') {
                return -EINVAL;
            }
            i += 2;
        }
        writer_put_char(writer, c);
    }
    return writer->overflowed ? -ENOSPC : 0;
}

// One path segment in normal form, as it is decoded and escaped; false when a '%' stands alone.
static bool put_segment(struct writer *writer, struct str segment)
{
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.at[i];
        if (c != '%') {
            writer_put_char(writer, c);
            continue;
        }
        if (!is_escape(segment, i)) {
            return false;
        }
        c = (char)(hex_value(segment.at[i + 1]) << 4 | hex_value(segment.at[i + 2]));
        i += 2;
        if ((classes[(uint8_t)c] & UNRESERVED) != 0) {
            writer_put_char(writer, c);
        } else {
            const char *digits = "0123456789ABCDEF";
            char escape[] = {'%', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]};
            writer_put(writer, (struct str){escape, sizeof(escape)});
        }
    }
    return true;
}

// RFC 3986 §5.2.4, on segments that are already decoded, so that "%2e%2e" climbs like "..".
int uri_normalize_path(struct writer *writer, struct str path)
{
    char *first = writer->at; // of the path in the output
    const char *p = path.at, *end = path.at + path.len;
    if (path.len > 0 && *p != '/') {
        return -EINVAL;
    }
    while (p < end) {
        const char *segment = p + 1;
        const char *next = memchr(segment, '/', (size_t)(end - segment));
        next = next != NULL ? next : end;
        char *before = writer->at;
        writer_put_char(writer, '/');
        if (!put_segment(writer, (struct str){segment, (size_t)(next - segment)})) {
            return -EINVAL;
        }
        if (writer->overflowed) {
            return -ENOSPC;
        }
        struct str written = {before + 1, (size_t)(writer->at - before - 1)};
        if (str_equal(written, STR(".")) || str_equal(written, STR(".."))) {
            writer->at = before;
            if (written.len == 2) {
                if (before == first) {
                    return -EINVAL;
                }
                do {
                    writer->at--;
                } while (*writer->at != '/');
            }
            if (next == end) {
                writer_put_char(writer, '/');
            }
        }
        p = next;
    }
    if (writer->at == first) {
        writer_put_char(writer, '/');
    }
    return writer->overflowed ? -ENOSPC : 0;
}
