// SPDX-License-Identifier: Apache-2.0
#include "event/buf.h"

#include <stdlib.h>

#include "event/engine.h"

static struct buf *buf_allocate(struct loop *loop, uint32_t size)
{
    struct buf *buf = malloc(sizeof(*buf) + size);
    if (buf != NULL) {
        buf->next = NULL;
        buf->loop = loop;
        buf->start = buf->end = 0;
        buf->size = size;
    }
    return buf;
}

struct buf *buf_new(struct loop *loop)
{
    struct buf *buf = loop->spare;
    if (buf == NULL) {
        return buf_allocate(loop, loop->buffer_size);
    }
    loop->spare = buf->next;
    loop->spare_count--;
    buf->next = NULL;
    buf->start = buf->end = 0;
    return buf;
}

struct buf *buf_new_sized(struct loop *loop, uint32_t size)
{
    return size <= loop->buffer_size ? buf_new(loop) : buf_allocate(loop, size);
}

struct buf *buf_release(struct buf *buf)
{
    if (buf == NULL) {
        return NULL;
    }
    struct loop *loop = buf->loop;
    if (buf->size != loop->buffer_size || loop->spare_count >= loop->spare_max) {
        free(buf);
        return NULL;
    }
    buf->next = loop->spare;
    loop->spare = buf;
    loop->spare_count++;
    return NULL;
}
