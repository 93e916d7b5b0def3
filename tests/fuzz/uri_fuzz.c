// SPDX-License-Identifier: Apache-2.0
// Any bytes as a URL and as a path: a normal form is stable, and decoding never grows.
#include <stdlib.h>

#include "codec/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct str text = {(const char *)bytes, len};
    char once[1024], twice[1024];
    struct writer a, b;
    struct uri uri;
    writer_init(&a, once, sizeof(once));
    if (uri_parse(text, &uri, NULL) == 0 && (uri.host.len == 0 || uri.port == 0)) {
        abort();
    }
    if (uri_decode(&a, text) == 0 && writer_len(&a) > len) {
        abort();
    }
    writer_init(&a, once, sizeof(once));
    writer_init(&b, twice, sizeof(twice));
    if (uri_normalize_path(&a, text) == 0 && (uri_normalize_path(&b, writer_str(&a)) != 0 ||
                                              !str_equal(writer_str(&a), writer_str(&b)))) {
        abort();
    }
    return 0;
}
