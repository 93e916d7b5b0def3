// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request: the verdict is the same when they come in two parts (the first byte says
// where), and what is accepted, written anew and parsed again says the same.
#include "fuzz_http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct http1_head whole, parts, again;
    if (len < 1) {
        return 0;
    }
    struct str text = {(const char *)bytes + 1, len - 1};
    http1_head_init(&whole);
    int n = http1_parse_request(&whole, text, &fuzz_limits);
    check_parts(&parts, &whole, text, bytes[0], n, -1);
    static char room[8192];
    struct writer writer;
    writer_init(&writer, room, sizeof(room));
    if (n > 0) {
        http1_write_request_start(&writer, &whole, STR("default"));
        http1_write_fields(&writer, &whole, 0);
        http1_write_framing(&writer, whole.body, whole.content_length);
        http1_write_end(&writer);
        CHECK(!writer.overflowed);
        http1_head_init(&again);
        int m = http1_parse_request(&again, writer_str(&writer), &fuzz_roomy_limits);
        CHECK(m == (int)writer_len(&writer) && same_message(&whole, &again));
    }
    return 0;
}
