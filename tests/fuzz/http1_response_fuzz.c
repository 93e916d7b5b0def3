// SPDX-License-Identifier: Apache-2.0
// Any bytes as a response: as http1_request_fuzz.c; the second byte chooses the request's method.
#include "fuzz_http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct http1_head whole, parts, again;
    if (len < 2) {
        return 0;
    }
    int method = bytes[1] % (HTTP1_PATCH + 1);
    struct str text = {(const char *)bytes + 2, len - 2};
    http1_head_init(&whole);
    int n = http1_parse_response(&whole, text, &fuzz_limits, (enum http1_method)method);
    check_parts(&parts, &whole, text, bytes[0], n, method);
    struct writer writer;
    writer_init(&writer, (char[8192]){0}, 8192);
    if (n > 0 && whole.status != 101) {
        http1_write_response_start(&writer, whole.status, whole.reason);
        http1_write_fields(&writer, &whole, 0);
        http1_write_framing(&writer, whole.body, whole.content_length);
        http1_write_end(&writer);
        CHECK(!writer.overflowed);
        http1_head_init(&again);
        int m = http1_parse_response(&again, writer_str(&writer), &fuzz_roomy_limits,
                                     (enum http1_method)method);
        CHECK(m == (int)writer_len(&writer) && same_message(&whole, &again));
    }
    return 0;
}
