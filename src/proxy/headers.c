// SPDX-License-Identifier: Apache-2.0
#include "proxy/headers.h"

static void write_forwarded_for(struct writer *writer, const struct http1_head *head,
                                struct str client)
{
    WRITER_PUT(writer, "X-Forwarded-For: ");
    if ((head->fields_seen & HTTP1_SET(HTTP1_X_FORWARDED_FOR)) != 0) {
        for (uint32_t i = 0; i < head->field_count; i++) {
            const struct http1_field *field = &head->fields[i];
            if (field->id == HTTP1_X_FORWARDED_FOR && field->value.len > 0) {
                writer_put(writer, field->value);
                WRITER_PUT(writer, ", ");
            }
        }
    }
    writer_put(writer, client);
    WRITER_PUT(writer, "\r\n");
}

void headers_write_request(struct writer *writer, const struct http1_head *head,
                           const struct headers_request *context)
{
    const uint64_t ours = HTTP1_SET(HTTP1_X_FORWARDED_FOR) | HTTP1_SET(HTTP1_X_FORWARDED_PROTO) |
                          HTTP1_SET(HTTP1_X_FORWARDED_PORT) | HTTP1_SET(HTTP1_X_REQUEST_ID);
    http1_write_request_start(writer, head, context->host);
    http1_write_fields(writer, head, ours);
    write_forwarded_for(writer, head, context->client);
    writer_put(writer, context->forwarded);
    WRITER_PUT(writer, "X-Request-Id: ");
    writer_put(writer, context->request_id);
    WRITER_PUT(writer, "\r\n");
    if (head->upgrade.len > 0) {
        WRITER_PUT(writer, "Connection: Upgrade\r\n");
        http1_write_field(writer, STR("Upgrade"), head->upgrade);
    }
    http1_write_framing(writer, head->body, head->content_length);
    http1_write_end(writer);
}

void headers_write_response(struct writer *writer, const struct http1_head *head,
                            const struct headers_response *context)
{
    http1_write_response_start(writer, head->status, head->reason);
    http1_write_fields(writer, head, HTTP1_SET(HTTP1_X_REQUEST_ID));
    if ((head->fields_seen & HTTP1_SET(HTTP1_DATE)) == 0) {
        writer_put(writer, context->date);
    }
    WRITER_PUT(writer, "X-Request-Id: ");
    writer_put(writer, context->request_id);
    WRITER_PUT(writer, "\r\n");
    if (head->body == HTTP1_BODY_NONE && head->has_content_length && head->status != 204) {
        // To HEAD, or 304: the length that the body would have (RFC 9110 §8.6).
        http1_write_framing(writer, HTTP1_BODY_LENGTH, head->content_length);
    } else {
        http1_write_framing(writer, context->framing, head->content_length);
    }
    if (head->status == 426 && head->upgrade.len > 0) { // RFC 9110 §15.5.22: MUST send Upgrade
        http1_write_field(writer, STR("Upgrade"), head->upgrade);
        http1_write_field(writer, STR("Connection"),
                          context->closes ? STR("Upgrade, close") : STR("Upgrade"));
    } else if (context->closes) {
        WRITER_PUT(writer, "Connection: close\r\n");
    } else if (context->says_keep_alive) {
        WRITER_PUT(writer, "Connection: keep-alive\r\n");
    }
    http1_write_end(writer);
}

void headers_write_interim(struct writer *writer, const struct http1_head *head)
{
    http1_write_response_start(writer, head->status, head->reason);
    http1_write_fields(writer, head, 0);
    http1_write_end(writer);
}

void headers_write_switch(struct writer *writer, const struct http1_head *head,
                          const struct headers_response *context)
{
    http1_write_response_start(writer, head->status, head->reason);
    http1_write_fields(writer, head, HTTP1_SET(HTTP1_X_REQUEST_ID));
    http1_write_field(writer, STR("X-Request-Id"), context->request_id);
    http1_write_field(writer, STR("Connection"), STR("Upgrade"));
    http1_write_field(writer, STR("Upgrade"), head->upgrade);
    http1_write_end(writer);
}

struct str headers_find_request_id(const struct http1_head *head)
{
    const struct http1_field *field = NULL;
    if ((head->fields_seen & HTTP1_SET(HTTP1_X_REQUEST_ID)) != 0) {
        field = http1_find(head, HTTP1_X_REQUEST_ID, 0);
    }
    if (field == NULL || field->value.len < 8 || field->value.len > 64) {
        return (struct str){0};
    }
    for (size_t i = 0; i < field->value.len; i++) {
        char c = field->value.at[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
            return (struct str){0};
        }
    }
    uint32_t next = (uint32_t)(field - head->fields) + 1;
    return http1_find(head, HTTP1_X_REQUEST_ID, next) == NULL ? field->value : (struct str){0};
}
