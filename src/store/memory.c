// SPDX-License-Identifier: Apache-2.0
// The engine for tests and simulation: a sorted array. A commit makes all its copies first, so that
// running out of memory leaves everything as it was.
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"

struct row {
    char *key, *value; // owned
    size_t value_len;
    uint64_t revision;
};

struct memory_store {
    struct store store;
    struct row *rows;
    size_t count, room;
};

// The index of the first row whose key is ≥ key.
static size_t find(const struct memory_store *memory, const char *key, bool *ret_same)
{
    size_t low = 0, high = memory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(memory->rows[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_same = low < memory->count && strcmp(memory->rows[low].key, key) == 0;
    return low;
}

static int copy_row(const struct row *row, struct arena *arena, struct store_entry *ret_entry)
{
    return store_entry_copy(arena, str_of(row->key), (struct str){row->value, row->value_len},
                            row->revision, ret_entry);
}

static int memory_get(struct store *store, const char *key, struct arena *arena,
                      struct store_entry *ret_entry, struct error *error)
{
    struct memory_store *memory = CONTAINER_OF(store, struct memory_store, store);
    bool same;
    size_t at = find(memory, key, &same);
    if (!same) {
        return -ENOENT;
    }
    int r = copy_row(&memory->rows[at], arena, ret_entry);
    return r < 0 ? error_set(error, r, "out of memory") : 0;
}

static int memory_list(struct store *store, const struct store_range *range, struct arena *arena,
                       struct store_entries *ret_entries, struct error *error)
{
    struct memory_store *memory = CONTAINER_OF(store, struct memory_store, store);
    bool same;
    const char *end = store_prefix_end(arena, range->prefix);
    if (end == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    size_t low = find(memory, range->prefix, &same);
    low += same;
    size_t high = find(memory, end, &same);
    if (range->after != NULL) {
        size_t at = find(memory, range->after, &same);
        if (range->newest_first) {
            high = MIN(high, at);
        } else {
            low = MAX(low, at + same);
        }
    }
    size_t count = high > low ? high - low : 0;
    count = range->limit > 0 ? MIN(count, range->limit) : count;
    struct store_entry *items = arena_array(arena, struct store_entry, MAX(count, (size_t)1));
    int r = items != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++) {
        r = copy_row(&memory->rows[range->newest_first ? high - 1 - i : low + i], arena, &items[i]);
    }
    if (r < 0) {
        return error_set(error, r, "out of memory");
    }
    *ret_entries = (struct store_entries){items, count};
    return 0;
}

static void row_free(struct row *row)
{
    free(row->key);
    free(row->value);
}

static void apply_put(struct memory_store *memory, struct row *row)
{
    bool same;
    size_t at = find(memory, row->key, &same);
    if (same) {
        row_free(&memory->rows[at]);
    } else {
        memmove(&memory->rows[at + 1], &memory->rows[at],
                (memory->count - at) * sizeof(struct row));
        memory->count++;
    }
    memory->rows[at] = *row;
}

static void apply_delete(struct memory_store *memory, const char *key)
{
    bool same;
    size_t at = find(memory, key, &same);
    if (same) {
        row_free(&memory->rows[at]);
        memory->count--;
        memmove(&memory->rows[at], &memory->rows[at + 1],
                (memory->count - at) * sizeof(struct row));
    }
}

static int reserve(struct memory_store *memory, size_t more)
{
    if (memory->count + more <= memory->room) {
        return 0;
    }
    size_t room = 2 * memory->room + more;
    struct row *rows = reallocarray(memory->rows, room, sizeof(*rows));
    if (rows == NULL) {
        return -ENOMEM;
    }
    memory->rows = rows;
    memory->room = room;
    return 0;
}

static int copy_put(const struct store_change *change, uint64_t revision, struct row *ret_row)
{
    struct row row = {str_copy(str_of(change->key)), str_copy(change->value), change->value.len,
                      revision};
    if (row.key == NULL || row.value == NULL) {
        row_free(&row);
        return -ENOMEM;
    }
    *ret_row = row;
    return 0;
}

static int memory_commit(struct store *store, const struct store_transaction *transaction,
                         uint64_t revision, struct error *error)
{
    struct memory_store *memory = CONTAINER_OF(store, struct memory_store, store);
    size_t puts = 0, copied = 0;
    for (const struct store_change *c = transaction->first; c != NULL; c = c->next) {
        bool same;
        size_t at = find(memory, c->key, &same);
        if (c->kind == STORE_EXPECT && (same ? memory->rows[at].revision : 0) != c->revision) {
            return error_set_field(error, -EAGAIN, "conflict", NULL,
                                   "somebody else changed %s meanwhile", c->key);
        }
        puts += c->kind == STORE_PUT;
    }
    struct row *rows = calloc(MAX(puts, (size_t)1), sizeof(*rows));
    int r = rows != NULL ? reserve(memory, puts) : -ENOMEM;
    for (const struct store_change *c = transaction->first; c != NULL && r == 0; c = c->next) {
        if (c->kind == STORE_PUT) {
            r = copy_put(c, revision, &rows[copied]);
            copied += r == 0;
        }
    }
    if (r < 0) {
        while (copied > 0) {
            row_free(&rows[--copied]);
        }
        free(rows);
        return error_set(error, r, "out of memory");
    }
    size_t next = 0;
    for (const struct store_change *c = transaction->first; c != NULL; c = c->next) {
        if (c->kind == STORE_PUT) {
            apply_put(memory, &rows[next++]);
        } else if (c->kind == STORE_DELETE) {
            apply_delete(memory, c->key);
        }
    }
    free(rows);
    return 0;
}

static void memory_close(struct store *store)
{
    struct memory_store *memory = CONTAINER_OF(store, struct memory_store, store);
    for (size_t i = 0; i < memory->count; i++) {
        row_free(&memory->rows[i]);
    }
    free(memory->rows);
    free(memory);
}

static const struct store_engine memory_engine = {memory_get, memory_list, memory_commit,
                                                  memory_close};

int store_open_memory(struct loop *loop, struct store **ret_store)
{
    struct memory_store *memory = calloc(1, sizeof(*memory));
    if (memory == NULL) {
        return -ENOMEM;
    }
    store_init(&memory->store, &memory_engine, loop, 0);
    *ret_store = &memory->store;
    return 0;
}
