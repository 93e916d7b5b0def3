// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/json.h"

static void test_sound_json_is_read_and_printed_in_one_line(void **state)
{
    cleanup(json_decref_ptr) json_t *json = NULL;
    assert_int_equal(json_doc_parse(STR(" {\"b\": [1, -2, 2.5, true, null],\n\"a\":\"x\\u00e9\"} "),
                                    JSON_USER_BYTES_MAX, &json, NULL),
                     0);
    cleanup(free_ptr) char *text = json_doc_print(json);
    assert_string_equal(text, "{\"b\":[1,-2,2.5,true,null],\"a\":\"x\xc3\xa9\"}");
    cleanup(free_ptr) char *pretty = json_doc_pretty(json);
    assert_int_equal(pretty[strlen(pretty) - 1], '\n');
    assert_true(str_equal(json_doc_str(json, "a", STR("")), STR("x\xc3\xa9")));
    assert_true(str_equal(json_doc_str(json, "b", STR("no")), STR("no")));
    assert_int_equal(json_doc_int(json, "a", 7), 7);
    assert_true(json_doc_bool(json, "missing", true));
}

static void test_bad_json_is_refused_with_its_place(void **state)
{
    static const struct {
        struct str text;
        int code;
        const char *reason, *place;
    } rows[] = {
        {STR(""), -EINVAL, "json_invalid", "line 1, column 0"},
        {STR("{\"a\":1,\n  \"a\":2}"), -EINVAL, "json_invalid", "line 2, column"},
        {STR("{\"a\":1} x"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":1"), -EINVAL, "json_invalid", "line 1"},
        {STR("{'a':1}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":01}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":1,}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":99999999999999999999}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":1e999}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":NaN}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":\"\\u0000\"}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":\"\xff\"}"), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"a\":\"\0\"}"), -EINVAL, "json_invalid", "line 1"},
        {STR("\"text\""), -EINVAL, "json_invalid", "line 1"},
        {STR("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}"), -EFBIG,
         "json_too_large", "64 bytes"},
        {STR("{\"s\":\"[[\",\n \"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["), -E2BIG, "json_too_deep",
         "line 2, column 37"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *json = NULL;
        struct error error = {0};
        assert_int_equal(json_doc_parse(rows[i].text, 64, &json, &error), rows[i].code);
        assert_null(json);
        assert_string_equal(error.reason, rows[i].reason);
        if (strstr(error.text, rows[i].place) == NULL) {
            fail_msg("row %zu: %s", i, error.text);
        }
    }
}

static void test_the_deepest_allowed_is_read(void **state)
{
    cleanup(json_decref_ptr) json_t *json = NULL;
    char text[2 * JSON_DEPTH_MAX];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(json_doc_parse((struct str){text, sizeof(text)}, 1000, &json, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_json_is_read_and_printed_in_one_line),
        cmocka_unit_test(test_bad_json_is_refused_with_its_place),
        cmocka_unit_test(test_the_deepest_allowed_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
