// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP/1 parser share, private to src/codec: byte classes, and loops that
// look at 16 bytes at a time.
//
// Each scan_x(p, base, end) returns the first byte at or after p that ends an x, or end. The last
// up to 15 bytes are looked at by a load that ends at `end` and begins before p (base ≤ p says how
// far back memory is ours), so nothing outside [base, end) is ever read.
#pragma once

#include "codec/http1.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// 1: may stand in a token (RFC 9110 §5.6.2).
extern const uint8_t http1_token_bytes[256];

static inline bool is_token_byte(char c)
{
    return http1_token_bytes[(uint8_t)c] != 0;
}
static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// What ends a field value: a control byte but HTAB (RFC 9110 §5.5).
static inline bool ends_value(char c)
{
    return ((uint8_t)c < 0x20 && c != '\t') || c == 0x7f;
}
// What ends a request-target: SP, or what may never stand in one: control bytes, bytes beyond ASCII
// (RFC 3986 §2), and '#', since a fragment is not sent and two readers would cut it differently.
static inline bool ends_target(char c)
{
    return (uint8_t)c <= 0x20 || (uint8_t)c >= 0x7f || c == '#';
}
static inline bool ends_name(char c)
{
    return c == ':';
}

#ifdef __SSE2__
static inline unsigned value_ends(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}
static inline unsigned target_ends(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
    __m128i high = _mm_cmpeq_epi8(_mm_max_epu8(bytes, _mm_set1_epi8(0x7f)), bytes);
    __m128i hash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, high), hash));
}
static inline unsigned name_ends(__m128i bytes)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(':')));
}
#define SCAN_FUNCTION(what)                                                                        \
    static inline const char *scan_##what(const char *p, const char *base, const char *end)        \
    {                                                                                              \
        for (; end - p >= 16; p += 16) {                                                           \
            unsigned mask = what##_ends(_mm_loadu_si128((const __m128i *)(const void *)p));        \
            if (mask != 0) {                                                                       \
                return p + __builtin_ctz(mask);                                                    \
            }                                                                                      \
        }                                                                                          \
        if (end - base >= 16) {                                                                    \
            unsigned before = (unsigned)(16 - (end - p));                                          \
            unsigned mask =                                                                        \
                what##_ends(_mm_loadu_si128((const __m128i *)(const void *)(end - 16))) >> before; \
            return mask != 0 ? p + __builtin_ctz(mask) : end;                                      \
        }                                                                                          \
        while (p < end && !ends_##what(*p)) {                                                      \
            p++;                                                                                   \
        }                                                                                          \
        return p;                                                                                  \
    }
#else
#define SCAN_FUNCTION(what)                                                                 \
    static inline const char *scan_##what(const char *p, const char *base, const char *end) \
    {                                                                                       \
        (void)base;                                                                         \
        while (p < end && !ends_##what(*p)) {                                               \
            p++;                                                                            \
        }                                                                                   \
        return p;                                                                           \
    }
#endif
SCAN_FUNCTION(value)
SCAN_FUNCTION(target)
SCAN_FUNCTION(name)
#undef SCAN_FUNCTION

static inline uint64_t load8(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}
static inline uint32_t load4(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

// The table's view of a field name; *ret_lookalike when only '_' for '-' makes it differ.
uint8_t http1_field_lookup(struct str name, bool *ret_lookalike);
uint8_t http1_field_flags(uint8_t id);

// Sets the refusal and returns -status.
int http1_refuse(struct http1_head *head, int status, const char *reason);
// After the last line of a head: 0 or a refusal.
int http1_finish_request(struct http1_head *head, const struct http1_limits *limits);
int http1_finish_response(struct http1_head *head, const struct http1_limits *limits,
                          enum http1_method request_method);
