// SPDX-License-Identifier: Apache-2.0
// The command line's own rules; whole commands against a server are in tests/cli.
#include "base/test.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/call.h"
#include "cli/output.h"
#include "cli/shared.h"

static int parse(struct call *call, int count, char **words)
{
    bool done;
    return call_parse(call, count, words, &done);
}
#define PARSE(call, ...) \
    parse(call, ARRAY_LEN(((char *[]){"weir", __VA_ARGS__})), (char *[]){"weir", __VA_ARGS__, NULL})

static void options_stand_anywhere_and_in_every_form(void **state)
{
    struct call call;
    assert_int_equal(PARSE(&call, "create", "--project=john", "lb", "-t", "10.0.0.1", "shop",
                           "--target", "10.0.0.2:8080", "-ojson"),
                     EXIT_OK);
    assert_ptr_equal(call.command->run, run_create_lb);
    assert_string_equal(call.argument, "shop");
    assert_string_equal(call_project(&call), "john");
    assert_int_equal(call.values[OPTION_TARGET].count, 2);
    assert_true(call.json);
    call_free(&call);
}

static void nouns_have_other_names(void **state)
{
    assert_ptr_equal(command_find("get", "load-balancers"), command_find("get", "lbs"));
    assert_ptr_equal(command_find("get", "lb"), command_find("get", "lbs"));
    assert_ptr_equal(command_find("describe", "projects"), command_find("describe", "project"));
    assert_null(command_find("get", "s"));
    assert_null(command_find("get", ""));
    assert_null(command_find("get", NULL));
}

static void wrong_usage_is_refused_before_anything_is_sent(void **state)
{
    struct call call;
    char *wrong[][6] = {
        {"weir", "create"},
        {"weir", "make", "lb"},
        {"weir", "create", "lb"},
        {"weir", "create", "lb", "", NULL},
        {"weir", "create", "lb", "a", "b"},
        {"weir", "get", "projects", "--port", "80"},
        {"weir", "create", "lb", "a", "--port=0"},
        {"weir", "create", "lb", "a", "--port=65536"},
        {"weir", "create", "lb", "a", "--port=8o"},
        {"weir", "create", "lb", "a", "--port"},
        {"weir", "create", "lb", "a", "--protocol=udp"},
        {"weir", "create", "lb", "a", "--protocol=http|tcp"},
        {"weir", "create", "lb", "a", "--wait=yes"},
        {"weir", "create", "lb", "a", "--nothing"},
        {"weir", "get", "projects", "-x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        int count = 0;
        while (count < 6 && wrong[i][count] != NULL) {
            count++;
        }
        bool done;
        assert_int_equal(call_parse(&call, count, wrong[i], &done), EXIT_USAGE);
        call_free(&call);
    }
}

static void a_target_is_an_address_a_host_or_a_url(void **state)
{
    static const struct {
        const char *text, *address;
        unsigned port;
        int weight; // -1: none
    } rows[] = {
        {"10.0.0.1", "10.0.0.1", 0, -1},
        {"10.0.0.1:8080", "10.0.0.1", 8080, -1},
        {"10.0.0.1:8080=3", "10.0.0.1", 8080, 3},
        {"10.0.0.1=0", "10.0.0.1", 0, 0},
        {"2001:db8::1", "2001:db8::1", 0, -1},
        {"[2001:db8::1]:80=1000", "2001:db8::1", 80, 1000},
        {"api.example.net:81", "api.example.net", 81, -1},
        {"http://api.example.net/", "api.example.net", 80, -1},
        {"http://api.example.net:8080/path=2", "api.example.net", 8080, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[128], address[128], *place;
        int weight;
        unsigned port;
        strcpy(text, rows[i].text);
        assert_int_equal(target_split(text, &place, &weight), 0);
        assert_int_equal(target_place(place, address, sizeof(address), &port), 0);
        assert_string_equal(address, rows[i].address);
        assert_int_equal(port, rows[i].port);
        assert_int_equal(weight, rows[i].weight);
    }
    static const char *const wrong[] = {"",        "=1",      ":80",       "a:0", "a:65536",
                                        "a:x",     "a=1001",  "a=-1",      "a=",  "[::1",
                                        "[::1]80", "http://", "http:///x", "a:"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[128], address[128], *place;
        int weight;
        unsigned port;
        strcpy(text, wrong[i]);
        assert_true(target_split(text, &place, &weight) < 0 ||
                    target_place(place, address, sizeof(address), &port) < 0);
    }
}

static void text_from_the_network_cannot_drive_a_terminal(void **state)
{
    static const char *const rows[][2] = {
        {"plain", "plain"},
        {"\033[31mred", "\\x1b[31mred"},
        {"a\r\nb\tc", "a\\x0d\\x0ab\\x09c"},
        {"\xc3\xbc\xe2\x82\xac", "\xc3\xbc\xe2\x82\xac"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},
        {"\x7f", "\\x7f"},
        {"\xff\xc3", "\\xff\\xc3"},
        {"\xe2\x80\xaex", "\\xe2\\x80\\xaex"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *clean = text_clean(rows[i][0]);
        assert_string_equal(clean, rows[i][1]);
        free(clean);
    }
}

static void a_name_is_one_segment_of_a_path(void **state)
{
    char *path =
        client_path("/v1/projects/%s/load-balancers/%u", "john's/..?\xc3\xbc", (uint64_t)7);
    assert_string_equal(path, "/v1/projects/john%27s%2F..%3F%C3%BC/load-balancers/7");
    free(path);
}

static void ages_read_well(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {{-5, "0 s"}, {119, "119 s"}, {120, "2 min"}, {7200, "2 h"}, {200000, "2 days"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[24];
        format_age(rows[i].seconds, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
    }
}

static void every_row_of_the_tables_is_complete(void **state)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        assert_non_null(option_rows[id].name);
        assert_non_null(option_rows[id].text);
    }
    for (size_t i = 0; i < command_count; i++) {
        assert_non_null(commands[i].run);
        assert_non_null(commands[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere_and_in_every_form),
        cmocka_unit_test(nouns_have_other_names),
        cmocka_unit_test(wrong_usage_is_refused_before_anything_is_sent),
        cmocka_unit_test(a_target_is_an_address_a_host_or_a_url),
        cmocka_unit_test(text_from_the_network_cannot_drive_a_terminal),
        cmocka_unit_test(a_name_is_one_segment_of_a_path),
        cmocka_unit_test(ages_read_well),
        cmocka_unit_test(every_row_of_the_tables_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
