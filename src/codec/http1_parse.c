// SPDX-License-Identifier: Apache-2.0
// The parser of heads: lines here, what they mean together in http1_meaning.c.
//
//     step_start_line, step_field ──▶ pointer past the line's LF
//                                └──▶ NULL: `judge` said whether to wait for more or to refuse
//
// A line is parsed in one forward pass; only when something is wrong (or missing) in it is its LF
// searched for. Until that LF is there, nothing is wrong yet (see http1.h).
#include "codec/http1.h"
#include "codec/http1_scan.h"

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

__attribute__((noinline, cold)) static const char *refuse_length(struct parse *parse)
{
    const char *reason = !parse->bound_is_line           ? "head_too_large"
                         : !parse->head->start_line_done ? "start_line_too_long"
                                                         : "field_too_long";
    int status = parse->bound_is_line && !parse->head->start_line_done ? 414 : 431;
    parse->result = http1_refuse(parse->head, status, reason);
    return NULL;
}

// The current line is bad (reason), or its end has not come. Always NULL.
__attribute__((noinline, cold)) static const char *judge(struct parse *parse, int status,
                                                         const char *reason)
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
    parse->result = http1_refuse(parse->head, status, reason);
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
static inline const char *expect_crlf(struct parse *parse, const char *p, const char *reason)
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
        parse->result = http1_refuse(head, 431, "too_many_fields");
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
        int r = http1_finish_request(head, limits);
        return r < 0 ? r : n;
    }
    return n;
}

int http1_parse_response(struct http1_head *head, struct str bytes,
                         const struct http1_limits *limits, enum http1_method request_method)
{
    int n = parse_message(head, bytes, limits, false);
    if (n > 0) {
        int r = http1_finish_response(head, limits, request_method);
        return r < 0 ? -502 : n;
    }
    return n < 0 ? -502 : 0;
}
