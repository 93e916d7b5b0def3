// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "codec/http1_test_support.h"

#define HOST "Host: a\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST

struct refused {
    const char *name;
    struct str input;
    int status;
    const char *reason;
};

#define REFUSED(name, status, reason, input) \
    {                                        \
        name, STR(input), status, reason     \
    }

static const struct refused refused_requests[] = {
    // Framing that two parties could read in two ways.
    REFUSED("length and chunked together", 400, "te_with_cl",
            GET "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REFUSED("chunked and length together, other order", 400, "te_with_cl",
            GET "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"),
    REFUSED("two equal lengths", 400, "cl_repeated",
            GET "Content-Length: 4\r\nContent-Length: 4\r\n\r\n"),
    REFUSED("two lengths", 400, "cl_repeated",
            GET "Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
    REFUSED("list of equal lengths", 400, "cl_bad", GET "Content-Length: 5, 5\r\n\r\n"),
    REFUSED("length with plus", 400, "cl_bad", GET "Content-Length: +5\r\n\r\n"),
    REFUSED("negative length", 400, "cl_bad", GET "Content-Length: -5\r\n\r\n"),
    REFUSED("empty length", 400, "cl_bad", GET "Content-Length:\r\n\r\n"),
    REFUSED("blank length", 400, "cl_bad", GET "Content-Length:   \r\n\r\n"),
    REFUSED("length with a space inside", 400, "cl_bad", GET "Content-Length: 1 0\r\n\r\n"),
    REFUSED("hexadecimal length", 400, "cl_bad", GET "Content-Length: 0x10\r\n\r\n"),
    REFUSED("length with a fraction", 400, "cl_bad", GET "Content-Length: 5.0\r\n\r\n"),
    REFUSED("length past 2^63", 400, "cl_bad", GET "Content-Length: 9223372036854775808\r\n\r\n"),
    REFUSED("length past 2^64", 400, "cl_bad", GET "Content-Length: 18446744073709551617\r\n\r\n"),
    REFUSED("length of 30 digits", 400, "cl_bad",
            GET "Content-Length: 000000000000000000000000000005\r\n\r\n"),
    REFUSED("unknown coding", 400, "te_unknown", GET "Transfer-Encoding: gzip\r\n\r\n"),
    REFUSED("identity", 400, "te_unknown", GET "Transfer-Encoding: identity\r\n\r\n"),
    REFUSED("gzip then chunked", 400, "te_unknown", GET "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    REFUSED("chunked twice", 400, "te_unknown", GET "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    REFUSED("chunked not last", 400, "te_unknown", GET "Transfer-Encoding: chunked, x\r\n\r\n"),
    REFUSED("chunked with a comma", 400, "te_unknown", GET "Transfer-Encoding: chunked,\r\n\r\n"),
    REFUSED("chunked behind a comma", 400, "te_unknown", GET "Transfer-Encoding: ,chunked\r\n\r\n"),
    REFUSED("chunked with a parameter", 400, "te_unknown",
            GET "Transfer-Encoding: chunked;x=y\r\n\r\n"),
    REFUSED("quoted chunked", 400, "te_unknown", GET "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    REFUSED("chunked behind a vertical tab", 400, "control_in_value",
            GET "Transfer-Encoding: \vchunked\r\n\r\n"),
    REFUSED("chunked misspelt", 400, "te_unknown", GET "Transfer-Encoding: xchunked\r\n\r\n"),
    REFUSED("empty coding", 400, "te_unknown", GET "Transfer-Encoding:\r\n\r\n"),
    REFUSED("repeated coding", 400, "te_repeated",
            GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REFUSED("coding in two lines", 400, "te_repeated",
            GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    REFUSED("chunked in HTTP/1.0", 400, "te_in_http10",
            "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
    REFUSED("length hidden by a control byte in its name", 400, "bare_cr",
            GET "Content\rLength: 5\r\n\r\n"),
    REFUSED("body with TRACE", 400, "body_not_allowed",
            "TRACE / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n"),
    // Lines.
    REFUSED("bare LF behind the request line", 400, "bare_lf", "GET / HTTP/1.1\n" HOST "\r\n"),
    REFUSED("bare LF behind a field", 400, "bare_lf", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    REFUSED("bare LF at the end", 400, "bare_lf", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    REFUSED("bare LF in front", 400, "bare_lf", "\nGET / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("bare CR in a value", 400, "bare_cr", GET "X: a\rb\r\n\r\n"),
    REFUSED("bare CR behind the request line", 400, "bare_cr", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    REFUSED("CR CR LF", 400, "bare_cr", GET "X: a\r\r\n\r\n"),
    REFUSED("CR at the end of the head", 400, "bare_cr", GET "\rX\r\n\r\n"),
    REFUSED("two empty lines in front", 400, "bad_start_line", "\r\n\r\n" GET "\r\n"),
    REFUSED("space in front", 400, "bad_start_line", " " GET "\r\n"),
    // Fields.
    REFUSED("folded line", 400, "obs_fold", GET "X: a\r\n b\r\n\r\n"),
    REFUSED("line folded by a tab", 400, "obs_fold", GET "X: a\r\n\tb: c\r\n\r\n"),
    REFUSED("folded first line", 400, "obs_fold", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    REFUSED("space before the colon", 400, "space_before_colon", GET "Content-Length : 5\r\n\r\n"),
    REFUSED("tab before the colon", 400, "space_before_colon", GET "X\t: 5\r\n\r\n"),
    REFUSED("space inside a name", 400, "space_before_colon", GET "X Y: 5\r\n\r\n"),
    REFUSED("empty name", 400, "empty_name", GET ": 5\r\n\r\n"),
    REFUSED("no colon", 400, "no_colon", GET "X\r\nY: 1\r\n\r\n"),
    REFUSED("no colon in the last line", 400, "no_colon", GET "X\r\n\r\n"),
    REFUSED("name with a bracket", 400, "bad_name", GET "X(: 5\r\n\r\n"),
    REFUSED("name beyond ASCII", 400, "bad_name", GET "X\xc3\xa9: 5\r\n\r\n"),
    REFUSED("NUL in a name", 400, "bad_name", GET "X\0Y: 5\r\n\r\n"),
    REFUSED("NUL in a value", 400, "control_in_value", GET "X: a\0b\r\n\r\n"),
    REFUSED("escape in a value", 400, "control_in_value", GET "X: \033[2J\r\n\r\n"),
    REFUSED("DEL in a value", 400, "control_in_value", GET "X: a\177\r\n\r\n"),
    // The request line.
    REFUSED("no version (HTTP/0.9)", 400, "bad_start_line", "GET /\r\n\r\n"),
    REFUSED("only a method", 400, "bad_start_line", "GET\r\n\r\n"),
    REFUSED("two spaces before the target", 400, "bad_start_line",
            "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("two spaces before the version", 400, "bad_version", "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("space behind the version", 400, "bad_version", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    REFUSED("tab for a space", 400, "bad_method", "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("tab in the target", 400, "bad_target", "GET /\tHTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("method that is no token", 400, "bad_method", "GE(T / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("NUL in the method", 400, "bad_method", "G\0T / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("TLS on a plain port", 400, "bad_method", "\026\003\001\002\0\001\n"),
    REFUSED("space in the target", 400, "bad_version", "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("NUL in the target", 400, "bad_target", "GET /\0 HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("raw UTF-8 in the target", 400, "bad_target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("fragment in the target", 400, "fragment_in_target",
            "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("version in lower case", 400, "bad_version", "GET / http/1.1\r\n" HOST "\r\n"),
    REFUSED("version with two digits", 400, "bad_version", "GET / HTTP/1.10\r\n" HOST "\r\n"),
    REFUSED("version with a zero in front", 400, "bad_version", "GET / HTTP/01.1\r\n" HOST "\r\n"),
    REFUSED("version without minor", 400, "bad_version", "GET / HTTP/1\r\n" HOST "\r\n"),
    REFUSED("HTTP/2 preface", 505, "version_not_supported", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    REFUSED("HTTP/0.9 by name", 505, "version_not_supported", "GET / HTTP/0.9\r\n" HOST "\r\n"),
    REFUSED("CONNECT", 501, "connect_refused", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    REFUSED("target without a slash", 400, "bad_target", "GET index HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("asterisk with GET", 400, "bad_target", "GET * HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("other scheme", 400, "bad_target", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("absolute form without host", 400, "bad_target",
            "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("user information", 400, "bad_target", "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"),
    // Host.
    REFUSED("no Host", 400, "host_missing", "GET / HTTP/1.1\r\n\r\n"),
    REFUSED("two Hosts", 400, "host_repeated", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    REFUSED("two equal Hosts", 400, "host_repeated",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    REFUSED("empty Host", 400, "host_bad", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    REFUSED("list of hosts", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    REFUSED("Host with a path", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    REFUSED("Host with user information", 400, "host_bad", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    REFUSED("Host with a space", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    REFUSED("port that is no number", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    REFUSED("port too large", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    REFUSED("port zero", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"),
    REFUSED("two ports", 400, "host_bad", "GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n"),
    REFUSED("broken IPv6", 400, "host_bad", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    REFUSED("Host and target differ", 400, "host_conflict",
            "GET http://b/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("Host and target differ in the port", 400, "host_conflict",
            "GET http://a:81/ HTTP/1.1\r\n" HOST "\r\n"),
    // Connection, Expect.
    REFUSED("Connection takes Host away", 400, "connection_nominates_framing",
            GET "Connection: host\r\n\r\n"),
    REFUSED("Connection takes the length away", 400, "connection_nominates_framing",
            GET "Connection: close, Content-Length\r\nContent-Length: 3\r\n\r\n"),
    REFUSED("Connection takes the coding away", 400, "connection_nominates_framing",
            GET "Connection: Transfer-Encoding\r\n\r\n"),
    REFUSED("Connection that is no list of tokens", 400, "bad_connection",
            GET "Connection: a b\r\n\r\n"),
    REFUSED("33 connection options", 400, "too_many_connection_options",
            GET "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"
                "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n"),
    REFUSED("unknown expectation", 417, "expectation_unknown", GET "Expect: 200-ok\r\n\r\n"),
    REFUSED("two expectations", 417, "expectation_unknown",
            GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
};

static void test_ambiguous_requests_are_refused_however_they_are_cut(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refused_requests); i++) {
        const struct refused *row = &refused_requests[i];
        struct fed fed;
        feed_every_way(row->name, row->input, &http1_limits_default, -1, &fed);
        if (fed.result != -row->status || strcmp(fed.head.refusal, row->reason) != 0) {
            fail_msg("%s: got %d (%s)", row->name, fed.result,
                     fed.head.refusal ? fed.head.refusal : "-");
        }
        free(fed.bytes);
    }
}

struct accepted {
    const char *name;
    struct str input; // the head is all of it
    uint8_t method, body;
    uint64_t content_length;
    bool keep_alive, expects_continue;
    const char *rebuilt; // what is passed on, without what the proxy adds
};

#define ACCEPTED(name, input, method, body, length, keep_alive, continues, rebuilt) \
    {                                                                               \
        name, STR(input), method, body, length, keep_alive, continues, rebuilt      \
    }
#define START "GET / HTTP/1.1\r\nHost: a\r\n"

static const struct accepted accepted_requests[] = {
    ACCEPTED("plain", GET "\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0, true, false, START),
    ACCEPTED("one empty line in front", "\r\n" GET "\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0, true,
             false, START),
    ACCEPTED("names in any case, values trimmed",
             "GET / HTTP/1.1\r\nhOsT:\t a \t\r\nX-Y:  1\t\r\nz:\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, START "X-Y: 1\r\nz: \r\n"),
    ACCEPTED("every byte a token may have",
             "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\n\r\n",
             HTTP1_OTHER, HTTP1_BODY_NONE, 0, true, false,
             "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\n"),
    ACCEPTED("bytes beyond ASCII and tabs in a value", GET "X: \xc3\xa9\t\xff\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, START "X: \xc3\xa9\t\xff\r\n"),
    ACCEPTED("long value beyond one register",
             GET "User-Agent: 0123456789abcdef0123456789abcdef0123456789abcdef\r\nX: y\r\n\r\n",
             HTTP1_GET, HTTP1_BODY_NONE, 0, true, false,
             START "User-Agent: 0123456789abcdef0123456789abcdef0123456789abcdef\r\nX: y\r\n"),
    ACCEPTED("length", "POST /p?q=1?2 HTTP/1.1\r\n" HOST "Content-Length: 0012\r\n\r\n", HTTP1_POST,
             HTTP1_BODY_LENGTH, 12, true, false,
             "POST /p?q=1?2 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n"),
    ACCEPTED("largest length", GET "Content-Length: 9223372036854775807\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_LENGTH, INT64_MAX, true, false,
             START "Content-Length: 9223372036854775807\r\n"),
    ACCEPTED("chunked in any case", "PUT /? HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n",
             HTTP1_PUT, HTTP1_BODY_CHUNKED, 0, true, false,
             "PUT /? HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"),
    ACCEPTED("close", GET "Connection: keep-alive, Close\r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0,
             false, false, START),
    ACCEPTED("HTTP/1.0 closes", "GET / HTTP/1.0\r\n" HOST "\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0,
             false, false, START),
    ACCEPTED("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0,
             false, false, "GET / HTTP/1.1\r\nHost: default\r\n"),
    ACCEPTED("HTTP/1.0 keep-alive",
             "GET / HTTP/1.0\r\n" HOST "Connection: Keep-Alive\r\nKeep-Alive: 300\r\n\r\n",
             HTTP1_GET, HTTP1_BODY_NONE, 0, true, false, START),
    ACCEPTED("later minor version", "GET / HTTP/1.7\r\n" HOST "\r\n", HTTP1_GET, HTTP1_BODY_NONE, 0,
             true, false, START),
    ACCEPTED("expectation", GET "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_LENGTH, 3, true, true,
             START "Expect: 100-Continue\r\nContent-Length: 3\r\n"),
    ACCEPTED("expectation without a body is dropped", GET "Expect: 100-continue\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, START),
    ACCEPTED("expectation in HTTP/1.0 is dropped",
             "GET / HTTP/1.0\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
             HTTP1_GET, HTTP1_BODY_LENGTH, 3, false, false, START "Content-Length: 3\r\n"),
    ACCEPTED("fields of one connection are dropped",
             GET "Connection: x-a, ,X-B,\r\nX-A: 1\r\nKeep: 2\r\nx-b: 3\r\nTE: trailers\r\n"
                 "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nProxy: evil\r\n"
                 "Upgrade: websocket\r\nHTTP2-Settings: x\r\nkeep-alive: 5\r\nLast: 4\r\n\r\n",
             HTTP1_GET, HTTP1_BODY_NONE, 0, true, false, START "Keep: 2\r\nLast: 4\r\n"),
    ACCEPTED("Connection cannot take identity away",
             GET
             "Connection: X-Forwarded-For, Authorization, Cookie\r\nX-Forwarded-For: 1.2.3.4\r\n"
             "Authorization: x\r\nCookie: a=b\r\n\r\n",
             HTTP1_GET, HTTP1_BODY_NONE, 0, true, false,
             START "X-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\nCookie: a=b\r\n"),
    ACCEPTED("underscored names of known fields are dropped",
             GET "X_Forwarded_For: 1.2.3.4\r\nContent_Length: 5\r\nMy_Own: 1\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, START "My_Own: 1\r\n"),
    ACCEPTED("absolute form", "GET HTTP://A:80/x?y HTTP/1.1\r\n" HOST "\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, "GET /x?y HTTP/1.1\r\nHost: A:80\r\n"),
    ACCEPTED("absolute form without path", "GET http://a?y HTTP/1.1\r\n" HOST "\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, "GET /?y HTTP/1.1\r\nHost: a\r\n"),
    ACCEPTED("OPTIONS of the whole server, absolute",
             "OPTIONS http://a:81 HTTP/1.1\r\nHost: a:81\r\n\r\n", HTTP1_OPTIONS, HTTP1_BODY_NONE,
             0, true, false, "OPTIONS * HTTP/1.1\r\nHost: a:81\r\n"),
    ACCEPTED("OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", HTTP1_OPTIONS, HTTP1_BODY_NONE, 0,
             true, false, "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
    ACCEPTED("IPv6 host", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", HTTP1_GET,
             HTTP1_BODY_NONE, 0, true, false, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n"),
    ACCEPTED("odd bytes in the target", "GET //a/../%zz/\"<>\\^`{|}?a=/? HTTP/1.1\r\n" HOST "\r\n",
             HTTP1_GET, HTTP1_BODY_NONE, 0, true, false,
             "GET //a/../%zz/\"<>\\^`{|}?a=/? HTTP/1.1\r\nHost: a\r\n"),
};

static void rebuild(struct writer *writer, const struct http1_head *head)
{
    http1_write_request_start(writer, head, STR("default"));
    http1_write_fields(writer, head, 0);
    http1_write_framing(writer, head->body, head->content_length);
}

static void test_sound_requests_are_read_and_rebuilt(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(accepted_requests); i++) {
        const struct accepted *row = &accepted_requests[i];
        struct fed fed;
        feed_every_way(row->name, row->input, &http1_limits_default, -1, &fed);
        const struct http1_head *head = &fed.head;
        if (fed.result != (int)row->input.len || head->method != row->method ||
            head->body != row->body || head->content_length != row->content_length ||
            head->keep_alive != row->keep_alive ||
            head->expects_continue != row->expects_continue) {
            fail_msg("%s: got %d (%s), method %d, body %d", row->name, fed.result,
                     head->refusal ? head->refusal : "-", head->method, head->body);
        }
        char text[1024];
        struct writer writer;
        writer_init(&writer, text, sizeof(text));
        rebuild(&writer, head);
        assert_false(writer.overflowed);
        writer_put_char(&writer, '\0');
        assert_string_equal(text, row->rebuilt);
        // Room for one byte less is an overflow, never a cut head.
        writer_init(&writer, text, strlen(row->rebuilt) - 1);
        rebuild(&writer, head);
        assert_true(writer.overflowed);
        free(fed.bytes);
    }
}

static void test_pipelined_bytes_stay_with_the_next_request(void **state)
{
    struct http1_head head;
    http1_head_init(&head);
    struct str both = STR(GET "\r\n" GET "\r\n");
    assert_int_equal(http1_parse_request(&head, both, &http1_limits_default), sizeof(GET) + 1);
}

static void test_known_fields_are_found_by_id_and_others_by_name(void **state)
{
    static const char *names[] = {
#define NAME(id, name, first, last_but_one, flags) name,
        HTTP1_FIELD_TABLE(NAME)
#undef NAME
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[256];
        bool is_host = strcmp(names[i], "host") == 0;
        bool is_te = strcmp(names[i], "transfer-encoding") == 0;
        const char *value = is_te                                     ? "chunked"
                            : strcmp(names[i], "content-length") == 0 ? "7"
                            : strcmp(names[i], "expect") == 0         ? "100-continue"
                                                                      : "b";
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s%s: %s\r\nMy: x\r\n\r\n",
                 is_host ? "" : HOST, names[i], value);
        struct http1_head head;
        http1_head_init(&head);
        assert_true(http1_parse_request(&head, str_of(text), &http1_limits_default) > 0);
        const struct http1_field *field = http1_find(&head, (enum http1_field_id)(i + 1), 0);
        assert_non_null(field);
        assert_true(str_equal(field->value, str_of(value)));
        assert_null(http1_find(&head, (enum http1_field_id)(i + 1), head.field_count - 1));
        assert_true(str_equal(http1_find_name(&head, STR("mY"))->value, STR("x")));
    }
}

static void test_upgrade_is_offered_only_when_it_can_be_taken(void **state)
{
    static const struct {
        const char *fields, *upgrade;
    } rows[] = {
        {"Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"},
        {"Connection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\n", "a/1, b"},
        {"Upgrade: websocket\r\n", ""},
        {"Connection: upgrade\r\n", ""},
        {"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", ""},
        {"Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", ""},
        {"Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", ""},
        {"Connection: upgrade\r\nUpgrade: a\r\nContent-Length: 3\r\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), GET "%s\r\n", rows[i].fields);
        struct http1_head head;
        http1_head_init(&head);
        assert_true(http1_parse_request(&head, str_of(text), &http1_limits_default) > 0);
        assert_true(str_equal(head.upgrade, str_of(rows[i].upgrade)));
    }
}

// ---- Limits -----------------------------------------------------------------------------------

static const struct http1_limits small = {
    .line_bytes = 32, .head_bytes = 80, .fields = 3, .body_bytes = 10};

static void test_limits_hold_to_the_byte_and_say_which(void **state)
{
    static const struct {
        const char *name, *input;
        int result;
        const char *reason;
    } rows[] = {
        // "GET /" + 18 + " HTTP/1.1" are 32 bytes.
        {"request line of the limit", "GET /234567890123456789 HTTP/1.1\r\nHost: a\r\n\r\n", 45,
         ""},
        {"request line past the limit", "GET /2345678901234567890 HTTP/1.1\r\nHost: a\r\n\r\n",
         -414, "start_line_too_long"},
        {"bad request line past the limit is too long", "GET /\001345678901234567890 HTTP/1.1\r\n",
         -414, "start_line_too_long"},
        {"endless request line", "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         -414, "start_line_too_long"},
        {"field line of the limit",
         "GET / HTTP/1.1\r\nHost: a\r\nX: 45678901234567890123456789012\r\n\r\n", 61, ""},
        {"field line past the limit",
         "GET / HTTP/1.1\r\nHost: a\r\nX: 456789012345678901234567890123\r\n\r\n", -431,
         "field_too_long"},
        {"endless field",
         "GET / HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -431,
         "field_too_long"},
        {"head past the limit",
         "GET /234567890123456789 HTTP/1.1\r\nHost: a\r\nX: 34567890\r\nX: "
         "345678901234567890\r\n\r\n",
         -431, "head_too_large"},
        {"head of the limit",
         "GET /234567890123456789 HTTP/1.1\r\nHost: a\r\nX: 34567890\r\nX: "
         "34567890123456789\r\n\r\n",
         80, ""},
        {"fields of the limit", "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\n\r\n", 39, ""},
        {"too many fields", "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n", -431,
         "too_many_fields"},
        {"body past the limit", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", -413,
         "body_too_large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fed fed;
        feed_every_way(rows[i].name, str_of(rows[i].input), &small, -1, &fed);
        if (fed.result != rows[i].result) {
            fail_msg("%s: got %d (%s)", rows[i].name, fed.result,
                     fed.head.refusal ? fed.head.refusal : "-");
        }
        if (fed.result < 0) {
            assert_string_equal(fed.head.refusal, rows[i].reason);
        }
        free(fed.bytes);
    }
}

static void test_a_head_cut_short_is_never_refused_nor_taken(void **state)
{
    struct str text = STR(GET "X: y\r\nConnection: close\r\n\r\n");
    for (size_t len = 0; len < text.len; len++) {
        struct fed fed;
        fed_init(&fed);
        feed_part(&fed, text, len, &http1_limits_default, -1);
        assert_int_equal(fed.result, 0);
        free(fed.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ambiguous_requests_are_refused_however_they_are_cut),
        cmocka_unit_test(test_sound_requests_are_read_and_rebuilt),
        cmocka_unit_test(test_pipelined_bytes_stay_with_the_next_request),
        cmocka_unit_test(test_known_fields_are_found_by_id_and_others_by_name),
        cmocka_unit_test(test_upgrade_is_offered_only_when_it_can_be_taken),
        cmocka_unit_test(test_limits_hold_to_the_byte_and_say_which),
        cmocka_unit_test(test_a_head_cut_short_is_never_refused_nor_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
