// SPDX-License-Identifier: Apache-2.0
#include "control/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The first position whose id is not smaller.
static size_t find_position(const struct table *table, uint64_t id)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (*(const uint64_t *)table->items[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void *table_find(const struct table *table, uint64_t id)
{
    size_t at = find_position(table, id);
    return at < table->count && *(const uint64_t *)table->items[at] == id ? table->items[at] : NULL;
}

int table_insert(struct table *table, void *item)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 16 : table->room * 2;
        void **items = reallocarray(table->items, room, sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        table->items = items;
        table->room = room;
    }
    size_t at = find_position(table, *(const uint64_t *)item);
    memmove(table->items + at + 1, table->items + at, (table->count - at) * sizeof(void *));
    table->items[at] = item;
    table->count++;
    return 0;
}

void table_remove(struct table *table, uint64_t id)
{
    size_t at = find_position(table, id);
    if (at < table->count && *(const uint64_t *)table->items[at] == id) {
        table->count--;
        memmove(table->items + at, table->items + at + 1, (table->count - at) * sizeof(void *));
    }
}

void table_clear(struct table *table)
{
    free(table->items);
    *table = (struct table){0};
}
