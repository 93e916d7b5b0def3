// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/engine.h"

void store_init(struct store *store, const struct store_engine *engine, struct loop *loop,
                uint64_t revision)
{
    store->engine = engine;
    store->loop = loop;
    store->revision = revision;
    list_init(&store->watches);
}

struct store *store_close(struct store *store)
{
    if (store != NULL) {
        store->engine->close(store);
    }
    return NULL;
}

uint64_t store_revision(const struct store *store)
{
    return store->revision;
}

int store_entry_copy(struct arena *arena, struct str key, struct str value, uint64_t revision,
                     struct store_entry *ret_entry)
{
    struct str key_copy = arena_copy(arena, key), value_copy = arena_copy(arena, value);
    if (key_copy.at == NULL || value_copy.at == NULL) {
        return -ENOMEM;
    }
    *ret_entry = (struct store_entry){key_copy.at, value_copy, revision};
    return 0;
}

const char *store_prefix_end(struct arena *arena, const char *prefix)
{
    struct str copy = arena_copy(arena, str_of(prefix));
    if (copy.at != NULL && copy.len > 0) {
        // Keys are ASCII, so the last byte can always be raised.
        ((char *)copy.at)[copy.len - 1]++;
    }
    return copy.at;
}

int store_get(struct store *store, const char *key, struct arena *arena,
              struct store_entry *ret_entry, struct error *error)
{
    return store->engine->get(store, key, arena, ret_entry, error);
}

int store_list(struct store *store, const struct store_range *range, struct arena *arena,
               struct store_entries *ret_entries, struct error *error)
{
    return store->engine->list(store, range, arena, ret_entries, error);
}

void store_begin(struct store_transaction *transaction, struct arena *arena)
{
    *transaction = (struct store_transaction){.arena = arena};
}

static struct store_change *gather(struct store_transaction *transaction,
                                   enum store_change_kind kind, const char *key)
{
    struct store_change *change = arena_new(transaction->arena, struct store_change);
    struct str copy = arena_copy(transaction->arena, str_of(key));
    if (change == NULL || copy.at == NULL) {
        transaction->failed = true;
        return NULL;
    }
    change->kind = kind;
    change->key = copy.at;
    if (transaction->last != NULL) {
        transaction->last->next = change;
    } else {
        transaction->first = change;
    }
    transaction->last = change;
    return change;
}

void store_expect(struct store_transaction *transaction, const char *key, uint64_t revision)
{
    struct store_change *change = gather(transaction, STORE_EXPECT, key);
    if (change != NULL) {
        change->revision = revision;
    }
}

void store_put(struct store_transaction *transaction, const char *key, struct str value)
{
    struct str copy = arena_copy(transaction->arena, value);
    struct store_change *change = gather(transaction, STORE_PUT, key);
    if (copy.at == NULL) {
        transaction->failed = true;
    } else if (change != NULL) {
        change->value = copy;
    }
}

void store_delete(struct store_transaction *transaction, const char *key)
{
    gather(transaction, STORE_DELETE, key);
}

int store_take_numbers(struct store *store, struct store_transaction *transaction, const char *key,
                       uint64_t count, uint64_t *ret_first, struct error *error)
{
    struct store_entry entry = {0};
    uint64_t last = 0;
    int r = store_get(store, key, transaction->arena, &entry, error);
    if (r == 0) {
        r = str_to_u64(entry.value, INT64_MAX - count, &last);
        if (r < 0) {
            return error_set(error, -EUCLEAN, "the database's counter %s is damaged", key);
        }
    } else if (r != -ENOENT) {
        return r;
    }
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, last + count);
    store_expect(transaction, key, entry.revision);
    store_put(transaction, key, str_of(text));
    *ret_first = last + 1;
    return 0;
}

static void tell_watches(struct store *store, const struct store_transaction *transaction)
{
    LIST_FOREACH (&store->watches, link) {
        struct store_watch *watch = CONTAINER_OF(link, struct store_watch, link);
        size_t len = strlen(watch->prefix);
        for (const struct store_change *c = transaction->first; c != NULL; c = c->next) {
            if (c->kind != STORE_EXPECT && strncmp(c->key, watch->prefix, len) == 0) {
                loop_defer(store->loop, &watch->task);
                break;
            }
        }
    }
}

int store_commit(struct store *store, struct store_transaction *transaction, uint64_t *ret_revision,
                 struct error *error)
{
    if (transaction->failed) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    bool changes = false;
    for (const struct store_change *c = transaction->first; c != NULL; c = c->next) {
        changes = changes || c->kind != STORE_EXPECT;
    }
    int r = store->engine->commit(store, transaction, store->revision + 1, error);
    if (r == 0 && changes) {
        store->revision++;
        tell_watches(store, transaction);
    }
    if (r == 0 && ret_revision != NULL) {
        *ret_revision = store->revision;
    }
    return r;
}

static void watch_run(struct task *task)
{
    struct store_watch *watch = CONTAINER_OF(task, struct store_watch, task);
    watch->changed(watch);
}

void store_watch_open(struct store_watch *watch, struct store *store, const char *prefix,
                      uint64_t since, void (*changed)(struct store_watch *))
{
    watch->store = store;
    watch->prefix = prefix;
    watch->changed = changed;
    task_init(&watch->task, watch_run);
    list_append(&store->watches, &watch->link);
    if (since < store->revision) {
        loop_defer(store->loop, &watch->task);
    }
}

void store_watch_close(struct store_watch *watch)
{
    task_cancel(&watch->task);
    list_remove(&watch->link);
}
