// SPDX-License-Identifier: Apache-2.0
#include "codec/cursor.h"

#include <stdarg.h>
#include <stdio.h>

void writer_put_u64(struct writer *writer, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    writer_put(writer, (struct str){digits + sizeof(digits) - n, n});
}

void writer_put_hex(struct writer *writer, uint64_t value)
{
    char digits[16];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value > 0);
    writer_put(writer, (struct str){digits + sizeof(digits) - n, n});
}

void writer_printf(struct writer *writer, const char *format, ...)
{
    if (writer->overflowed) {
        return;
    }
    size_t room = (size_t)(writer->end - writer->at);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(writer->at, room, format, arguments);
    va_end(arguments);
    // vsnprintf ends what it wrote with a NUL, which needs room though it does not count.
    if (n < 0 || (size_t)n >= room) {
        writer->overflowed = true;
        return;
    }
    writer->at += n;
}

struct str reader_take(struct reader *reader, size_t len)
{
    if (reader->ended_early || reader_left(reader) < len) {
        reader->ended_early = true;
        return (struct str){"", 0};
    }
    struct str taken = {(const char *)reader->at, len};
    reader->at += len;
    return taken;
}

static uint32_t take_number(struct reader *reader, size_t len)
{
    struct str bytes = reader_take(reader, len);
    uint32_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | (uint8_t)bytes.at[i];
    }
    return value;
}

uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)take_number(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)take_number(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
    return take_number(reader, 4);
}
