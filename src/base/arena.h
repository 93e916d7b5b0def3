// SPDX-License-Identifier: Apache-2.0
// An arena: many allocations, one release. Used per request and per snapshot. Blocks come from
// malloc; the first block may be the caller's own memory. Not safe across threads.
#pragma once

#include <stddef.h>

#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; // newest first
    char *at, *end;
    size_t block_size;
};

void arena_init(struct arena *arena, size_t block_size);
// Frees everything; the arena may be used again.
void arena_reset(struct arena *arena);
// Zeroed, aligned to 16; NULL when memory is out.
void *arena_alloc(struct arena *arena, size_t size);
// A copy ended by NUL; .at is NULL when memory is out.
struct str arena_copy(struct arena *arena, struct str text);

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
// count is checked for overflow.
#define arena_array(arena, type, count) ((type *)arena_alloc_array((arena), sizeof(type), (count)))
void *arena_alloc_array(struct arena *arena, size_t size, size_t count);
