// SPDX-License-Identifier: Apache-2.0
// Objects by id, sorted: few thousand at most, found by bisection, walked in the order of ids (so
// that the same state always leads to the same decisions). Every item begins with its uint64_t id.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct table {
    void **items;
    size_t count, room;
};

// NULL when there is none.
void *table_find(const struct table *table, uint64_t id);
// The id must be new. -ENOMEM.
int table_insert(struct table *table, void *item);
// Removes it when it is there; does not free the item.
void table_remove(struct table *table, uint64_t id);
// Frees the table's own memory only.
void table_clear(struct table *table);

#define TABLE_FOREACH(table, type, name)                                                       \
    for (size_t name##_at = 0; name##_at < (table)->count; name##_at++)                        \
        for (type *name = (table)->items[name##_at], *name##_once = name; name##_once != NULL; \
             name##_once = NULL)
