// SPDX-License-Identifier: Apache-2.0
#include "proxy/headers.h"

#include <stdio.h>

#include "base/err.h"
#include "base/test.h"

static struct http1_head head;
static char written[4096];

static void parse_request(const char *text)
{
    http1_head_init(&head);
    assert_int_equal(http1_parse_request(&head, str_of(text), &http1_limits_default), strlen(text));
}

static void parse_response(const char *text)
{
    http1_head_init(&head);
    assert_int_equal(http1_parse_response(&head, str_of(text), &http1_limits_default, HTTP1_GET),
                     strlen(text));
}

static const char *request_to_target(const char *text)
{
    struct writer writer;
    parse_request(text);
    writer_init(&writer, written, sizeof(written) - 1);
    headers_write_request(&writer, &head,
                          &(struct headers_request){
                              .host = STR("10.0.0.1:80"),
                              .client = STR("192.0.2.7"),
                              .forwarded = STR("X-Forwarded-Proto: http\r\n"
                                               "X-Forwarded-Port: 80\r\n"),
                              .request_id = STR("0123456789abcdef"),
                          });
    assert_false(writer.overflowed);
    *writer.at = '\0';
    return written;
}

static const char *response_to_client(const char *text, enum http1_body framing, bool closes)
{
    struct writer writer;
    parse_response(text);
    writer_init(&writer, written, sizeof(written) - 1);
    headers_write_response(&writer, &head,
                           &(struct headers_response){
                               .date = STR("Date: now\r\n"),
                               .request_id = STR("0123456789abcdef"),
                               .framing = framing,
                               .closes = closes,
                           });
    assert_false(writer.overflowed);
    *writer.at = '\0';
    return written;
}

static void test_request_gets_its_forwarding_fields(void **state)
{
    assert_string_equal(request_to_target("GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"),
                        "GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n"
                        "X-Forwarded-For: 192.0.2.7\r\n"
                        "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
                        "X-Request-Id: 0123456789abcdef\r\n\r\n");
}

static void test_forwarded_for_is_appended_to_and_claims_are_dropped(void **state)
{
    assert_string_equal(request_to_target("GET / HTTP/1.1\r\nHost: x\r\n"
                                          "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"
                                          "x-forwarded-for: 2.2.2.2\r\nX-Forwarded-Port: 1\r\n"
                                          "X-Request-Id: not mine!\r\n\r\n"),
                        "GET / HTTP/1.1\r\nHost: x\r\n"
                        "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n"
                        "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
                        "X-Request-Id: 0123456789abcdef\r\n\r\n");
}

static void test_hop_by_hop_fields_go_no_further(void **state)
{
    const char *out =
        request_to_target("GET / HTTP/1.1\r\nHost: x\r\nConnection: close, x-secret\r\n"
                          "X-Secret: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n"
                          "Proxy-Authorization: x\r\nProxy: http://evil\r\n\r\n");
    assert_null(strcasestr(out, "secret"));
    assert_null(strcasestr(out, "connection"));
    assert_null(strcasestr(out, "keep-alive"));
    assert_null(strcasestr(out, "te:"));
    assert_null(strcasestr(out, "proxy-auth"));
    assert_null(strcasestr(out, "evil"));
}

static void test_host_stands_in_for_http10(void **state)
{
    assert_non_null(strstr(request_to_target("GET / HTTP/1.0\r\n\r\n"), "Host: 10.0.0.1:80\r\n"));
}

static void test_upgrade_is_passed_on_but_never_to_http2(void **state)
{
    assert_non_null(strstr(request_to_target("GET / HTTP/1.1\r\nHost: x\r\n"
                                             "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
                           "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert_null(strcasestr(request_to_target("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, "
                                             "HTTP2-Settings\r\nUpgrade: foo, H2C\r\n"
                                             "HTTP2-Settings: AAA\r\n\r\n"),
                           "upgrade"));
}

static void test_response_gets_date_id_and_framing(void **state)
{
    assert_string_equal(response_to_client("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\n",
                                           HTTP1_BODY_LENGTH, false),
                        "HTTP/1.1 200 OK\r\nX: y\r\nDate: now\r\n"
                        "X-Request-Id: 0123456789abcdef\r\nContent-Length: 5\r\n\r\n");
    assert_string_equal(response_to_client("HTTP/1.0 404 Gone Fishing\r\nDate: then\r\n"
                                           "X-Request-Id: theirs\r\nConnection: keep-alive\r\n\r\n",
                                           HTTP1_BODY_CHUNKED, true),
                        "HTTP/1.1 404 Gone Fishing\r\nDate: then\r\n"
                        "X-Request-Id: 0123456789abcdef\r\nTransfer-Encoding: chunked\r\n"
                        "Connection: close\r\n\r\n");
}

static void test_length_of_a_body_that_is_not_there(void **state)
{
    const char *not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n";
    assert_non_null(strstr(response_to_client(not_modified, HTTP1_BODY_NONE, false),
                           "Content-Length: 1234\r\n"));
}

static void test_own_request_id_is_kept_when_it_is_one_plain_word(void **state)
{
    parse_request("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-DEF_1.2\r\n\r\n");
    assert_true(str_equal(headers_find_request_id(&head), STR("abc-DEF_1.2")));
    static const char *const bad[] = {
        "X-Request-Id: short\r\n",
        "X-Request-Id: has space in it\r\n",
        "X-Request-Id: semi;colon;s\r\n",
        "X-Request-Id: 12345678\r\nX-Request-Id: 12345678\r\n",
        "X-Request-Id: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", bad[i]);
        parse_request(text);
        assert_null(headers_find_request_id(&head).at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_gets_its_forwarding_fields),
        cmocka_unit_test(test_forwarded_for_is_appended_to_and_claims_are_dropped),
        cmocka_unit_test(test_hop_by_hop_fields_go_no_further),
        cmocka_unit_test(test_host_stands_in_for_http10),
        cmocka_unit_test(test_upgrade_is_passed_on_but_never_to_http2),
        cmocka_unit_test(test_response_gets_date_id_and_framing),
        cmocka_unit_test(test_length_of_a_body_that_is_not_there),
        cmocka_unit_test(test_own_request_id_is_kept_when_it_is_one_plain_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
