// SPDX-License-Identifier: Apache-2.0
#include "proxy/body.h"

#include "proxy/limits.h"

void body_init(struct body *body, enum http1_body in, uint64_t content_length, enum http1_body out)
{
    body->in = (uint8_t)in;
    body->out = (uint8_t)out;
    body->left = content_length;
    body->passed = 0;
    body->trailers = NULL;
    body->ended = in == HTTP1_BODY_NONE || (in == HTTP1_BODY_LENGTH && content_length == 0);
    if (in == HTTP1_BODY_CHUNKED) {
        http1_chunks_init(&body->chunks);
    }
}

void body_free(struct body *body)
{
    body->trailers = buf_release(body->trailers);
}

static struct buf *take_first(struct buf **input)
{
    struct buf *first = *input;
    *input = first->next;
    return first;
}

static bool send_chunk_start(struct stream *to, uint64_t len)
{
    char bytes[24];
    struct writer writer;
    writer_init(&writer, bytes, sizeof(bytes));
    http1_write_chunk_start(&writer, len);
    return stream_send_copy(to, bytes, writer_len(&writer)) == 0;
}

// Sends the first len bytes of the first buffer; the whole buffer goes if these are all it has and
// copying would not be cheaper.
static bool send_front(struct body *body, struct buf **input, uint32_t len, struct stream *to)
{
    struct buf *first = *input;
    bool chunked = body->out == HTTP1_BODY_CHUNKED;
    if (chunked && !send_chunk_start(to, len)) {
        return false;
    }
    body->passed += len;
    if (len == buf_len(first) && len > COPY_BYTES) {
        stream_send(to, take_first(input));
    } else {
        if (stream_send_copy(to, first->data + first->start, len) < 0) {
            return false;
        }
        first->start += len;
        if (buf_len(first) == 0) {
            buf_release(take_first(input));
        }
    }
    return !chunked || stream_send_copy(to, "\r\n", 2) == 0;
}

static bool send_last_chunk(struct body *body, struct stream *to)
{
    struct str trailers = {0};
    if (body->trailers != NULL) {
        trailers = (struct str){body->chunks.trailers, body->chunks.trailers_len};
    }
    return stream_send_copy(to, "0\r\n", 3) == 0 &&
           stream_send_copy(to, trailers.at, trailers.len) == 0 &&
           stream_send_copy(to, "\r\n", 2) == 0;
}

// One step of the decoder over the first buffer.
static enum body_step move_chunked(struct body *body, struct buf **input, struct stream *to)
{
    struct buf *first = *input;
    struct str left = buf_str(first), payload;
    enum http1_chunks_step step = http1_chunks_next(&body->chunks, &left, &payload);
    first->start = first->end - (uint32_t)left.len;
    switch (step) {
    case HTTP1_CHUNKS_PAYLOAD:
        if (left.len == 0) {
            // The payload is the buffer's end, so the buffer itself can go.
            first->start = first->end - (uint32_t)payload.len;
            return send_front(body, input, (uint32_t)payload.len, to) ? BODY_MORE : BODY_NO_MEMORY;
        }
        body->passed += payload.len;
        if (body->out == HTTP1_BODY_CHUNKED) {
            return send_chunk_start(to, payload.len) &&
                           stream_send_copy(to, payload.at, payload.len) == 0 &&
                           stream_send_copy(to, "\r\n", 2) == 0
                       ? BODY_MORE
                       : BODY_NO_MEMORY;
        }
        return stream_send_copy(to, payload.at, payload.len) == 0 ? BODY_MORE : BODY_NO_MEMORY;
    case HTTP1_CHUNKS_MORE:
        buf_release(take_first(input));
        return BODY_MORE;
    case HTTP1_CHUNKS_TRAILERS:
        if (body->trailers == NULL) {
            body->trailers = buf_new_sized(to->loop, TRAILERS_BYTES);
            if (body->trailers == NULL) {
                return BODY_NO_MEMORY;
            }
            http1_chunks_take_trailers(&body->chunks, (char *)body->trailers->data, TRAILERS_BYTES);
        }
        return BODY_MORE;
    case HTTP1_CHUNKS_END:
        if (buf_len(first) == 0) {
            buf_release(take_first(input));
        }
        if (body->out == HTTP1_BODY_CHUNKED && !send_last_chunk(body, to)) {
            return BODY_NO_MEMORY;
        }
        body->ended = true;
        return BODY_ENDED;
    case HTTP1_CHUNKS_REFUSED:
        break;
    }
    return BODY_REFUSED;
}

enum body_step body_move(struct body *body, struct buf **input, struct stream *to)
{
    while (!body->ended && *input != NULL) {
        if (stream_queued(to) >= SEND_QUEUE_HIGH) {
            return BODY_FULL;
        }
        if (body->in == HTTP1_BODY_CHUNKED) {
            enum body_step step = move_chunked(body, input, to);
            if (step != BODY_MORE) {
                return step;
            }
            continue;
        }
        uint32_t len = buf_len(*input);
        if (body->in == HTTP1_BODY_LENGTH) {
            len = (uint32_t)MIN(len, body->left);
            body->left -= len;
            body->ended = body->left == 0;
        }
        if (!send_front(body, input, len, to)) {
            return BODY_NO_MEMORY;
        }
    }
    return body->ended ? BODY_ENDED : BODY_MORE;
}

bool body_end(struct body *body, struct stream *to)
{
    body->ended = true;
    return body->out != HTTP1_BODY_CHUNKED || send_last_chunk(body, to);
}
