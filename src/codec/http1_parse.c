// SPDX-License-Identifier: Apache-2.0
// The parser of heads: lines first (this file's first half), then what they mean together.
//
//     step_start_line, step_field ──▶ pointer past the line's LF
//                                └──▶ NULL: `judge` said whether to wait for more or to refuse
//
// A line is parsed in one forward pass; only when something is wrong (or missing) in it is its LF
// searched for. Until that LF is there, nothing is wrong yet (see http1.h).
#include "codec/http1.h"
#include "codec/http1_scan.h"
#include "codec/uri.h"

const struct http1_limits http1_limits_default = {
    .line_bytes = 16 << 10,
    .head_bytes = 64 << 10,
    .fields = HTTP1_FIELDS_MAX,
};

struct parse {
    struct http1_head *head;
    const struct http1_limits *limits;
    const char *base, *end;
    const char *line;  // start of the current one
    const char *bound; // a line may not end past this
    bool bound_is_line;
    bool is_request;
    int result; // what to return when a step gave NULL
};

static int refuse(struct http1_head *head, int status, const char *reason)
{
    head->refusal = reason;
    return -status;
}

static const char *refuse_length(struct parse *parse)
{
    const char *reason = !parse->bound_is_line           ? "head_too_large"
                         : !parse->head->start_line_done ? "start_line_too_long"
                                                         : "field_too_long";
    int status = parse->bound_is_line && !parse->head->start_line_done ? 414 : 431;
    parse->result = refuse(parse->head, status, reason);
    return NULL;
}

// The current line is bad (reason), or its end has not come. Always NULL.
static const char *judge(struct parse *parse, int status, const char *reason)
{
    const char *lf = memchr(parse->line, '\n', (size_t)(parse->end - parse->line));
    if (lf == NULL && parse->end < parse->bound) {
        parse->head->scanned = (uint32_t)(parse->end - parse->base);
        parse->result = 0;
        return NULL;
    }
    if (lf == NULL || lf >= parse->bound) {
        return refuse_length(parse);
    }
    parse->result = refuse(parse->head, status, reason);
    return NULL;
}

static void begin_line(struct parse *parse, const char *line)
{
    parse->line = line;
    const char *of_line = line + parse->limits->line_bytes + 2;
    const char *of_head = parse->base + parse->limits->head_bytes;
    parse->bound_is_line = of_line <= of_head;
    parse->bound = parse->bound_is_line ? of_line : of_head;
    parse->head->line_start = parse->head->scanned = (uint32_t)(line - parse->base);
}

// p is where CR LF must stand.
static const char *expect_crlf(struct parse *parse, const char *p, const char *reason)
{
    if (__builtin_expect(parse->end - p >= 2 && p[0] == '\r' && p[1] == '\n', 1)) {
        return p + 2 <= parse->bound ? p + 2 : refuse_length(parse);
    }
    if (p < parse->end && *p == '\n') {
        reason = "bare_lf";
    } else if (p < parse->end && *p == '\r') {
        reason = "bare_cr";
    }
    return judge(parse, 400, reason);
}

// ---- The start-line ---------------------------------------------------------------------------

static uint8_t method_of(struct str text)
{
    switch (text.len) {
    case 3:
        return str_equal(text, STR("GET"))   ? HTTP1_GET
               : str_equal(text, STR("PUT")) ? HTTP1_PUT
                                             : HTTP1_OTHER;
    case 4:
        return str_equal(text, STR("POST"))   ? HTTP1_POST
               : str_equal(text, STR("HEAD")) ? HTTP1_HEAD
                                              : HTTP1_OTHER;
    case 5:
        return str_equal(text, STR("PATCH"))   ? HTTP1_PATCH
               : str_equal(text, STR("TRACE")) ? HTTP1_TRACE
                                               : HTTP1_OTHER;
    case 6:
        return str_equal(text, STR("DELETE")) ? HTTP1_DELETE : HTTP1_OTHER;
    case 7:
        return str_equal(text, STR("OPTIONS"))   ? HTTP1_OPTIONS
               : str_equal(text, STR("CONNECT")) ? HTTP1_CONNECT
                                                 : HTTP1_OTHER;
    default:
        return HTTP1_OTHER;
    }
}

// "HTTP/1.1", case-sensitive (RFC 9112 §2.3). The pointer behind it, or NULL after judge.
static const char *step_version(struct parse *parse, const char *p)
{
    if (parse->end - p < 8) {
        return judge(parse, 400, "bad_version");
    }
    if (memcmp(p, "HTTP/", 5) != 0 || !is_digit(p[5]) || p[6] != '.' || !is_digit(p[7])) {
        return judge(parse, 400, "bad_version");
    }
    if (p[5] != '1') {
        return judge(parse, 505, "version_not_supported");
    }
    parse->head->version_minor = p[7] > '0';
    return p + 8;
}

// RFC 9112 §3: method SP request-target SP HTTP-version, single spaces. To parse leniently on any
// whitespace is allowed there, "however … can result in request smuggling"; we don't.
static const char *step_request_line(struct parse *parse)
{
    struct http1_head *head = parse->head;
    const char *p = parse->line;
    while (p < parse->end && is_token_byte(*p)) {
        p++;
    }
    if (p == parse->end || *p != ' ' || p == parse->line) {
        bool ends_early = p < parse->end && (*p == '\r' || *p == '\n' || *p == ' ');
        return judge(parse, 400, ends_early ? "bad_start_line" : "bad_method");
    }
    struct str method = {parse->line, (size_t)(p - parse->line)};
    const char *target = ++p;
    p = scan_target(p, parse->base, parse->end);
    if (p == parse->end || *p != ' ' || p == target) {
        bool ends_early = p < parse->end && (*p == '\r' || *p == '\n' || *p == ' ');
        return judge(parse, 400,
                     ends_early                    ? "bad_start_line"
                     : p < parse->end && *p == '#' ? "fragment_in_target"
                                                   : "bad_target");
    }
    struct str target_text = {target, (size_t)(p - target)};
    p = step_version(parse, p + 1);
    if (p == NULL) {
        return NULL;
    }
    p = expect_crlf(parse, p, "bad_version");
    if (p != NULL) {
        head->method_text = method;
        head->method = method_of(method);
        head->target = target_text;
    }
    return p;
}

// RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]. The second SP may be missing when
// the reason is: many servers leave it out, and nothing else can be meant.
static const char *step_status_line(struct parse *parse)
{
    const char *p = step_version(parse, parse->line);
    if (p == NULL) {
        return NULL;
    }
    if (parse->end - p < 4) {
        return judge(parse, 400, "bad_status");
    }
    if (p[0] != ' ' || !is_digit(p[1]) || p[1] == '0' || !is_digit(p[2]) || !is_digit(p[3])) {
        return judge(parse, 400, "bad_status");
    }
    uint16_t status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    p += 4;
    struct str reason = {p, 0};
    if (p < parse->end && *p == ' ') {
        reason.at = ++p;
        p = scan_value(p, parse->base, parse->end);
        reason.len = (size_t)(p - reason.at);
    }
    p = expect_crlf(parse, p, "control_in_reason");
    if (p != NULL) {
        parse->head->status = status;
        parse->head->reason = reason;
    }
    return p;
}

// ---- A field line -----------------------------------------------------------------------------

static const char *judge_name(struct parse *parse)
{
    const char *p = parse->line;
    while (p < parse->end && is_token_byte(*p)) {
        p++;
    }
    if (p == parse->end) {
        return judge(parse, 400, "no_colon");
    }
    switch (*p) {
    case ':':
        return judge(parse, 400, "empty_name");
    case ' ':
    case '\t':
        // RFC 9112 §5.1: "A server MUST reject, with a response status code of 400, any received
        // request message that contains whitespace between a header field name and colon." At the
        // start of the line it is obs-fold: §5.2, "MUST either reject the message …".
        return judge(parse, 400, p == parse->line ? "obs_fold" : "space_before_colon");
    case '\r':
        return judge(parse, 400, parse->end - p >= 2 && p[1] == '\n' ? "no_colon" : "bare_cr");
    case '\n':
        return judge(parse, 400, "bare_lf");
    default:
        return judge(parse, 400, "bad_name");
    }
}

static const char *step_field(struct parse *parse)
{
    struct http1_head *head = parse->head;
    const char *name_end = scan_name(parse->line, parse->base, parse->end);
    struct str name = {parse->line, (size_t)(name_end - parse->line)};
    if (name_end == parse->end || name.len == 0) {
        return judge_name(parse);
    }
    bool lookalike;
    uint8_t id = http1_field_lookup(name, &lookalike);
    if (id == HTTP1_UNKNOWN && !http1_token_is_valid(name)) {
        return judge_name(parse);
    }
    const char *value = name_end + 1;
    while (value < parse->end && is_blank(*value)) {
        value++;
    }
    const char *value_end = scan_value(value, parse->base, parse->end);
    const char *next = expect_crlf(parse, value_end, "control_in_value");
    if (next == NULL) {
        return NULL;
    }
    bool canonical = value == name_end + 2 && name_end[1] == ' ';
    while (value_end > value && is_blank(value_end[-1])) {
        value_end--;
        canonical = false;
    }
    if (head->field_count >= MIN(parse->limits->fields, HTTP1_FIELDS_MAX)) {
        parse->result = refuse(head, 431, "too_many_fields");
        return NULL;
    }
    uint64_t bit = HTTP1_SET(id) & ~HTTP1_SET(HTTP1_UNKNOWN);
    if ((head->fields_seen & bit) == 0) {
        head->first[id] = (uint8_t)head->field_count;
    }
    head->fields_repeated |= head->fields_seen & bit;
    head->fields_seen |= bit;
    head->fields[head->field_count++] = (struct http1_field){
        .name = name,
        .value = {value, (size_t)(value_end - value)},
        .id = id,
        .flags = (uint8_t)(http1_field_flags(id) | (lookalike ? HTTP1_LOOKALIKE : 0) |
                           (canonical ? HTTP1_CANONICAL : 0)),
    };
    return next;
}

// ---- What the fields mean ---------------------------------------------------------------------

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
        return refuse(head, 400, "connection_nominates_framing");
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
        if (str_equal_nocase(list, STR("keep-alive"))) {
            connection->keep_alive = true;
            continue;
        }
        while (list_next(&list, &option)) {
            if (!http1_token_is_valid(option)) {
                return refuse(head, 400, "bad_connection");
            }
            if (++connection->options > HTTP1_CONNECTION_OPTIONS_MAX) {
                return refuse(head, 400, "too_many_connection_options");
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
            return refuse(head, 400, "te_with_cl");
        }
        if (repeated(head, HTTP1_TRANSFER_ENCODING)) {
            return refuse(head, 400, "te_repeated");
        }
        // §6.1: "A server or client that receives an HTTP/1.0 message containing a
        // Transfer-Encoding header field MUST treat the message as if the framing is faulty".
        if (head->version_minor == 0) {
            return refuse(head, 400, "te_in_http10");
        }
        if (!str_equal_nocase(value_of(head, HTTP1_TRANSFER_ENCODING), STR("chunked"))) {
            return refuse(head, 400, "te_unknown");
        }
        head->body = HTTP1_BODY_CHUNKED;
        return 0;
    }
    if (!seen(head, HTTP1_CONTENT_LENGTH)) {
        return 0;
    }
    if (repeated(head, HTTP1_CONTENT_LENGTH)) {
        return refuse(head, 400, "cl_repeated");
    }
    struct str text = value_of(head, HTTP1_CONTENT_LENGTH);
    uint64_t length;
    // Up to 19 digits, so a leading zero or two are read as what they are; no sign, no space.
    if (text.len > 19 || str_to_u64(text, INT64_MAX, &length) != 0) {
        return refuse(head, 400, "cl_bad");
    }
    if (limits->body_bytes > 0 && length > limits->body_bytes) {
        return refuse(head, 413, "body_too_large");
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
        return refuse(head, 400, "bad_target");
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
        return refuse(head, 400, "bad_target");
    }
    if (seen(head, HTTP1_HOST) &&
        !same_authority(authority, value_of(head, HTTP1_HOST), default_port)) {
        return refuse(head, 400, "host_conflict");
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
            return refuse(head, 400, "host_repeated");
        }
        head->host = value_of(head, HTTP1_HOST);
        if (uri_parse_authority(head->host, &host, &port) != 0) {
            return refuse(head, 400, "host_bad");
        }
    } else if (head->version_minor > 0) {
        return refuse(head, 400, "host_missing");
    }
    if (head->method == HTTP1_CONNECT) {
        if (!limits->connect) {
            return refuse(head, 501, "connect_refused");
        }
        if (uri_parse_authority(head->target, &host, &port) != 0 || port == 0) {
            return refuse(head, 400, "bad_target");
        }
        if (seen(head, HTTP1_HOST) && !same_authority(head->target, head->host, 0)) {
            return refuse(head, 400, "host_conflict");
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
        return head->method == HTTP1_OPTIONS ? 0 : refuse(head, 400, "bad_target");
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

static int finish_request(struct http1_head *head, const struct http1_limits *limits)
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
        return refuse(head, 400, "body_not_allowed"); // RFC 9110 §9.3.6, §9.3.8
    }
    head->keep_alive = !connection.close && (head->version_minor > 0 || connection.keep_alive);
    head->upgrade = read_upgrade(head, &connection);
    if (seen(head, HTTP1_EXPECT) && head->version_minor > 0) {
        // RFC 9110 §10.1.1: nothing but 100-continue is defined; other members MAY be answered 417.
        if (repeated(head, HTTP1_EXPECT) ||
            !str_equal_nocase(value_of(head, HTTP1_EXPECT), STR("100-continue"))) {
            return refuse(head, 417, "expectation_unknown");
        }
        head->expects_continue = head->body == HTTP1_BODY_CHUNKED ||
                                 (head->body == HTTP1_BODY_LENGTH && head->content_length > 0);
    }
    return 0;
}

static int finish_response(struct http1_head *head, const struct http1_limits *limits,
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
            return refuse(head, 400, "body_not_allowed");
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
            return refuse(head, 400, "switch_without_upgrade");
        }
    }
    return 0;
}

// ---- The way through --------------------------------------------------------------------------

// The bytes moved in memory since the last call: what was found in them moves along.
static void rebase(struct http1_head *head, const char *base)
{
    ptrdiff_t by = (ptrdiff_t)((uintptr_t)base - (uintptr_t)head->base);
    struct str *views[] = {&head->method_text, &head->target, &head->reason};
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        if (views[i]->at != NULL) {
            views[i]->at += by;
        }
    }
    for (uint32_t i = 0; i < head->field_count; i++) {
        head->fields[i].name.at += by;
        head->fields[i].value.at += by;
    }
}

static const char *step_start_line(struct parse *parse)
{
    if (!parse->is_request) {
        return step_status_line(parse);
    }
    // RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore
    // at least one empty line (CRLF) received prior to the request-line." One, not more.
    if (parse->line == parse->base && parse->line < parse->end &&
        (*parse->line == '\r' || *parse->line == '\n')) {
        const char *next = expect_crlf(parse, parse->line, "bad_start_line");
        if (next == NULL) {
            return NULL;
        }
        begin_line(parse, next);
    }
    return step_request_line(parse);
}

// The head's length, or what parse->result says.
static int parse_head(struct parse *parse)
{
    struct http1_head *head = parse->head;
    begin_line(parse, parse->base + head->line_start);
    if (!head->start_line_done) {
        const char *next = step_start_line(parse);
        if (next == NULL) {
            return parse->result;
        }
        head->start_line_done = true;
        begin_line(parse, next);
    }
    for (;;) {
        if (parse->line < parse->end && *parse->line == '\r') {
            const char *end = expect_crlf(parse, parse->line, "bare_cr");
            return end != NULL ? (int)(end - parse->base) : parse->result;
        }
        const char *next = step_field(parse);
        if (next == NULL) {
            return parse->result;
        }
        begin_line(parse, next);
    }
}

static int parse_message(struct http1_head *head, struct str bytes,
                         const struct http1_limits *limits, bool is_request)
{
    struct parse parse = {
        .head = head,
        .limits = limits,
        .base = bytes.at,
        .end = bytes.at + bytes.len,
        .is_request = is_request,
    };
    if (bytes.len == 0) {
        return 0;
    }
    if (head->base != bytes.at) {
        if (head->base != NULL) {
            rebase(head, bytes.at);
        }
        head->base = bytes.at;
    }
    uint32_t scanned = head->scanned;
    if (scanned > head->line_start &&
        memchr(bytes.at + scanned, '\n', bytes.len - scanned) == NULL) {
        // Still in the middle of a line.
        begin_line(&parse, bytes.at + head->line_start);
        if (parse.end >= parse.bound) {
            refuse_length(&parse);
            return parse.result;
        }
        head->scanned = (uint32_t)bytes.len;
        return 0;
    }
    return parse_head(&parse);
}

int http1_parse_request(struct http1_head *head, struct str bytes,
                        const struct http1_limits *limits)
{
    int n = parse_message(head, bytes, limits, true);
    if (n > 0) {
        int r = finish_request(head, limits);
        return r < 0 ? r : n;
    }
    return n;
}

int http1_parse_response(struct http1_head *head, struct str bytes,
                         const struct http1_limits *limits, enum http1_method request_method)
{
    int n = parse_message(head, bytes, limits, false);
    if (n > 0) {
        int r = finish_response(head, limits, request_method);
        return r < 0 ? -502 : n;
    }
    return n < 0 ? -502 : 0;
}
