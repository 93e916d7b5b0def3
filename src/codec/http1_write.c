// SPDX-License-Identifier: Apache-2.0
// Heads and chunk framing, written from the parsed message.
//
// Fields that came byte for byte as they would be written, and lie side by side, are copied as one:
// that is what most fields of most messages are, and it saves four copies out of five.
#include "codec/http1.h"
#include "codec/http1_scan.h"

void http1_write_request_start(struct writer *writer, const struct http1_head *head,
                               struct str host)
{
    if (head->host.len > 0) {
        host = head->host;
    }
    size_t len = head->method_text.len + head->path.len + head->query.len + host.len +
                 sizeof(" ? HTTP/1.1\r\nHost: \r\n");
    if (!writer_reserve(writer, len)) {
        return;
    }
    writer_put(writer, head->method_text);
    writer_put_char(writer, ' ');
    writer_put(writer, head->path);
    if (head->query.at != NULL) {
        writer_put_char(writer, '?');
        writer_put(writer, head->query);
    }
    WRITER_PUT(writer, " HTTP/1.1\r\nHost: ");
    writer_put(writer, host);
    WRITER_PUT(writer, "\r\n");
}

void http1_write_response_start(struct writer *writer, unsigned status, struct str reason)
{
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    writer_put(writer, (struct str){line, sizeof(line) - 1});
    writer_put(writer, reason);
    WRITER_PUT(writer, "\r\n");
}

void http1_write_field(struct writer *writer, struct str name, struct str value)
{
    if (!writer_reserve(writer, name.len + value.len + 4)) {
        return;
    }
    char *at = writer->at;
    memcpy(at, name.at, name.len);
    at += name.len;
    *at++ = ':';
    *at++ = ' ';
    if (value.len > 0) {
        memcpy(at, value.at, value.len);
        at += value.len;
    }
    *at++ = '\r';
    *at++ = '\n';
    writer->at = at;
}

void http1_write_fields(struct writer *writer, const struct http1_head *head, uint64_t skip)
{
    // An expectation that does not count (HTTP/1.0, no body) must not start to (RFC 9110 §10.1.1).
    if (!head->expects_continue) {
        skip |= HTTP1_SET(HTTP1_EXPECT);
    }
    struct str run = {0}; // of canonical neighbours, not written yet
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http1_field *field = &head->fields[i];
        if ((field->flags & HTTP1_DROPPED) != 0 || (skip & HTTP1_SET(field->id)) != 0) {
            continue;
        }
        bool canonical = (field->flags & HTTP1_CANONICAL) != 0;
        if (canonical && run.at + run.len == field->name.at) {
            run.len += field->name.len + field->value.len + 4;
            continue;
        }
        writer_put(writer, run);
        run = (struct str){0};
        if (canonical) {
            run = (struct str){field->name.at, field->name.len + field->value.len + 4};
        } else {
            http1_write_field(writer, field->name, field->value);
        }
    }
    writer_put(writer, run);
}

void http1_write_framing(struct writer *writer, enum http1_body body, uint64_t content_length)
{
    if (body == HTTP1_BODY_LENGTH) {
        WRITER_PUT(writer, "Content-Length: ");
        writer_put_u64(writer, content_length);
        WRITER_PUT(writer, "\r\n");
    } else if (body == HTTP1_BODY_CHUNKED) {
        WRITER_PUT(writer, "Transfer-Encoding: chunked\r\n");
    }
}

void http1_write_chunk_start(struct writer *writer, uint64_t len)
{
    writer_put_hex(writer, len);
    WRITER_PUT(writer, "\r\n");
}

void http1_write_chunk_end(struct writer *writer, struct str trailers)
{
    WRITER_PUT(writer, "0\r\n");
    writer_put(writer, trailers);
    WRITER_PUT(writer, "\r\n");
}

struct str http1_method_name(enum http1_method method)
{
    static const struct str names[] = {
        [HTTP1_OTHER] = STR("OTHER"),     [HTTP1_GET] = STR("GET"),
        [HTTP1_HEAD] = STR("HEAD"),       [HTTP1_POST] = STR("POST"),
        [HTTP1_PUT] = STR("PUT"),         [HTTP1_DELETE] = STR("DELETE"),
        [HTTP1_CONNECT] = STR("CONNECT"), [HTTP1_OPTIONS] = STR("OPTIONS"),
        [HTTP1_TRACE] = STR("TRACE"),     [HTTP1_PATCH] = STR("PATCH"),
    };
    return names[method];
}

bool http1_method_is_safe(enum http1_method method)
{
    return method == HTTP1_GET || method == HTTP1_HEAD || method == HTTP1_OPTIONS ||
           method == HTTP1_TRACE;
}

bool http1_method_is_idempotent(enum http1_method method)
{
    return http1_method_is_safe(method) || method == HTTP1_PUT || method == HTTP1_DELETE;
}

// RFC 9110 §15, RFC 6585, RFC 8297.
struct str http1_status_reason(unsigned status)
{
    static const struct {
        uint16_t status;
        struct str reason;
    } reasons[] = {
        {100, STR("Continue")},
        {101, STR("Switching Protocols")},
        {103, STR("Early Hints")},
        {200, STR("OK")},
        {201, STR("Created")},
        {202, STR("Accepted")},
        {204, STR("No Content")},
        {206, STR("Partial Content")},
        {301, STR("Moved Permanently")},
        {302, STR("Found")},
        {303, STR("See Other")},
        {304, STR("Not Modified")},
        {307, STR("Temporary Redirect")},
        {308, STR("Permanent Redirect")},
        {400, STR("Bad Request")},
        {401, STR("Unauthorized")},
        {403, STR("Forbidden")},
        {404, STR("Not Found")},
        {405, STR("Method Not Allowed")},
        {406, STR("Not Acceptable")},
        {408, STR("Request Timeout")},
        {409, STR("Conflict")},
        {410, STR("Gone")},
        {411, STR("Length Required")},
        {412, STR("Precondition Failed")},
        {413, STR("Content Too Large")},
        {414, STR("URI Too Long")},
        {415, STR("Unsupported Media Type")},
        {417, STR("Expectation Failed")},
        {421, STR("Misdirected Request")},
        {422, STR("Unprocessable Content")},
        {426, STR("Upgrade Required")},
        {428, STR("Precondition Required")},
        {429, STR("Too Many Requests")},
        {431, STR("Request Header Fields Too Large")},
        {500, STR("Internal Server Error")},
        {501, STR("Not Implemented")},
        {502, STR("Bad Gateway")},
        {503, STR("Service Unavailable")},
        {504, STR("Gateway Timeout")},
        {505, STR("HTTP Version Not Supported")},
        {507, STR("Insufficient Storage")},
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return (struct str){"", 0};
}
