// SPDX-License-Identifier: Apache-2.0
// What the fields of a whole head mean together: framing, target and host, the connection. Judged
// when all are there, so that their order does not matter.
#include "codec/http1.h"
#include "codec/http1_scan.h"
#include "codec/uri.h"

int http1_refuse(struct http1_head *head, int status, const char *reason)
{
    head->refusal = reason;
    return -status;
}

static bool seen(const struct http1_head *head, enum http1_field_id id)
{
    return (head->fields_seen & HTTP1_SET(id)) != 0;
}
static bool repeated(const struct http1_head *head, enum http1_field_id id)
{
    return (head->fields_repeated & HTTP1_SET(id)) != 0;
}
static struct str value_of(const struct http1_head *head, enum http1_field_id id)
{
    return head->fields[head->first[id]].value;
}

// Takes the next member off a comma-separated list (RFC 9110 §5.6.1); empty ones are skipped, as
// a recipient must. False at its end.
static bool list_next(struct str *list, struct str *ret_member)
{
    while (list->len > 0 && (is_blank(*list->at) || *list->at == ',')) {
        list->at++;
        list->len--;
    }
    if (list->len == 0) {
        return false;
    }
    const char *comma = memchr(list->at, ',', list->len);
    struct str member = {list->at, comma != NULL ? (size_t)(comma - list->at) : list->len};
    list->at += member.len;
    list->len -= member.len;
    while (member.len > 0 && is_blank(member.at[member.len - 1])) {
        member.len--;
    }
    *ret_member = member;
    return true;
}

static bool list_has(struct str list, struct str word)
{
    struct str member;
    while (list_next(&list, &member)) {
        if (str_equal_nocase(member, word)) {
            return true;
        }
    }
    return false;
}

struct connection {
    bool close, keep_alive, upgrade;
    unsigned options;
};

// RFC 9110 §7.6.1: "Intermediaries MUST parse a received Connection header field before a message
// is forwarded and, for each connection-option in this field, remove any header or trailer field(s)
// from the message with the same name". But a client must not take away what tells the target who
// asks and for what: a field of the table that goes end to end stays, and to nominate Host or a
// framing field is refused, since some peer would believe it.
static int nominate(struct http1_head *head, struct str option)
{
    bool lookalike;
    uint8_t id = http1_field_lookup(option, &lookalike);
    if (id == HTTP1_HOST || id == HTTP1_CONTENT_LENGTH || id == HTTP1_TRANSFER_ENCODING) {
        return http1_refuse(head, 400, "connection_nominates_framing");
    }
    if (id != HTTP1_UNKNOWN) {
        return 0;
    }
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http1_field *field = &head->fields[i];
        if (field->id == HTTP1_UNKNOWN && str_equal_nocase(field->name, option)) {
            field->flags |= HTTP1_NOMINATED;
        }
    }
    return 0;
}

static int read_connection(struct http1_head *head, struct connection *connection)
{
    for (uint32_t i = head->first[HTTP1_CONNECTION]; i < head->field_count; i++) {
        if (head->fields[i].id != HTTP1_CONNECTION) {
            continue;
        }
        struct str list = head->fields[i].value, option;
        if (str_equal(list, STR("keep-alive"))) { // nearly always
            connection->keep_alive = true;
            continue;
        }
        while (list_next(&list, &option)) {
            if (!http1_token_is_valid(option)) {
                return http1_refuse(head, 400, "bad_connection");
            }
            if (++connection->options > HTTP1_CONNECTION_OPTIONS_MAX) {
                return http1_refuse(head, 400, "too_many_connection_options");
            }
            if (str_equal_nocase(option, STR("close"))) {
                connection->close = true;
            } else if (str_equal_nocase(option, STR("keep-alive"))) {
                connection->keep_alive = true;
            } else if (str_equal_nocase(option, STR("upgrade"))) {
                connection->upgrade = true;
            } else {
                int r = nominate(head, option);
                if (r < 0) {
                    return r;
                }
            }
        }
    }
    return 0;
}

// RFC 9112 §6.3: lengths that can be read in two ways are refused. A list of equal lengths ("5,
// 5"), which the RFC lets a recipient repair, is not repaired: nobody sends it but by mistake or
// malice.
static int read_framing(struct http1_head *head, const struct http1_limits *limits)
{
    if (seen(head, HTTP1_TRANSFER_ENCODING)) {
        if (seen(head, HTTP1_CONTENT_LENGTH)) {
            return http1_refuse(head, 400, "te_with_cl");
        }
        if (repeated(head, HTTP1_TRANSFER_ENCODING)) {
            return http1_refuse(head, 400, "te_repeated");
        }
        // §6.1: "A server or client that receives an HTTP/1.0 message containing a
        // Transfer-Encoding header field MUST treat the message as if the framing is faulty".
        if (head->version_minor == 0) {
            return http1_refuse(head, 400, "te_in_http10");
        }
        if (!str_equal_nocase(value_of(head, HTTP1_TRANSFER_ENCODING), STR("chunked"))) {
            return http1_refuse(head, 400, "te_unknown");
        }
        head->body = HTTP1_BODY_CHUNKED;
        return 0;
    }
    if (!seen(head, HTTP1_CONTENT_LENGTH)) {
        return 0;
    }
    if (repeated(head, HTTP1_CONTENT_LENGTH)) {
        return http1_refuse(head, 400, "cl_repeated");
    }
    struct str text = value_of(head, HTTP1_CONTENT_LENGTH);
    uint64_t length;
    // Up to 19 digits, so a leading zero or two are read as what they are; no sign, no space.
    if (text.len > 19 || str_to_u64(text, INT64_MAX, &length) != 0) {
        return http1_refuse(head, 400, "cl_bad");
    }
    if (limits->body_bytes > 0 && length > limits->body_bytes) {
        return http1_refuse(head, 413, "body_too_large");
    }
    head->has_content_length = true;
    head->content_length = length;
    head->body = HTTP1_BODY_LENGTH;
    return 0;
}

// Two authorities are the same when host and port are; a port left out is the scheme's.
static bool same_authority(struct str a, struct str b, uint16_t default_port)
{
    struct str host_a, host_b;
    uint16_t port_a, port_b;
    return uri_parse_authority(a, &host_a, &port_a) == 0 &&
           uri_parse_authority(b, &host_b, &port_b) == 0 && str_equal_nocase(host_a, host_b) &&
           (port_a != 0 ? port_a : default_port) == (port_b != 0 ? port_b : default_port);
}

static void split_target(struct http1_head *head, struct str path)
{
    head->path = path;
    const char *mark = memchr(path.at, '?', path.len);
    if (mark != NULL) {
        head->path.len = (size_t)(mark - path.at);
        head->query = (struct str){mark + 1, path.len - head->path.len - 1};
    }
}

// RFC 9112 §3.2.2. The absolute form's authority is the one that counts; a Host that differs is
// refused, since what the target group sees must be what rules and logs saw.
static int read_absolute(struct http1_head *head)
{
    struct str rest = head->target;
    uint16_t default_port = 80;
    size_t scheme_len = sizeof("http://") - 1;
    if (rest.len > 8 && str_equal_nocase((struct str){rest.at, 8}, STR("https://"))) {
        default_port = 443;
        scheme_len = 8;
    } else if (rest.len <= 7 || !str_equal_nocase((struct str){rest.at, 7}, STR("http://"))) {
        return http1_refuse(head, 400, "bad_target");
    }
    rest.at += scheme_len;
    rest.len -= scheme_len;
    size_t len = 0;
    while (len < rest.len && rest.at[len] != '/' && rest.at[len] != '?') {
        len++;
    }
    struct str authority = {rest.at, len}, host;
    uint16_t port;
    // User information is refused with all else that is no host (RFC 9110 §4.2.4).
    if (uri_parse_authority(authority, &host, &port) != 0) {
        return http1_refuse(head, 400, "bad_target");
    }
    if (seen(head, HTTP1_HOST) &&
        !same_authority(authority, value_of(head, HTTP1_HOST), default_port)) {
        return http1_refuse(head, 400, "host_conflict");
    }
    head->host = authority;
    head->target_form = HTTP1_TARGET_ABSOLUTE;
    split_target(head, (struct str){rest.at + len, rest.len - len});
    if (head->path.len == 0) {
        // RFC 9112 §3.2.4: OPTIONS for the server as a whole is forwarded as "*".
        bool whole_server = head->method == HTTP1_OPTIONS && head->query.at == NULL;
        head->path = whole_server ? STR("*") : STR("/");
    }
    return 0;
}

static int read_target(struct http1_head *head, const struct http1_limits *limits)
{
    struct str host;
    uint16_t port;
    if (seen(head, HTTP1_HOST)) {
        // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any
        // HTTP/1.1 request message that lacks a Host header field and to any request message that
        // contains more than one Host header field line or a Host header field with an invalid
        // field value."
        if (repeated(head, HTTP1_HOST)) {
            return http1_refuse(head, 400, "host_repeated");
        }
        head->host = value_of(head, HTTP1_HOST);
        if (uri_parse_authority(head->host, &host, &port) != 0) {
            return http1_refuse(head, 400, "host_bad");
        }
    } else if (head->version_minor > 0) {
        return http1_refuse(head, 400, "host_missing");
    }
    if (head->method == HTTP1_CONNECT) {
        if (!limits->connect) {
            return http1_refuse(head, 501, "connect_refused");
        }
        if (uri_parse_authority(head->target, &host, &port) != 0 || port == 0) {
            return http1_refuse(head, 400, "bad_target");
        }
        if (seen(head, HTTP1_HOST) && !same_authority(head->target, head->host, 0)) {
            return http1_refuse(head, 400, "host_conflict");
        }
        head->target_form = HTTP1_TARGET_AUTHORITY;
        head->host = head->path = head->target;
        return 0;
    }
    if (head->target.at[0] == '/') {
        head->target_form = HTTP1_TARGET_ORIGIN;
        split_target(head, head->target);
        return 0;
    }
    if (str_equal(head->target, STR("*"))) {
        head->target_form = HTTP1_TARGET_ASTERISK;
        head->path = head->target;
        // §3.2.4: "only used for a server-wide OPTIONS request".
        return head->method == HTTP1_OPTIONS ? 0 : http1_refuse(head, 400, "bad_target");
    }
    return read_absolute(head);
}

// What the peer offers or takes, when it says so on this connection, in one field. "h2c" is not
// carried through: the target would speak HTTP/2 inside our tunnel, past every rule (RFC 9113
// deprecates it). A request with a body is not upgraded: it could only switch after it.
static struct str read_upgrade(const struct http1_head *head, const struct connection *connection)
{
    if (!connection->upgrade || head->version_minor == 0 || !seen(head, HTTP1_UPGRADE) ||
        repeated(head, HTTP1_UPGRADE) || head->body != HTTP1_BODY_NONE) {
        return (struct str){0};
    }
    struct str value = value_of(head, HTTP1_UPGRADE);
    return list_has(value, STR("h2c")) ? (struct str){0} : value;
}

int http1_finish_request(struct http1_head *head, const struct http1_limits *limits)
{
    struct connection connection = {0};
    int r = read_framing(head, limits);
    if (r == 0) {
        r = read_target(head, limits);
    }
    if (r == 0 && seen(head, HTTP1_CONNECTION)) {
        r = read_connection(head, &connection);
    }
    if (r < 0) {
        return r;
    }
    if (head->body != HTTP1_BODY_NONE &&
        (head->method == HTTP1_TRACE || head->method == HTTP1_CONNECT)) {
        return http1_refuse(head, 400, "body_not_allowed"); // RFC 9110 §9.3.6, §9.3.8
    }
    head->keep_alive = !connection.close && (head->version_minor > 0 || connection.keep_alive);
    head->upgrade = read_upgrade(head, &connection);
    if (seen(head, HTTP1_EXPECT) && head->version_minor > 0) {
        // RFC 9110 §10.1.1: nothing but 100-continue is defined; other members MAY be answered 417.
        if (repeated(head, HTTP1_EXPECT) ||
            !str_equal_nocase(value_of(head, HTTP1_EXPECT), STR("100-continue"))) {
            return http1_refuse(head, 417, "expectation_unknown");
        }
        head->expects_continue = head->body == HTTP1_BODY_CHUNKED ||
                                 (head->body == HTTP1_BODY_LENGTH && head->content_length > 0);
    }
    return 0;
}

int http1_finish_response(struct http1_head *head, const struct http1_limits *limits,
                          enum http1_method request_method)
{
    struct connection connection = {0};
    int r = read_framing(head, limits);
    if (r == 0 && seen(head, HTTP1_CONNECTION)) {
        r = read_connection(head, &connection);
    }
    if (r < 0) {
        return r;
    }
    bool informational = head->status < 200;
    bool connected = request_method == HTTP1_CONNECT && head->status / 100 == 2;
    if (informational || head->status == 204 || connected) {
        // RFC 9112 §6.1, RFC 9110 §8.6: a server MUST NOT send Transfer-Encoding or Content-Length
        // here. "Content-Length: 0" is common and cannot be misread; a body would be.
        if (head->body == HTTP1_BODY_CHUNKED || head->content_length > 0) {
            return http1_refuse(head, 400, "body_not_allowed");
        }
        head->body = HTTP1_BODY_NONE;
        head->has_content_length = false;
    } else if (request_method == HTTP1_HEAD || head->status == 304) {
        head->body = HTTP1_BODY_NONE;
    } else if (head->body == HTTP1_BODY_NONE) {
        head->body = HTTP1_BODY_UNTIL_CLOSE;
    }
    head->keep_alive = !connection.close && head->body != HTTP1_BODY_UNTIL_CLOSE &&
                       (head->version_minor > 0 || connection.keep_alive);
    if (head->status == 101) {
        // RFC 9110 §15.2.2: "MUST generate an Upgrade header field in the response".
        head->upgrade = read_upgrade(head, &connection);
        if (head->upgrade.len == 0) {
            return http1_refuse(head, 400, "switch_without_upgrade");
        }
    }
    return 0;
}
