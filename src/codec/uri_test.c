// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/uri.h"

static void test_urls_of_targets_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *path, *query;
        uint16_t port;
        bool https, given;
    } rows[] = {
        {"http://api.example.net", "api.example.net", "", NULL, 80, false, false},
        {"HTTPS://a/", "a", "/", NULL, 443, true, false},
        {"http://10.1.0.5:8080/x/y?a=b?c", "10.1.0.5", "/x/y", "a=b?c", 8080, false, true},
        {"http://[2001:db8::1]:81", "2001:db8::1", "", NULL, 81, false, true},
        {"http://a:/", "a", "/", NULL, 80, false, false},
        {"http://a?", "a", "", "", 80, false, false},
        {"http://a-b_c.~%41/%c3%a9", "a-b_c.~%41", "/%c3%a9", NULL, 80, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri uri;
        assert_int_equal(uri_parse(str_of(rows[i].text), &uri, NULL), 0);
        assert_true(str_equal(uri.host, str_of(rows[i].host)));
        assert_true(str_equal(uri.path, str_of(rows[i].path)));
        assert_int_equal(uri.query.at != NULL, rows[i].query != NULL);
        assert_true(str_equal(uri.query, str_of(rows[i].query)));
        assert_int_equal(uri.port, rows[i].port);
        assert_int_equal(uri.https, rows[i].https);
        assert_int_equal(uri.port_given, rows[i].given);
    }
}

static void test_what_is_no_url_is_refused_and_leaves_the_output_alone(void **state)
{
    static const char *rows[] = {
        "",
        "http",
        "http:/a",
        "http://",
        "http:///a",
        "ftp://a/",
        "a/b",
        "//a/b",
        "http://a b/",
        "http://a/b c",
        "http://u@a",
        "http://u:p@a",
        "http://a:0/",
        "http://a:65536",
        "http://a:8 0",
        "http://[a]",
        "http://[::1",
        "http://[::1]x/",
        "http://a/#f",
        "http://a/%",
        "http://a/%4",
        "http://a/%zz",
        "http://a/\xc3\xa9",
        "http://a%2/",
        "http://a,b/",
        "http://a\\b/",
        "http://a/\"",
        "http://a/{x}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct uri uri = {.port = 7};
        struct error error = {0};
        if (uri_parse(str_of(rows[i]), &uri, &error) != -EINVAL) {
            fail_msg("accepted: %s", rows[i]);
        }
        assert_int_equal(uri.port, 7);
        assert_string_equal(error.reason, "bad_url");
    }
}

static void test_health_check_paths(void **state)
{
    assert_true(uri_path_is_valid(STR("/")));
    assert_true(uri_path_is_valid(STR("/health/%7Ex;y=1?a=b&c=/?")));
    assert_false(uri_path_is_valid(STR("")));
    assert_false(uri_path_is_valid(STR("health")));
    assert_false(uri_path_is_valid(STR("?a")));
    assert_false(uri_path_is_valid(STR("/a b")));
    assert_false(uri_path_is_valid(STR("/a\r\nX: y")));
    assert_false(uri_path_is_valid(STR("/a\0b")));
    assert_false(uri_path_is_valid(STR("/a#b")));
}

static void test_escapes_are_decoded_or_refused(void **state)
{
    char text[16];
    struct writer writer;
    writer_init(&writer, text, sizeof(text));
    assert_int_equal(uri_decode(&writer, STR("a%20b%C3%a9+")), 0);
    assert_true(str_equal(writer_str(&writer), STR("a b\xc3\xa9+")));
    static const char *bad[] = {"%", "%2", "%zz", "a%0", "%00"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        writer_init(&writer, text, sizeof(text));
        assert_int_equal(uri_decode(&writer, str_of(bad[i])), -EINVAL);
    }
    writer_init(&writer, text, 2);
    assert_int_equal(uri_decode(&writer, STR("abc")), -ENOSPC);
}

static void test_paths_are_brought_into_one_form(void **state)
{
    static const struct {
        const char *path, *normal; // NULL: refused
    } rows[] = {
        {"", "/"},
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/./b/.", "/a/b/"},
        {"/a/../b", "/b"},
        {"/a/..", "/"},
        {"/a/b/%2e%2E/c", "/a/c"},
        {"/%7Euser/%c3%a9", "/~user/%C3%A9"},
        {"/a%2fb/..", "/"},
        {"//a//", "//a//"},
        {"/a//../b", "/a/b"},
        {"/...", "/..."},
        {"/..", NULL},
        {"/a/../../b", NULL},
        {"/%2e%2e/b", NULL},
        {"/%", NULL},
        {"/%4", NULL},
        {"a", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[64];
        struct writer writer;
        writer_init(&writer, text, sizeof(text));
        int r = uri_normalize_path(&writer, str_of(rows[i].path));
        if (rows[i].normal == NULL) {
            assert_int_equal(r, -EINVAL);
            continue;
        }
        writer_put_char(&writer, '\0');
        assert_int_equal(r, 0);
        assert_string_equal(text, rows[i].normal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_of_targets_are_taken_apart),
        cmocka_unit_test(test_what_is_no_url_is_refused_and_leaves_the_output_alone),
        cmocka_unit_test(test_health_check_paths),
        cmocka_unit_test(test_escapes_are_decoded_or_refused),
        cmocka_unit_test(test_paths_are_brought_into_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
