// SPDX-License-Identifier: Apache-2.0
// What the HTTP/1 codec costs: parse a head and write it anew, as the proxy does, in nanoseconds
// each; beside it the cost of copying the same bytes, as the floor nothing can be under.
//
//     codec_bench [ROUNDS]      (with ROUNDS small and under callgrind: instructions)
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "codec/http1.h"

static const struct {
    const char *name;
    struct str text;
    bool is_response;
} messages[] = {
    {"request, curl",
     STR("GET / HTTP/1.1\r\nHost: shop.john.weir.internal\r\n"
         "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
     false},
    {"request, browser",
     STR("GET /catalogue/items/4711?page=2&sort=price HTTP/1.1\r\nHost: shop.example.net\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
         "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
         "Referer: http://shop.example.net/catalogue/\r\nConnection: keep-alive\r\n"
         "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
         "Upgrade-Insecure-Requests: 1\r\nCache-Control: max-age=0\r\n\r\n"),
     false},
    {"response, nginx",
     STR("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 20:00:00 GMT\r\n"
         "Content-Type: application/octet-stream\r\nContent-Length: 128\r\n"
         "Last-Modified: Mon, 23 Nov 2026 19:00:00 GMT\r\nConnection: keep-alive\r\n"
         "ETag: \"65a1b2c3-80\"\r\nAccept-Ranges: bytes\r\n\r\n"),
     true},
};

static char out[4096];

static void pass_on(struct http1_head *head, struct str text, bool is_response)
{
    struct writer writer;
    writer_init(&writer, out, sizeof(out));
    http1_head_init(head);
    int n = is_response ? http1_parse_response(head, text, &http1_limits_default, HTTP1_GET)
                        : http1_parse_request(head, text, &http1_limits_default);
    if (n != (int)text.len) {
        abort();
    }
    if (is_response) {
        http1_write_response_start(&writer, head->status, head->reason);
    } else {
        http1_write_request_start(&writer, head, STR(""));
    }
    http1_write_fields(&writer, head, HTTP1_SET(HTTP1_X_FORWARDED_FOR));
    if (!is_response) {
        http1_write_field(&writer, STR("X-Forwarded-For"), STR("192.0.2.17"));
        http1_write_field(&writer, STR("X-Forwarded-Proto"), STR("http"));
        http1_write_field(&writer, STR("X-Forwarded-Port"), STR("80"));
    }
    http1_write_framing(&writer, head->body, head->content_length);
    http1_write_end(&writer);
    if (writer.overflowed) {
        abort();
    }
}

int main(int count, char **arguments)
{
    static struct http1_head head;
    unsigned long rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 2000000;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct str text = messages[i].text;
        uint64_t start = monotonic_ns();
        for (unsigned long n = 0; n < rounds; n++) {
            memcpy(out, text.at, text.len);
            __asm__ volatile("" : : "r"(out) : "memory");
        }
        uint64_t copied = monotonic_ns();
        for (unsigned long n = 0; n < rounds; n++) {
            pass_on(&head, text, messages[i].is_response);
            __asm__ volatile("" : : "r"(out) : "memory");
        }
        uint64_t passed = monotonic_ns();
        printf("%-18s %4zu bytes  parse and rebuild %6.1f ns  copy alone %5.1f ns\n",
               messages[i].name, text.len, (double)(passed - copied) / (double)rounds,
               (double)(copied - start) / (double)rounds);
    }
    return 0;
}
