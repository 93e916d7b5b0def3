// SPDX-License-Identifier: Apache-2.0
// The engine for one controller: one SQLite file. WAL with synchronous=FULL: a commit is on disk
// when it returns. The file is locked for this process (locking_mode=EXCLUSIVE), so that two
// controllers can never serve one database. Nothing is ever repaired here: a damaged file is left
// as it is, and said.
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/engine.h"

enum {
    APPLICATION_ID = 0x57656972, // "Weir", in the file's header
    BUSY_TIMEOUT_MS = 2000,      // for a predecessor that is still closing
};

// Each row brings the schema one version up, in the transaction that also notes the new version.
static const char *const migrations[] = {
    "CREATE TABLE entries (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL,"
    " revision INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
    "CREATE TABLE numbers (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL)"
    " WITHOUT ROWID, STRICT;"
    "INSERT INTO numbers VALUES ('revision', 0);",
};

enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_GET,
    SQL_REVISION_OF,
    SQL_LIST,
    SQL_LIST_NEWEST,
    SQL_PUT,
    SQL_DELETE,
    SQL_SET_REVISION,
    SQL_COUNT,
};

static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_GET] = "SELECT key, value, revision FROM entries WHERE key = ?1",
    [SQL_REVISION_OF] = "SELECT revision FROM entries WHERE key = ?1",
    [SQL_LIST] = "SELECT key, value, revision FROM entries WHERE key > ?1 AND key < ?2"
                 " ORDER BY key LIMIT ?3",
    [SQL_LIST_NEWEST] = "SELECT key, value, revision FROM entries WHERE key > ?1 AND key < ?2"
                        " ORDER BY key DESC LIMIT ?3",
    [SQL_PUT] = "INSERT INTO entries VALUES (?1, ?2, ?3)"
                " ON CONFLICT (key) DO UPDATE SET value = ?2, revision = ?3",
    [SQL_DELETE] = "DELETE FROM entries WHERE key = ?1",
    [SQL_SET_REVISION] = "UPDATE numbers SET value = ?1 WHERE name = 'revision'",
};

struct sqlite_store {
    struct store store;
    sqlite3 *db;
    sqlite3_stmt *prepared[SQL_COUNT];
    char *path; // owned
};

static int fail(const struct sqlite_store *sqlite, int code, struct error *error)
{
    const char *path = sqlite->path;
    int system_errno = sqlite->db != NULL ? sqlite3_system_errno(sqlite->db) : 0;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return error_set(error, -ENOMEM, "out of memory");
    case SQLITE_FULL:
        return error_set_field(error, -ENOSPC, "storage_full", NULL,
                               "no space is left for the database %s; nothing was changed", path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return error_set_field(error, -EROFS, "storage_read_only", NULL,
                               "the database %s cannot be written; nothing was changed", path);
    case SQLITE_CANTOPEN:
        return error_set_field(error, system_errno > 0 ? -system_errno : -EACCES,
                               "storage_unavailable", NULL, "the database %s cannot be opened: %s",
                               path,
                               system_errno > 0 ? strerror(system_errno) : "not a regular file");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set_field(error, -EBUSY, "storage_busy", NULL,
                               "the database %s is in use by another controller", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set_field(
            error, -EUCLEAN, "storage_corrupt", NULL,
            "the database %s is damaged (%s); restore it from a copy, or move it "
            "away to begin with an empty one",
            path, sqlite3_errstr(code));
    default:
        return error_set_field(
            error, -EIO, "storage_failed", NULL, "the database %s failed: %s%s%s", path,
            sqlite->db != NULL ? sqlite3_errmsg(sqlite->db) : sqlite3_errstr(code),
            system_errno > 0 ? ": " : "", system_errno > 0 ? strerror(system_errno) : "");
    }
}

// ── Statements ───────────────────────────────────────────────────────────────────────────────

static void bind_text(sqlite3_stmt *statement, int index, struct str text)
{
    sqlite3_bind_text64(statement, index, text.at != NULL ? text.at : "", text.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

// Runs a statement that gives no rows.
static int run(struct sqlite_store *sqlite, enum statement which)
{
    sqlite3_stmt *statement = sqlite->prepared[which];
    int code = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE ? SQLITE_OK : reset != SQLITE_OK ? reset : code;
}

static struct str column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return (struct str){(const char *)text, (size_t)sqlite3_column_bytes(statement, column)};
}

static int copy_row(sqlite3_stmt *statement, struct arena *arena, struct store_entry *ret_entry)
{
    struct str key = column_text(statement, 0), value = column_text(statement, 1);
    return store_entry_copy(arena, key, value, (uint64_t)sqlite3_column_int64(statement, 2),
                            ret_entry);
}

static int sqlite_get(struct store *store, const char *key, struct arena *arena,
                      struct store_entry *ret_entry, struct error *error)
{
    struct sqlite_store *sqlite = CONTAINER_OF(store, struct sqlite_store, store);
    sqlite3_stmt *statement = sqlite->prepared[SQL_GET];
    bind_text(statement, 1, str_of(key));
    int code = sqlite3_step(statement), r;
    if (code == SQLITE_ROW) {
        r = copy_row(statement, arena, ret_entry);
        r = r < 0 ? error_set(error, r, "out of memory") : 0;
    } else {
        r = code == SQLITE_DONE ? -ENOENT : fail(sqlite, code, error);
    }
    sqlite3_reset(statement);
    return r;
}

struct list_row {
    struct list_row *next;
    struct store_entry entry;
};

static int sqlite_list(struct store *store, const struct store_range *range, struct arena *arena,
                       struct store_entries *ret_entries, struct error *error)
{
    struct sqlite_store *sqlite = CONTAINER_OF(store, struct sqlite_store, store);
    sqlite3_stmt *statement = sqlite->prepared[range->newest_first ? SQL_LIST_NEWEST : SQL_LIST];
    const char *low = range->prefix, *high = store_prefix_end(arena, range->prefix);
    if (high == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    if (range->after != NULL && range->newest_first) {
        high = strcmp(range->after, high) < 0 ? range->after : high;
    } else if (range->after != NULL) {
        low = strcmp(range->after, low) > 0 ? range->after : low;
    }
    bind_text(statement, 1, str_of(low));
    bind_text(statement, 2, str_of(high));
    sqlite3_bind_int64(statement, 3, range->limit > 0 ? (int64_t)range->limit : -1);
    struct list_row *first = NULL, **last = &first;
    size_t count = 0;
    int code, r = 0;
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct list_row *row = arena_new(arena, struct list_row);
        r = row == NULL ? -ENOMEM : copy_row(statement, arena, &row->entry);
        if (r == 0) {
            *last = row;
            last = &row->next;
            count++;
        }
    }
    if (r == 0 && code != SQLITE_DONE) {
        r = fail(sqlite, code, error);
    }
    sqlite3_reset(statement);
    struct store_entry *items = NULL;
    if (r == 0) {
        items = arena_array(arena, struct store_entry, MAX(count, (size_t)1));
        r = items != NULL ? 0 : -ENOMEM;
    }
    if (r < 0) {
        return error_set(error, r, "out of memory");
    }
    size_t i = 0;
    for (const struct list_row *row = first; row != NULL; row = row->next) {
        items[i++] = row->entry;
    }
    *ret_entries = (struct store_entries){items, count};
    return 0;
}

// ── Commit ───────────────────────────────────────────────────────────────────────────────────

static int revision_of(struct sqlite_store *sqlite, const char *key, uint64_t *ret_revision)
{
    sqlite3_stmt *statement = sqlite->prepared[SQL_REVISION_OF];
    bind_text(statement, 1, str_of(key));
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        *ret_revision = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
        code = SQLITE_OK;
    }
    sqlite3_reset(statement);
    return code;
}

static int apply(struct sqlite_store *sqlite, const struct store_transaction *transaction,
                 uint64_t revision, struct error *error)
{
    // All expectations are about what was there before.
    for (const struct store_change *c = transaction->first; c != NULL; c = c->next) {
        uint64_t now = 0;
        int code = c->kind == STORE_EXPECT ? revision_of(sqlite, c->key, &now) : SQLITE_OK;
        if (code != SQLITE_OK) {
            return fail(sqlite, code, error);
        }
        if (c->kind == STORE_EXPECT && now != c->revision) {
            return error_set_field(error, -EAGAIN, "conflict", NULL,
                                   "somebody else changed %s meanwhile", c->key);
        }
    }
    int code = SQLITE_OK;
    for (const struct store_change *c = transaction->first; c != NULL && code == SQLITE_OK;
         c = c->next) {
        if (c->kind == STORE_PUT) {
            bind_text(sqlite->prepared[SQL_PUT], 1, str_of(c->key));
            bind_text(sqlite->prepared[SQL_PUT], 2, c->value);
            sqlite3_bind_int64(sqlite->prepared[SQL_PUT], 3, (int64_t)revision);
            code = run(sqlite, SQL_PUT);
        } else if (c->kind == STORE_DELETE) {
            bind_text(sqlite->prepared[SQL_DELETE], 1, str_of(c->key));
            code = run(sqlite, SQL_DELETE);
        }
    }
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(sqlite->prepared[SQL_SET_REVISION], 1, (int64_t)revision);
        code = run(sqlite, SQL_SET_REVISION);
    }
    if (code == SQLITE_OK) {
        code = run(sqlite, SQL_COMMIT);
    }
    return code == SQLITE_OK ? 0 : fail(sqlite, code, error);
}

static int sqlite_commit(struct store *store, const struct store_transaction *transaction,
                         uint64_t revision, struct error *error)
{
    struct sqlite_store *sqlite = CONTAINER_OF(store, struct sqlite_store, store);
    int code = run(sqlite, SQL_BEGIN);
    if (code != SQLITE_OK) {
        return fail(sqlite, code, error);
    }
    int r = apply(sqlite, transaction, revision, error);
    // Some failures have rolled back on their own already.
    if (r < 0 && sqlite3_get_autocommit(sqlite->db) == 0) {
        run(sqlite, SQL_ROLLBACK);
    }
    return r;
}

// ── Open ─────────────────────────────────────────────────────────────────────────────────────

static void sqlite_close(struct store *store)
{
    struct sqlite_store *sqlite = CONTAINER_OF(store, struct sqlite_store, store);
    for (size_t i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(sqlite->prepared[i]);
    }
    sqlite3_close(sqlite->db);
    free(sqlite->path);
    free(sqlite);
}

static const struct store_engine sqlite_engine = {sqlite_get, sqlite_list, sqlite_commit,
                                                  sqlite_close};

static int execute(struct sqlite_store *sqlite, const char *sql, struct error *error)
{
    int code = sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : fail(sqlite, code, error);
}

static int query_number(struct sqlite_store *sqlite, const char *sql, int64_t *ret_number,
                        struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(sqlite->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0
                              : fail(sqlite, code == SQLITE_DONE ? SQLITE_CORRUPT : code, error);
}

// A first look at every page and at the order of keys, before anything is trusted.
static int check_integrity(struct sqlite_store *sqlite, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(sqlite->db, "PRAGMA quick_check(1)", -1, &statement, NULL), r = 0;
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code != SQLITE_ROW) {
        r = fail(sqlite, code, error);
    } else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
        r = fail(sqlite, SQLITE_CORRUPT, error);
    }
    sqlite3_finalize(statement);
    return r;
}

static int check_owner(struct sqlite_store *sqlite, int64_t *ret_version, struct error *error)
{
    int64_t application = 0, tables = 0;
    int r = query_number(sqlite, "PRAGMA application_id", &application, error);
    if (r == 0) {
        r = query_number(sqlite, "SELECT count(*) FROM sqlite_schema", &tables, error);
    }
    if (r == 0) {
        r = query_number(sqlite, "PRAGMA user_version", ret_version, error);
    }
    if (r < 0) {
        return r;
    }
    if (application != APPLICATION_ID && (application != 0 || tables > 0)) {
        return error_set_field(error, -EUCLEAN, "storage_foreign", NULL,
                               "the database %s belongs to another program", sqlite->path);
    }
    if (*ret_version > (int64_t)ARRAY_LEN(migrations)) {
        return error_set_field(error, -ENOTSUP, "storage_newer", NULL,
                               "the database %s was written by a newer Weir (schema %d; this one "
                               "knows up to %zu)",
                               sqlite->path, (int)*ret_version, ARRAY_LEN(migrations));
    }
    return 0;
}

static int migrate(struct sqlite_store *sqlite, int64_t version, struct error *error)
{
    // Taking the write lock, even when there is nothing to do, claims the file for this process.
    int r = execute(sqlite, "BEGIN IMMEDIATE", error);
    for (; r == 0 && version < (int64_t)ARRAY_LEN(migrations); version++) {
        char note[96];
        snprintf(note, sizeof(note), "PRAGMA user_version = %d; PRAGMA application_id = %d",
                 (int)version + 1, APPLICATION_ID);
        r = execute(sqlite, migrations[version], error);
        if (r == 0) {
            r = execute(sqlite, note, error);
        }
    }
    return r == 0 ? execute(sqlite, "COMMIT", error) : r;
}

static int open_file(struct sqlite_store *sqlite, struct error *error)
{
    // Made here and not by SQLite, so that nobody else may read it whatever the umask is.
    cleanup(close_fd) int fd = open(sqlite->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int cause = errno;
        return error_set_field(error, -cause, "storage_unavailable", NULL,
                               "the database %s cannot be opened: %s", sqlite->path,
                               strerror(cause));
    }
    int code =
        sqlite3_open_v2(sqlite->path, &sqlite->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        return fail(sqlite, code, error);
    }
    sqlite3_busy_timeout(sqlite->db, BUSY_TIMEOUT_MS);
    return 0;
}

static int open_all(struct sqlite_store *sqlite, struct error *error)
{
    int64_t version = 0, revision = 0;
    int r = open_file(sqlite, error);
    if (r == 0) {
        r = execute(sqlite,
                    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                    "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;",
                    error);
    }
    if (r == 0) {
        r = check_owner(sqlite, &version, error);
    }
    if (r == 0) {
        r = check_integrity(sqlite, error);
    }
    if (r == 0) {
        r = migrate(sqlite, version, error);
    }
    for (size_t i = 0; i < SQL_COUNT && r == 0; i++) {
        int code = sqlite3_prepare_v3(sqlite->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &sqlite->prepared[i], NULL);
        r = code == SQLITE_OK ? 0 : fail(sqlite, code, error);
    }
    if (r == 0) {
        r = query_number(sqlite, "SELECT value FROM numbers WHERE name = 'revision'", &revision,
                         error);
    }
    if (r == 0) {
        sqlite->store.revision = (uint64_t)revision;
    }
    return r;
}

int store_open_sqlite(const char *path, struct loop *loop, struct store **ret_store,
                      struct error *error)
{
    struct sqlite_store *sqlite = calloc(1, sizeof(*sqlite));
    if (sqlite == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    store_init(&sqlite->store, &sqlite_engine, loop, 0);
    sqlite->path = str_copy(str_of(path));
    int r =
        sqlite->path != NULL ? open_all(sqlite, error) : error_set(error, -ENOMEM, "out of memory");
    if (r < 0) {
        store_close(&sqlite->store);
        return r;
    }
    *ret_store = &sqlite->store;
    return 0;
}
