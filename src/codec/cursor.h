// SPDX-License-Identifier: Apache-2.0
// Bounded cursors over bytes with a sticky error: put or take as much as you like, then look once
// at the end whether all of it fitted. After the first miss nothing more is written or read, so a
// half-written number or field can never be followed by a whole one.
//
// A cursor owns nothing. Not safe across threads.
#pragma once

#include "base/str.h"

struct writer {
    char *start, *at, *end; // written is [start, at), room is [at, end)
    bool overflowed;
};

static inline void writer_init(struct writer *writer, void *bytes, size_t size)
{
    writer->start = writer->at = bytes;
    writer->end = writer->start + size;
    writer->overflowed = false;
}
static inline size_t writer_len(const struct writer *writer)
{
    return (size_t)(writer->at - writer->start);
}
static inline struct str writer_str(const struct writer *writer)
{
    return (struct str){writer->start, writer_len(writer)};
}
// Room for len bytes; false (and overflowed) when there is none. What was reserved is written by
// moving `at`.
static inline bool writer_reserve(struct writer *writer, size_t len)
{
    if (__builtin_expect((size_t)(writer->end - writer->at) < len || writer->overflowed, 0)) {
        writer->overflowed = true;
        return false;
    }
    return true;
}
static inline void writer_put(struct writer *writer, struct str text)
{
    if (writer_reserve(writer, text.len) && text.len > 0) {
        memcpy(writer->at, text.at, text.len);
        writer->at += text.len;
    }
}
static inline void writer_put_char(struct writer *writer, char c)
{
    if (writer_reserve(writer, 1)) {
        *writer->at++ = c;
    }
}
#define WRITER_PUT(writer, literal) writer_put((writer), STR(literal))
// Decimal; lower-case hex without leading zeros.
void writer_put_u64(struct writer *writer, uint64_t value);
void writer_put_hex(struct writer *writer, uint64_t value);
void writer_printf(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct reader {
    const uint8_t *at, *end;
    bool ended_early; // something was asked for past the end; what it returned is 0 or empty
};

static inline void reader_init(struct reader *reader, struct str bytes)
{
    reader->at = (const uint8_t *)bytes.at;
    reader->end = reader->at + bytes.len;
    reader->ended_early = false;
}
static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}
struct str reader_take(struct reader *reader, size_t len);
// Network byte order.
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
