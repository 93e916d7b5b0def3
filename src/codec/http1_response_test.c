// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "codec/http1_test_support.h"

#define OK "HTTP/1.1 200 OK\r\n"

static void test_responses_are_held_to_the_same_rules(void **state)
{
    static const struct {
        const char *name;
        struct str input;
        const char *reason;
    } rows[] = {
        {"length and chunked", STR(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "te_with_cl"},
        {"two lengths", STR(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), "cl_repeated"},
        {"list of lengths", STR(OK "Content-Length: 1,1\r\n\r\n"), "cl_bad"},
        {"signed length", STR(OK "Content-Length: +1\r\n\r\n"), "cl_bad"},
        {"unknown coding", STR(OK "Transfer-Encoding: gzip\r\n\r\n"), "te_unknown"},
        {"repeated coding",
         STR(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), "te_repeated"},
        {"chunked in HTTP/1.0", STR("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "te_in_http10"},
        {"bare LF", STR("HTTP/1.1 200 OK\nX: y\r\n\r\n"), "bare_lf"},
        {"bare CR", STR(OK "X: a\rb\r\n\r\n"), "bare_cr"},
        {"folded line", STR(OK "X: a\r\n b\r\n\r\n"), "obs_fold"},
        {"space before the colon", STR(OK "X : a\r\n\r\n"), "space_before_colon"},
        {"NUL in a value", STR(OK "X: \0\r\n\r\n"), "control_in_value"},
        {"control byte in the reason", STR("HTTP/1.1 200 O\001K\r\n\r\n"), "control_in_reason"},
        {"empty line in front", STR("\r\n" OK "\r\n"), "bad_version"},
        {"body bytes instead of a head", STR("hello world\r\n\r\n"), "bad_version"},
        {"HTTP/2", STR("HTTP/2.0 200 OK\r\n\r\n"), "version_not_supported"},
        {"two-digit status", STR("HTTP/1.1 20 OK\r\n\r\n"), "bad_status"},
        {"four-digit status", STR("HTTP/1.1 2000 OK\r\n\r\n"), "control_in_reason"},
        {"status below 100", STR("HTTP/1.1 099 No\r\n\r\n"), "bad_status"},
        {"two spaces before the status", STR("HTTP/1.1  200 OK\r\n\r\n"), "bad_status"},
        {"204 with a body", STR("HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n"),
         "body_not_allowed"},
        {"204 chunked", STR("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "body_not_allowed"},
        {"100 with a body", STR("HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\n"), "body_not_allowed"},
        {"101 that switches to nothing", STR("HTTP/1.1 101 S\r\n\r\n"), "switch_without_upgrade"},
        {"101 without Connection", STR("HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"),
         "switch_without_upgrade"},
        {"Connection takes the length away", STR(OK "Connection: content-length\r\n\r\n"),
         "connection_nominates_framing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fed fed;
        feed_every_way(rows[i].name, rows[i].input, &http1_limits_default, HTTP1_GET, &fed);
        if (fed.result != -502 || strcmp(fed.head.refusal, rows[i].reason) != 0) {
            fail_msg("%s: got %d (%s)", rows[i].name, fed.result,
                     fed.head.refusal ? fed.head.refusal : "-");
        }
        free(fed.bytes);
    }
}

static void test_the_kind_of_body_follows_status_and_method(void **state)
{
    static const struct {
        const char *input;
        int method, body;
        bool keep_alive, has_content_length;
    } rows[] = {
        {OK "Content-Length: 5\r\n\r\n", HTTP1_GET, HTTP1_BODY_LENGTH, true, true},
        {OK "Content-Length: 0\r\n\r\n", HTTP1_GET, HTTP1_BODY_LENGTH, true, true},
        {OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_GET, HTTP1_BODY_CHUNKED, true, false},
        {OK "\r\n", HTTP1_GET, HTTP1_BODY_UNTIL_CLOSE, false, false},
        {OK "Connection: keep-alive\r\n\r\n", HTTP1_GET, HTTP1_BODY_UNTIL_CLOSE, false, false},
        {OK "Content-Length: 5\r\nConnection: close\r\n\r\n", HTTP1_GET, HTTP1_BODY_LENGTH, false,
         true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP1_GET, HTTP1_BODY_LENGTH, false, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", HTTP1_GET,
         HTTP1_BODY_LENGTH, true, true},
        {OK "Content-Length: 5\r\n\r\n", HTTP1_HEAD, HTTP1_BODY_NONE, true, true},
        {OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_HEAD, HTTP1_BODY_NONE, true, false},
        {OK "\r\n", HTTP1_HEAD, HTTP1_BODY_NONE, true, false},
        {"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, true, true},
        {"HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, true, false},
        {"HTTP/1.1 204\r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, true, false},
        {"HTTP/1.1 100 \r\n\r\n", HTTP1_GET, HTTP1_BODY_NONE, true, false},
        {"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP1_GET,
         HTTP1_BODY_NONE, true, false},
        {OK "\r\n", HTTP1_CONNECT, HTTP1_BODY_NONE, true, false},
        {"HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\n", HTTP1_GET, HTTP1_BODY_LENGTH, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fed fed;
        feed_every_way(rows[i].input, str_of(rows[i].input), &http1_limits_default, rows[i].method,
                       &fed);
        if (fed.result != (int)strlen(rows[i].input) || fed.head.body != rows[i].body ||
            fed.head.keep_alive != rows[i].keep_alive ||
            fed.head.has_content_length != rows[i].has_content_length) {
            fail_msg("%s: got %d (%s), body %d", rows[i].input, fed.result,
                     fed.head.refusal ? fed.head.refusal : "-", fed.head.body);
        }
        free(fed.bytes);
    }
}

static void test_a_response_is_rebuilt_without_what_belongs_to_the_connection(void **state)
{
    static const char input[] =
        "HTTP/1.1 200 Very  OK\r\nDate: now\r\nServer: x\r\nConnection: keep-alive, x-me\r\n"
        "X-Me: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        "Proxy-Authenticate: z\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    static const char expected[] =
        "HTTP/1.1 200 Very  OK\r\nDate: now\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n";
    static struct http1_head head;
    http1_head_init(&head);
    assert_true(http1_parse_response(&head, str_of(input), &http1_limits_default, HTTP1_GET) > 0);
    char text[512];
    struct writer writer;
    writer_init(&writer, text, sizeof(text));
    http1_write_response_start(&writer, head.status, head.reason);
    http1_write_fields(&writer, &head, HTTP1_SET(HTTP1_SERVER));
    http1_write_framing(&writer, head.body, 0);
    writer_put_char(&writer, '\0');
    assert_string_equal(text, expected);
}

static void test_interim_heads_come_one_by_one(void **state)
{
    struct str bytes = STR("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
                           "Content-Length: 0\r\n\r\n");
    static struct http1_head head;
    http1_head_init(&head);
    int n = http1_parse_response(&head, bytes, &http1_limits_default, HTTP1_GET);
    assert_int_equal(n, 31);
    assert_int_equal(head.status, 103);
    bytes.at += n;
    bytes.len -= (size_t)n;
    http1_head_init(&head);
    assert_int_equal(http1_parse_response(&head, bytes, &http1_limits_default, HTTP1_GET),
                     (int)bytes.len);
    assert_int_equal(head.status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses_are_held_to_the_same_rules),
        cmocka_unit_test(test_the_kind_of_body_follows_status_and_method),
        cmocka_unit_test(test_a_response_is_rebuilt_without_what_belongs_to_the_connection),
        cmocka_unit_test(test_interim_heads_come_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
