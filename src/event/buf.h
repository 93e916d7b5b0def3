// SPDX-License-Identifier: Apache-2.0
// Buffers: how bytes travel. A buffer has exactly one owner at a time; passing it to a stream or
// receiving it in a callback moves ownership. Received buffers can be forwarded to another stream
// as they are, so a relay copies nothing. An idle connection owns none.
//
// Buffers come from a free list of their loop (the most recently released first, so the memory is
// still in cache) and must be used and released on that loop's thread. One of another size than the
// loop's is allocated and freed at once.
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct loop;

struct buf {
    struct buf *next;    // for the owner's queue
    struct loop *loop;   // borrowed
    uint32_t start, end; // the bytes are data[start, end)
    uint32_t size;       // of data
    _Alignas(16) uint8_t data[];
};

// Empty, of the loop's size. NULL when memory is out.
struct buf *buf_new(struct loop *loop);
// Of at least this many bytes.
struct buf *buf_new_sized(struct loop *loop, uint32_t size);
// Accepts NULL, returns NULL.
struct buf *buf_release(struct buf *buf);

// Lists of buffers, linked by next; NULL is an empty one.
void buf_list_append(struct buf **list, struct buf *taken);
void buf_list_release(struct buf **list);
// Makes a list of one buffer, so that its bytes can be parsed. Not of an empty one. -ENOMEM.
int buf_list_join(struct buf **list);

static inline uint32_t buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}
static inline uint32_t buf_room(const struct buf *buf)
{
    return buf->size - buf->end;
}
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){(const char *)buf->data + buf->start, buf->end - buf->start};
}
// The caller has checked buf_room.
static inline void buf_append(struct buf *buf, const void *bytes, uint32_t len)
{
    memcpy(buf->data + buf->end, bytes, len);
    buf->end += len;
}
