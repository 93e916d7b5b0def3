// SPDX-License-Identifier: Apache-2.0
// What an engine of the store implements. store.c does the rest: gathering, watches, revisions.
#pragma once

#include "store/store.h"

enum store_change_kind { STORE_EXPECT, STORE_PUT, STORE_DELETE };

struct store_change {
    struct store_change *next;
    enum store_change_kind kind;
    const char *key;
    struct str value;  // of a put
    uint64_t revision; // of an expectation
};

struct store_engine {
    int (*get)(struct store *store, const char *key, struct arena *arena,
               struct store_entry *ret_entry, struct error *error);
    int (*list)(struct store *store, const struct store_range *range, struct arena *arena,
                struct store_entries *ret_entries, struct error *error);
    // Everything that is put gets this revision.
    int (*commit)(struct store *store, const struct store_transaction *transaction,
                  uint64_t revision, struct error *error);
    void (*close)(struct store *store);
};

struct store {
    const struct store_engine *engine;
    struct loop *loop;
    uint64_t revision;
    struct list watches;
};

void store_init(struct store *store, const struct store_engine *engine, struct loop *loop,
                uint64_t revision);

// Copies an entry into the arena. -ENOMEM.
int store_entry_copy(struct arena *arena, struct str key, struct str value, uint64_t revision,
                     struct store_entry *ret_entry);
// The first string behind all that begin with prefix, in the arena; NULL when memory is out.
const char *store_prefix_end(struct arena *arena, const char *prefix);
