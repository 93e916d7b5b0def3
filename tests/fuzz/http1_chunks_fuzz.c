// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chunked body: payload, trailers and verdict are the same however they are cut (the
// first byte says into what), and the trailers are fields that a parser takes.
#include "fuzz_http1.h"

static enum http1_chunks_step decode(struct http1_chunks *chunks, struct str text, size_t part,
                                     char trailers[static 512], uint64_t *ret_hash,
                                     size_t *ret_left)
{
    enum http1_chunks_step step = HTTP1_CHUNKS_MORE;
    struct str payload;
    http1_chunks_init(chunks);
    for (*ret_hash = 0; text.len > 0 && step == HTTP1_CHUNKS_MORE;) {
        struct str input = {text.at, MIN(part, text.len)};
        while ((step = http1_chunks_next(chunks, &input, &payload)) == HTTP1_CHUNKS_PAYLOAD ||
               step == HTTP1_CHUNKS_TRAILERS) {
            if (step == HTTP1_CHUNKS_TRAILERS) {
                http1_chunks_take_trailers(chunks, trailers, 512);
                continue;
            }
            for (size_t i = 0; i < payload.len; i++) {
                *ret_hash = (*ret_hash ^ (uint8_t)payload.at[i]) * UINT64_C(1099511628211);
            }
        }
        text.len -= (size_t)(input.at - text.at);
        text.at = input.at;
    }
    *ret_left = text.len;
    return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct http1_chunks a, b;
    char trailers_a[512], trailers_b[512];
    uint64_t hash_a, hash_b;
    size_t left_a, left_b;
    if (len < 1) {
        return 0;
    }
    struct str text = {(const char *)bytes + 1, len - 1};
    enum http1_chunks_step step = decode(&a, text, SIZE_MAX, trailers_a, &hash_a, &left_a);
    CHECK(step == decode(&b, text, bytes[0] + 1u, trailers_b, &hash_b, &left_b));
    CHECK(hash_a == hash_b && a.payload_bytes == b.payload_bytes && left_a == left_b);
    CHECK(str_equal((struct str){a.trailers, a.trailers_len},
                    (struct str){b.trailers, b.trailers_len}));
    if (step == HTTP1_CHUNKS_END && a.trailers_len > 0) {
        char head[1024];
        struct writer writer;
        writer_init(&writer, head, sizeof(head));
        WRITER_PUT(&writer, "HTTP/1.1 200 \r\n");
        writer_put(&writer, (struct str){a.trailers, a.trailers_len});
        http1_write_end(&writer);
        static struct http1_head parsed;
        http1_head_init(&parsed);
        CHECK(http1_parse_response(&parsed, writer_str(&writer), &http1_limits_default,
                                   HTTP1_GET) == (int)writer_len(&writer));
    }
    return 0;
}
