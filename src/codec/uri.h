// SPDX-License-Identifier: Apache-2.0
// URLs of targets and paths of health checks (RFC 3986), and the checks of hosts and paths that
// http1 shares. Strict: what is not in the grammar is -EINVAL. Views point into the text given.
#pragma once

#include "base/err.h"
#include "codec/cursor.h"

struct uri {
    bool https;
    bool host_is_ipv6; // host is without its brackets
    struct str host;   // not empty: an IPv4 or IPv6 address or a name
    uint16_t port;     // the scheme's default when left out
    bool port_given;
    struct str path;  // empty or starts with '/'
    struct str query; // without '?'; .at is NULL when there was none
};

// "http://api.example.net:8080/path?query". No user information, no fragment, no other scheme.
int uri_parse(struct str text, struct uri *ret_uri, struct error *error);

// host[:port] of a Host field or an authority: registered name, IPv4, or [IPv6]. port is 0 when
// left out (or empty). The brackets stay with the host here.
int uri_parse_authority(struct str text, struct str *ret_host, uint16_t *ret_port);

// An absolute path with an optional query, in the characters and %XX that RFC 3986 allows; what a
// health check sends.
bool uri_path_is_valid(struct str path);

// Appends the text with %XX turned into bytes. -EINVAL for a % without two hex digits, or for %00.
int uri_decode(struct writer *writer, struct str text);
// Appends the path in normal form (RFC 3986 §6.2.2): %XX of unreserved characters decoded, other
// hex digits in upper case, "." and ".." removed; empty becomes "/". -EINVAL when ".." climbs above
// the root or % stands alone; -ENOSPC.
int uri_normalize_path(struct writer *writer, struct str path);
