// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 32768 };

struct pool_block {
    struct pool_block *next;
    _Alignas(16) char bytes[];
};

void pool_init(struct pool *pool, size_t object_size)
{
    *pool = (struct pool){.size = (uint32_t)((object_size + 15) & ~(size_t)15)};
}

void pool_free(struct pool *pool)
{
    while (pool->blocks != NULL) {
        struct pool_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
    pool->returned = NULL;
    pool->at = pool->end = NULL;
}

#ifdef __SANITIZE_ADDRESS__

void *pool_take(struct pool *pool)
{
    void *object = malloc(pool->size);
    pool->taken += object != NULL;
    return object;
}

void pool_return(struct pool *pool, void *object)
{
    pool->taken--;
    free(object);
}

#else

void *pool_take(struct pool *pool)
{
    void *object = pool->returned;
    if (object != NULL) {
        pool->returned = *(void **)object;
        pool->taken++;
        return object;
    }
    if ((size_t)(pool->end - pool->at) < pool->size) {
        size_t room = pool->size > BLOCK_BYTES ? pool->size : BLOCK_BYTES;
        struct pool_block *block = malloc(sizeof(*block) + room);
        if (block == NULL) {
            return NULL;
        }
        block->next = pool->blocks;
        pool->blocks = block;
        pool->at = block->bytes;
        pool->end = block->bytes + room;
    }
    object = pool->at;
    pool->at += pool->size;
    pool->taken++;
    return object;
}

void pool_return(struct pool *pool, void *object)
{
    *(void **)object = pool->returned;
    pool->returned = object;
    pool->taken--;
}

#endif
