// SPDX-License-Identifier: Apache-2.0
// A body on its way from one stream to another: decoded from the framing it came in, written in the
// framing it goes on with. Whole buffers are passed on, not copied, where framing allows.
#pragma once

#include "codec/http1.h"
#include "event/stream.h"

struct body {
    uint8_t in;      // enum http1_body of what arrives
    uint8_t out;     // and of what is sent
    bool ended;      // all of it was passed on
    uint64_t left;   // of HTTP1_BODY_LENGTH
    uint64_t passed; // payload bytes
    struct http1_chunks chunks;
    struct buf *trailers; // room for them, once there are any
};

enum body_step {
    BODY_MORE,    // all input is taken
    BODY_FULL,    // the stream has SEND_QUEUE_HIGH bytes to send: pause the source
    BODY_ENDED,   // what is left of the input is no part of it
    BODY_REFUSED, // chunks.refusal says why
    BODY_NO_MEMORY,
};

void body_init(struct body *body, enum http1_body in, uint64_t content_length, enum http1_body out);
void body_free(struct body *body);
// Takes bytes off the front of *input (a list of buffers) and queues them to be sent.
enum body_step body_move(struct body *body, struct buf **input, struct stream *to);
// HTTP1_BODY_UNTIL_CLOSE: the peer closed. False: memory is out.
bool body_end(struct body *body, struct stream *to);

// The end of a message whose receiver would take a FIN for the end of the body.
static inline bool body_end_is_visible(const struct body *body)
{
    return body->out != HTTP1_BODY_UNTIL_CLOSE;
}
