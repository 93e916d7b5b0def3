// SPDX-License-Identifier: Apache-2.0
// Any bytes as a DNS question: the answer fits, and is an answer to that question.
#include <assert.h>

#include "dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct zone *zone;
    if (zone == NULL) {
        static struct addr addresses[2];
        addr_parse_ip(STR("10.90.0.16"), &addresses[0]);
        addr_parse_ip(STR("fd00::16"), &addresses[1]);
        struct zone_name name = {STR("shop.john"), addresses, 2};
        struct zone_source source = {STR("weir.internal"), 1, addresses, 2, &name, 1};
        assert(zone_build(&source, &zone, NULL) == 0);
    }
    struct str question = {(const char *)bytes, len};
    uint8_t answer[DNS_STREAM_MAX];
    size_t answer_len = dns_answer(zone, question, (struct dns_transport){.stream = len % 2 == 0},
                                   answer, len % 2 == 0 ? DNS_STREAM_MAX : DNS_UDP_EDNS_MAX);
    assert(answer_len == 0 || (answer_len >= 12 && answer[0] == bytes[0] && answer[1] == bytes[1] &&
                               (answer[2] & 0x80) != 0));
    return 0;
}
