// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chunked body: payload, trailers and verdict are the same however they are cut (the
// first byte says into what), and the trailers are fields that a parser takes.
#include "fuzz_chunks.h"

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
    CHECK(step != HTTP1_CHUNKS_END || are_fields((struct str){a.trailers, a.trailers_len}));
    return 0;
}
