// SPDX-License-Identifier: Apache-2.0
// A pool: objects of one size, taken and given back often. They are cut from blocks of 32 KiB; what
// is given back is taken again first (its memory is still in cache). Blocks go with the pool, so it
// stays as large as it once was. Not safe across threads.
//
// Under AddressSanitizer every object is an allocation of its own, so that a use after the return
// is seen.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool_block;
struct pool {
    struct pool_block *blocks;
    void *returned; // a list through the objects' first bytes
    char *at, *end; // of the newest block
    uint32_t size;
    uint32_t taken; // objects out now
};

void pool_init(struct pool *pool, size_t object_size);
// Every object must be back.
void pool_free(struct pool *pool);
// Not zeroed; aligned to 16. NULL when memory is out.
void *pool_take(struct pool *pool);
void pool_return(struct pool *pool, void *object);
