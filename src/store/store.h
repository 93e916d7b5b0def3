// SPDX-License-Identifier: Apache-2.0
// The store: keys → documents (JSON text), each with the revision of the transaction that wrote it
// last. Transactions are compare-and-set, all or nothing, and durable when store_commit returns 0:
// neither kill -9 nor a power loss takes back what was acknowledged.
//
// Engines: SQLite (one controller), memory (tests, simulation). The same tests run over both. All
// calls come from the controller's loop thread and do not wait for the network; a commit waits for
// the disk. What is read is copied into the caller's arena.
//
// Keys are paths such as "projects/00000000000000000007"; they sort by bytes. See control/keys.h.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "event/loop.h"

struct store;

// loop may be NULL when nothing watches. Errors in words: not a database, corrupt, written by a
// newer Weir, in use by another controller, no space, not writable. -EUCLEAN: corrupt or foreign;
// -EBUSY: in use; -ENOTSUP: newer; -ENOSPC, -EROFS, -EACCES, -EIO.
int store_open_sqlite(const char *path, struct loop *loop, struct store **ret_store,
                      struct error *error);
int store_open_memory(struct loop *loop, struct store **ret_store);
// Accepts NULL, returns NULL. Watches must be closed before.
struct store *store_close(struct store *store);

struct store_entry {
    const char *key;
    struct str value; // ended by NUL
    uint64_t revision;
};

struct store_entries {
    struct store_entry *items;
    size_t count;
};

// -ENOENT (no text is set for it), -ENOMEM, -EIO, -EUCLEAN.
int store_get(struct store *store, const char *key, struct arena *arena,
              struct store_entry *ret_entry, struct error *error);

struct store_range {
    const char *prefix;
    const char *after; // only keys behind this one; NULL: all
    size_t limit;      // 0: all
    bool newest_first; // from the end of the range; then `after` means "before"
};
int store_list(struct store *store, const struct store_range *range, struct arena *arena,
               struct store_entries *ret_entries, struct error *error);

// Grows by one with each transaction that changed something.
uint64_t store_revision(const struct store *store);

// A transaction is gathered in an arena and then committed. Gathering never fails visibly: running
// out of memory is told by store_commit.
struct store_change;
struct store_transaction {
    struct arena *arena;
    struct store_change *first, *last;
    bool failed;
};
void store_begin(struct store_transaction *transaction, struct arena *arena);
// The key has this revision; 0: there is no such key.
void store_expect(struct store_transaction *transaction, const char *key, uint64_t revision);
void store_put(struct store_transaction *transaction, const char *key, struct str value);
// Deleting what is not there is no error.
void store_delete(struct store_transaction *transaction, const char *key);
// Reads the counter at key (0 when absent), and puts and expects it raised by count. *ret_first is
// the first of the numbers taken. At most once a key and transaction.
int store_take_numbers(struct store *store, struct store_transaction *transaction, const char *key,
                       uint64_t count, uint64_t *ret_first, struct error *error);
// -EAGAIN with reason "conflict": an expectation failed, nothing happened: read again and retry.
// -ENOSPC, -EROFS, -EIO, -EUCLEAN, -ENOMEM: nothing happened either. ret_revision may be NULL.
int store_commit(struct store *store, struct store_transaction *transaction, uint64_t *ret_revision,
                 struct error *error);

// Tells that something under a prefix changed, once a turn at most, from the loop. Level-triggered:
// read what is there now.
struct store_watch {
    struct list link;
    struct task task;
    struct store *store;
    const char *prefix; // borrowed
    void (*changed)(struct store_watch *watch);
    void *owner;
};
// since: the revision up to which the caller has read; an older one than the store's makes changed
// come at once (in the next turn).
void store_watch_open(struct store_watch *watch, struct store *store, const char *prefix,
                      uint64_t since, void (*changed)(struct store_watch *));
void store_watch_close(struct store_watch *watch);
