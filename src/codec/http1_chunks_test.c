// SPDX-License-Identifier: Apache-2.0
// Every input is fed whole, cut in two at every place, and byte by byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/http1.h"

struct decoded {
    enum http1_chunks_step step;
    struct http1_chunks chunks;
    char payload[4096];
    size_t payload_len;
    char trailers[64];
    size_t left; // bytes behind the body
};

static void decode(struct decoded *decoded, struct str text, size_t first, size_t part)
{
    decoded->step = HTTP1_CHUNKS_MORE;
    decoded->payload_len = 0;
    http1_chunks_init(&decoded->chunks);
    while (text.len > 0 && decoded->step == HTTP1_CHUNKS_MORE) {
        struct str input = {text.at, MIN(first, text.len)}, payload;
        first = part;
        for (;;) {
            decoded->step = http1_chunks_next(&decoded->chunks, &input, &payload);
            if (decoded->step == HTTP1_CHUNKS_TRAILERS) {
                http1_chunks_take_trailers(&decoded->chunks, decoded->trailers,
                                           sizeof(decoded->trailers));
            } else if (decoded->step == HTTP1_CHUNKS_PAYLOAD) {
                assert_true(payload.len > 0);
                assert_true(decoded->payload_len + payload.len <= sizeof(decoded->payload));
                memcpy(decoded->payload + decoded->payload_len, payload.at, payload.len);
                decoded->payload_len += payload.len;
            } else {
                break;
            }
        }
        text.len -= (size_t)(input.at - text.at);
        text.at = input.at;
    }
    decoded->left = text.len;
}

static void decode_every_way(struct decoded *whole, const char *name, struct str text)
{
    struct decoded part;
    decode(whole, text, text.len, text.len);
    for (size_t cut = 0; cut <= text.len; cut++) {
        // cut 0: byte by byte
        decode(&part, text, cut > 0 ? cut : 1, cut > 0 ? text.len : 1);
        if (part.step != whole->step || part.payload_len != whole->payload_len ||
            memcmp(part.payload, whole->payload, whole->payload_len) != 0 ||
            part.chunks.trailers_len != whole->chunks.trailers_len) {
            fail_msg("%s: cut at %zu gives %d instead of %d", name, cut, part.step, whole->step);
        }
        if (whole->step == HTTP1_CHUNKS_REFUSED) {
            assert_string_equal(part.chunks.refusal, whole->chunks.refusal);
        } else {
            assert_int_equal(part.left, whole->left);
        }
    }
}

static void test_sound_bodies_give_their_payload_and_stop_at_their_end(void **state)
{
    static const struct {
        const char *name;
        struct str input;
        const char *payload;
        size_t left;
        const char *trailers;
    } rows[] = {
        {"empty", STR("0\r\n\r\n"), "", 0, ""},
        {"two chunks", STR("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "hello world", 0, ""},
        {"next request behind it", STR("1\r\nx\r\n0\r\n\r\nGET /"), "x", 5, ""},
        {"hex digits in both cases", STR("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
         "01234567890123456789", 0, ""},
        {"leading zeros", STR("0000000000000002\r\nxy\r\n000\r\n\r\n"), "xy", 0, ""},
        {"payload that looks like framing", STR("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), "0\r\n\r\n", 0, ""},
        {"extensions", STR("1;a\r\nx\r\n1 ; a = b ;c=\"d\\\" ;\xff\"\r\ny\r\n0;last=1\r\n\r\n"),
         "xy", 0, ""},
        {"extension that ends in a quoted value", STR("1;a=\"\" ;b\r\nx\r\n0\r\n\r\n"), "x", 0, ""},
        {"trailers", STR("0\r\nX-Sum:  1 \r\nX-Empty:\r\n\r\n"), "", 0,
         "X-Sum: 1\r\nX-Empty: \r\n"},
        {"trailers that frame, route or authenticate are dropped",
         STR("0\r\nContent-Length: 5\r\nHost: b\r\nX-Forwarded-For: 1\r\nX_Forwarded_For: 2\r\n"
             "Authorization: x\r\ntransfer-encoding: chunked\r\nA: b\r\n\r\n"),
         "", 0, "A: b\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct decoded whole;
        decode_every_way(&whole, rows[i].name, rows[i].input);
        if (whole.step != HTTP1_CHUNKS_END || whole.left != rows[i].left) {
            fail_msg("%s: step %d (%s), %zu left", rows[i].name, whole.step,
                     whole.chunks.refusal ? whole.chunks.refusal : "-", whole.left);
        }
        assert_int_equal(whole.payload_len, strlen(rows[i].payload));
        assert_memory_equal(whole.payload, rows[i].payload, whole.payload_len);
        assert_int_equal(whole.chunks.payload_bytes, whole.payload_len);
        assert_int_equal(whole.chunks.trailers_len, strlen(rows[i].trailers));
        assert_memory_equal(whole.trailers, rows[i].trailers, whole.chunks.trailers_len);
    }
}

static void test_bad_framing_is_refused(void **state)
{
    static const struct {
        const char *name;
        struct str input;
        const char *reason;
        int status;
    } rows[] = {
        {"no size", STR("\r\n"), "bad_chunk_size", 400},
        {"signed size", STR("+5\r\nhello\r\n"), "bad_chunk_size", 400},
        {"negative size", STR("-5\r\nhello\r\n"), "bad_chunk_size", 400},
        {"space before the size", STR(" 5\r\nhello\r\n"), "bad_chunk_size", 400},
        {"space behind the size", STR("5 \r\nhello\r\n"), "bad_chunk_extension", 400},
        {"0x", STR("0x5\r\nhello\r\n"), "bad_chunk_size", 400},
        {"underscore", STR("1_0\r\n"), "bad_chunk_size", 400},
        {"no hex digit", STR("g\r\n"), "bad_chunk_size", 400},
        {"17 digits", STR("00000000000000005\r\nhello\r\n"), "chunk_size_too_large", 400},
        {"size past 2^63", STR("8000000000000000\r\n"), "chunk_size_too_large", 400},
        {"size past 2^64", STR("10000000000000005\r\n"), "chunk_size_too_large", 400},
        {"bare LF behind the size", STR("5\nhello\r\n"), "bare_lf", 400},
        {"CR CR LF behind the size", STR("5\r\r\nhello\r\n"), "bare_cr", 400},
        {"payload longer than its size", STR("2\r\nabc\r\n"), "bad_chunk_end", 400},
        {"payload shorter than its size", STR("4\r\nabc\r\n0\r\n\r\n"), "bad_chunk_end", 400},
        {"bare LF behind the payload", STR("1\r\nx\n0\r\n\r\n"), "bad_chunk_end", 400},
        {"CR without LF behind the payload", STR("1\r\nx\rX"), "bad_chunk_end", 400},
        {"bare LF at the end", STR("0\r\n\n"), "bare_lf", 400},
        {"CR without LF at the end", STR("0\r\n\rX"), "bare_cr", 400},
        {"extension without a name", STR("1;\r\n"), "bad_chunk_extension", 400},
        {"extension without a value", STR("1;a=\r\n"), "bad_chunk_extension", 400},
        {"extension with a bare LF", STR("1;a\nb\r\n"), "bad_chunk_extension", 400},
        {"extension with a control byte", STR("1;a=\"\001\"\r\n"), "bad_chunk_extension", 400},
        {"CR inside a quoted value", STR("1;a=\"\r\n\"\r\n"), "bad_chunk_extension", 400},
        {"text behind a quoted value", STR("1;a=\"b\"c\r\n"), "bad_chunk_extension", 400},
        {"blank before CR", STR("1;a=b \r\n"), "bad_chunk_extension", 400},
        {"two names", STR("1;a b\r\n"), "bad_chunk_extension", 400},
        {"folded trailer", STR("0\r\nA: b\r\n c\r\n\r\n"), "obs_fold", 400},
        {"space before a trailer's colon", STR("0\r\nA : b\r\n\r\n"), "space_before_colon", 400},
        {"trailer without a name", STR("0\r\n: b\r\n\r\n"), "bad_name", 400},
        {"trailer without a colon", STR("0\r\nA\r\n\r\n"), "bad_name", 400},
        {"bare LF in a trailer", STR("0\r\nA: b\nc\r\n\r\n"), "bare_lf", 400},
        {"bare CR in a trailer", STR("0\r\nA: b\rc\r\n\r\n"), "bare_cr", 400},
        {"NUL in a trailer", STR("0\r\nA: \0\r\n\r\n"), "control_in_value", 400},
        {"trailers past their room",
         STR("0\r\nA: 345678901234567890123456789012345678901234567890123456789012\r\n\r\n"),
         "trailers_too_large", 431},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct decoded whole;
        decode_every_way(&whole, rows[i].name, rows[i].input);
        if (whole.step != HTTP1_CHUNKS_REFUSED ||
            strcmp(whole.chunks.refusal, rows[i].reason) != 0 ||
            whole.chunks.refused_status != rows[i].status) {
            fail_msg("%s: step %d (%s)", rows[i].name, whole.step,
                     whole.chunks.refusal ? whole.chunks.refusal : "-");
        }
        // It stays refused.
        struct str more = STR("0\r\n\r\n"), payload;
        assert_int_equal(http1_chunks_next(&whole.chunks, &more, &payload), HTTP1_CHUNKS_REFUSED);
    }
}

static void test_extensions_are_bounded_a_chunk_and_by_the_payload(void **state)
{
    char text[600];
    static struct decoded whole;
    memset(text, 'a', sizeof(text));
    memcpy(text, "1;", 2);
    decode(&whole, (struct str){text, sizeof(text)}, sizeof(text), sizeof(text));
    assert_int_equal(whole.step, HTTP1_CHUNKS_REFUSED);
    assert_string_equal(whole.chunks.refusal, "chunk_extension_too_long");

    struct http1_chunks chunks;
    http1_chunks_init(&chunks);
    static const char chunk[] = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n";
    enum http1_chunks_step step = HTTP1_CHUNKS_MORE;
    unsigned count = 0;
    for (; step == HTTP1_CHUNKS_MORE && count < 1000; count++) {
        struct str input = STR(chunk), payload;
        do {
            step = http1_chunks_next(&chunks, &input, &payload);
        } while (step == HTTP1_CHUNKS_PAYLOAD);
    }
    assert_int_equal(step, HTTP1_CHUNKS_REFUSED);
    assert_in_range(count, 250, 400);
}

static void test_trailers_are_checked_even_when_nobody_takes_them(void **state)
{
    struct http1_chunks chunks;
    struct str payload, good = STR("0\r\nA: b\r\n\r\n"), bad = STR("0\r\nA b\r\n\r\n");
    http1_chunks_init(&chunks);
    assert_int_equal(http1_chunks_next(&chunks, &good, &payload), HTTP1_CHUNKS_TRAILERS);
    assert_int_equal(http1_chunks_next(&chunks, &good, &payload), HTTP1_CHUNKS_END);
    assert_int_equal(chunks.trailers_len, 0);
    http1_chunks_init(&chunks);
    assert_int_equal(http1_chunks_next(&chunks, &bad, &payload), HTTP1_CHUNKS_TRAILERS);
    assert_int_equal(http1_chunks_next(&chunks, &bad, &payload), HTTP1_CHUNKS_REFUSED);

    // 128 of them at most, however short.
    struct str size = STR("0\r\n");
    http1_chunks_init(&chunks);
    enum http1_chunks_step step = http1_chunks_next(&chunks, &size, &payload);
    unsigned count = 0;
    for (; step != HTTP1_CHUNKS_REFUSED && count < 1000; count++) {
        struct str line = STR("A:\r\n");
        do {
            step = http1_chunks_next(&chunks, &line, &payload);
        } while (step == HTTP1_CHUNKS_TRAILERS);
    }
    assert_int_equal(count, HTTP1_FIELDS_MAX + 1);
    assert_int_equal(chunks.refused_status, 431);
}

static void test_written_chunks_are_read_back(void **state)
{
    char text[128];
    struct writer writer;
    writer_init(&writer, text, sizeof(text));
    http1_write_chunk_start(&writer, 26);
    WRITER_PUT(&writer, "abcdefghijklmnopqrstuvwxyz\r\n");
    http1_write_chunk_end(&writer, STR("A: b\r\n"));
    assert_true(str_equal(writer_str(&writer), STR("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n"
                                                   "A: b\r\n\r\n")));
    static struct decoded whole;
    decode_every_way(&whole, "written", writer_str(&writer));
    assert_int_equal(whole.step, HTTP1_CHUNKS_END);
    assert_int_equal(whole.payload_len, 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_bodies_give_their_payload_and_stop_at_their_end),
        cmocka_unit_test(test_bad_framing_is_refused),
        cmocka_unit_test(test_extensions_are_bounded_a_chunk_and_by_the_payload),
        cmocka_unit_test(test_trailers_are_checked_even_when_nobody_takes_them),
        cmocka_unit_test(test_written_chunks_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
