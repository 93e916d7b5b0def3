// SPDX-License-Identifier: Apache-2.0
#include "event/buf.h"

#include <errno.h>
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

void buf_list_append(struct buf **list, struct buf *taken)
{
    while (*list != NULL) {
        list = &(*list)->next;
    }
    taken->next = NULL;
    *list = taken;
}

void buf_list_release(struct buf **list)
{
    while (*list != NULL) {
        struct buf *first = *list;
        *list = first->next;
        buf_release(first);
    }
}

int buf_list_join(struct buf **list)
{
    struct buf *first = *list;
    while (first->next != NULL) {
        struct buf *second = first->next;
        if (buf_room(first) < buf_len(second)) {
            uint32_t size = 2 * (buf_len(first) + buf_len(second));
            struct buf *larger = buf_new_sized(first->loop, size);
            if (larger == NULL) {
                return -ENOMEM;
            }
            buf_append(larger, first->data + first->start, buf_len(first));
            larger->next = second;
            buf_release(first);
            *list = first = larger;
        }
        buf_append(first, second->data + second->start, buf_len(second));
        first->next = second->next;
        buf_release(second);
    }
    return 0;
}
