// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/cursor.h"

static void test_a_writer_stops_for_good_at_the_first_miss(void **state)
{
    char room[8] = "........";
    struct writer writer;
    writer_init(&writer, room, 7);
    writer_put_u64(&writer, 0);
    writer_put_hex(&writer, 0xbeef);
    assert_true(str_equal(writer_str(&writer), STR("0beef")));
    WRITER_PUT(&writer, "xyz");
    assert_true(writer.overflowed);
    writer_put_char(&writer, 'a');
    writer_printf(&writer, "b");
    assert_int_equal(writer_len(&writer), 5);
    assert_int_equal(room[7], '.');
}

static void test_a_writer_prints_only_what_fits_whole(void **state)
{
    char room[8];
    struct writer writer;
    writer_init(&writer, room, sizeof(room));
    writer_printf(&writer, "%d-%s", 12, "abcd");
    assert_true(str_equal(writer_str(&writer), STR("12-abcd")));
    assert_false(writer.overflowed);
    writer_printf(&writer, "%d", 34);
    assert_true(writer.overflowed);
    writer_init(&writer, room, sizeof(room));
    writer_put_u64(&writer, UINT64_MAX);
    assert_true(writer.overflowed);
    assert_int_equal(writer_len(&writer), 0);
}

static void test_a_reader_gives_zeros_past_the_end(void **state)
{
    struct reader reader;
    reader_init(&reader, STR("\x01\x02\x03\x04\x05\x06\x07\x08"));
    assert_int_equal(reader_u8(&reader), 1);
    assert_int_equal(reader_u16(&reader), 0x0203);
    assert_int_equal(reader_u32(&reader), 0x04050607);
    assert_int_equal(reader_u16(&reader), 0);
    assert_true(reader.ended_early);
    assert_int_equal(reader_u8(&reader), 0);
    assert_int_equal(reader_take(&reader, 1).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_writer_stops_for_good_at_the_first_miss),
        cmocka_unit_test(test_a_writer_prints_only_what_fits_whole),
        cmocka_unit_test(test_a_reader_gives_zeros_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
