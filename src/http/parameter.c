// SPDX-License-Identifier: Apache-2.0
#include "codec/uri.h"
#include "http/server.h"

int http_request_parameter(const struct http_request *request, struct str name, char *room,
                           size_t room_size, struct str *ret_value)
{
    struct str rest = request->head->query;
    while (rest.len > 0) {
        const char *end = memchr(rest.at, '&', rest.len);
        struct str pair = {rest.at, end != NULL ? (size_t)(end - rest.at) : rest.len};
        rest.at += pair.len + (end != NULL);
        rest.len -= pair.len + (end != NULL);
        if (pair.len < name.len || memcmp(pair.at, name.at, name.len) != 0 ||
            (pair.len > name.len && pair.at[name.len] != '=')) {
            continue;
        }
        size_t skip = MIN(name.len + 1, pair.len);
        struct writer writer;
        writer_init(&writer, room, room_size);
        // '+' is a space in a query; it is turned before decoding, so that %2B stays a plus.
        char plain[1024];
        size_t len = pair.len - skip;
        if (len > sizeof(plain)) {
            return -ENOSPC;
        }
        for (size_t i = 0; i < len; i++) {
            plain[i] = pair.at[skip + i] == '+' ? ' ' : pair.at[skip + i];
        }
        int status = uri_decode(&writer, (struct str){plain, len});
        if (status < 0 || writer.overflowed) {
            return status < 0 ? status : -ENOSPC;
        }
        *ret_value = writer_str(&writer);
        return 0;
    }
    *ret_value = STR("");
    return 0;
}
