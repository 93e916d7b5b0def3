// SPDX-License-Identifier: Apache-2.0
#include "control/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "control/keys.h"
#include "control/resolver.h"
#include "event/timer.h"

struct host {
    uint64_t id; // hash of the name
    struct hosts *hosts;
    struct resolver_query query;
    char name[254];
    uint64_t due_ms;
    bool wanted, running;
};

struct hosts {
    struct loop *loop;
    struct cluster *cluster;
    struct resolver *resolver;
    struct table table;
    struct timer timer;
};

static void timer_fired(struct timer *timer)
{
    hosts_update(CONTAINER_OF(timer, struct hosts, timer));
}

int hosts_new(struct loop *loop, struct cluster *cluster, struct hosts **ret_hosts,
              struct error *error)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));
    if (hosts == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    hosts->loop = loop;
    hosts->cluster = cluster;
    timer_init(&hosts->timer, timer_fired);
    int r = resolver_new(loop, &hosts->resolver, error);
    if (r < 0) {
        free(hosts);
        return r;
    }
    *ret_hosts = hosts;
    return 0;
}

static void remove_host(struct host *host)
{
    if (host->running) {
        resolver_cancel(&host->query);
    }
    table_remove(&host->hosts->table, host->id);
    free(host);
}

struct hosts *hosts_free(struct hosts *hosts)
{
    if (hosts == NULL) {
        return NULL;
    }
    timer_cancel(&hosts->timer);
    while (hosts->table.count > 0) {
        remove_host(hosts->table.items[0]);
    }
    table_clear(&hosts->table);
    resolver_free(hosts->resolver);
    free(hosts);
    return NULL;
}

// ── The store ────────────────────────────────────────────────────────────────────────────────

static const struct cluster_resolved *find_resolved(const struct hosts *hosts, const char *name)
{
    const struct cluster_resolved *found =
        table_find(&hosts->cluster->resolved, cluster_hash(name));
    return found != NULL && strcmp(found->resolved.host, name) == 0 ? found : NULL;
}

static void write_resolved(struct hosts *hosts, const struct resolved *resolved)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    char key[KEY_LEN];
    key_of_name(key, KEY_RESOLVED, resolved->host);
    struct error error = {0};
    int r = service_store_object(&transaction, key, &resolved_schema, resolved);
    if (r == 0) {
        r = store_commit(hosts->cluster->service->store, &transaction, NULL, &error);
    }
    if (r < 0) {
        cluster_log(hosts->cluster, true, "while keeping what %s resolved to: %s", resolved->host,
                    error.text);
    }
    arena_reset(&arena);
}

static void delete_resolved(struct hosts *hosts, const char *name)
{
    struct arena arena;
    arena_init(&arena, 1024);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    char key[KEY_LEN];
    store_delete(&transaction, key_of_name(key, KEY_RESOLVED, name));
    store_commit(hosts->cluster->service->store, &transaction, NULL, NULL); // else the next time
    arena_reset(&arena);
}

// ── Queries ──────────────────────────────────────────────────────────────────────────────────

static bool same_addresses(const struct resolved *known, const struct addr *addresses, size_t count)
{
    if (known->address_count != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!addr_equal(&known->addresses[i], &addresses[i])) {
            return false;
        }
    }
    return true;
}

static const char *error_text(int status)
{
    return status == -ENOENT      ? "no such name"
           : status == -ETIMEDOUT ? "the name servers do not answer"
                                  : "the name servers answer with failure";
}

static void tell_failure(struct hosts *hosts, const struct host *host, const char *why, bool kept)
{
    char what[224];
    snprintf(what, sizeof(what), "the target name %.160s does not resolve%s", host->name,
             kept ? "; its last addresses stay" : "");
    cluster_event(
        hosts->cluster,
        &(struct event){.kind = "target_unresolved", .object = "target", .what = what, .why = why});
}

static void query_done(struct resolver_query *query, int status, const struct addr *addresses,
                       size_t count)
{
    struct host *host = query->owner;
    struct hosts *hosts = host->hosts;
    host->running = false;
    host->due_ms = loop_now_ms(hosts->loop) + (status == 0 ? HOSTS_INTERVAL_MS : HOSTS_RETRY_MS);
    const struct cluster_resolved *known = find_resolved(hosts, host->name);
    struct clock *clock = hosts->cluster->service->clock;
    count = MIN(count, (size_t)RESOLVED_ADDRESSES_MAX);
    struct resolved resolved = {.host = host->name, .at = clock->wall_ms(clock), .error = ""};
    if (status == 0) {
        if (known == NULL || known->resolved.error[0] != '\0' ||
            !same_addresses(&known->resolved, addresses, count)) {
            resolved.addresses = (struct addr *)addresses;
            resolved.address_count = count;
            write_resolved(hosts, &resolved);
        }
    } else {
        resolved.error = error_text(status);
        if (known != NULL) {
            resolved.addresses = known->resolved.addresses;
            resolved.address_count = known->resolved.address_count;
            resolved.at = known->resolved.at;
        }
        if (known == NULL || strcmp(known->resolved.error, resolved.error) != 0) {
            tell_failure(hosts, host, resolved.error, resolved.address_count > 0);
            write_resolved(hosts, &resolved);
        }
    }
    timer_set(hosts->loop, &hosts->timer, 1000);
}

static void start_query(struct host *host, uint64_t now_ms)
{
    host->query.owner = host;
    host->running = resolver_start(host->hosts->resolver, &host->query, host->name,
                                   HOSTS_TIMEOUT_MS, query_done) == 0;
    if (!host->running) {
        host->due_ms = now_ms + HOSTS_RETRY_MS;
    }
}

static struct host *find_or_add(struct hosts *hosts, const char *name)
{
    uint64_t id = cluster_hash(name);
    struct host *host = table_find(&hosts->table, id);
    if (host == NULL) {
        host = calloc(1, sizeof(*host));
        if (host != NULL) {
            host->id = id;
            host->hosts = hosts;
            snprintf(host->name, sizeof(host->name), "%s", name);
            if (table_insert(&hosts->table, host) < 0) {
                free(host);
                return NULL;
            }
        }
    }
    return host;
}

void hosts_update(struct hosts *hosts)
{
    uint64_t now_ms = loop_now_ms(hosts->loop), next_ms = now_ms + HOSTS_INTERVAL_MS;
    TABLE_FOREACH (&hosts->table, struct host, host) {
        host->wanted = false;
    }
    TABLE_FOREACH (&hosts->cluster->groups, struct cluster_group, group) {
        for (size_t i = 0; i < group->group.target_count; i++) {
            const char *name = group->group.targets[i].address;
            struct addr addr;
            if (addr_parse_ip(str_of(name), &addr) == 0) {
                continue;
            }
            struct host *host = find_or_add(hosts, name);
            if (host == NULL) {
                continue;
            }
            host->wanted = true;
            if (!host->running && host->due_ms <= now_ms) {
                start_query(host, now_ms);
            }
            if (!host->running) {
                next_ms = MIN(next_ms, MAX(host->due_ms, now_ms + 1));
            }
        }
    }
    for (size_t i = hosts->table.count; i-- > 0;) {
        struct host *host = hosts->table.items[i];
        if (!host->wanted) {
            remove_host(host);
        }
    }
    for (size_t i = hosts->cluster->resolved.count; i-- > 0;) {
        const struct cluster_resolved *known = hosts->cluster->resolved.items[i];
        if (table_find(&hosts->table, known->record.id) == NULL) {
            delete_resolved(hosts, known->resolved.host);
        }
    }
    if (hosts->table.count > 0) {
        timer_set(hosts->loop, &hosts->timer, next_ms - now_ms);
    }
}
