// SPDX-License-Identifier: Apache-2.0
// For http1_chunks_fuzz.c.
#pragma once

#include "fuzz_http1.h"

// Decodes the text in parts of that size; what is left of it, and a hash of the payload.
static inline enum http1_chunks_step decode(struct http1_chunks *chunks, struct str text,
                                            size_t part, char trailers[static 512],
                                            uint64_t *ret_hash, size_t *ret_left)
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

static inline bool are_fields(struct str trailers)
{
    static struct http1_head parsed;
    char head[1024];
    struct writer writer;
    writer_init(&writer, head, sizeof(head));
    WRITER_PUT(&writer, "HTTP/1.1 200 \r\n");
    writer_put(&writer, trailers);
    http1_write_end(&writer);
    http1_head_init(&parsed);
    return http1_parse_response(&parsed, writer_str(&writer), &http1_limits_default, HTTP1_GET) ==
           (int)writer_len(&writer);
}
