// SPDX-License-Identifier: Apache-2.0
// c-ares on the loop. Its sockets become watches, its timeouts one timer. An answer never reaches
// `done` from inside a call of ours: c-ares may call back at once, so answers are noted in the
// lookup and told by a deferred task.
//
// A lookup is ours, on the heap, and outlives a query that is cancelled: c-ares cannot cancel one
// name alone, so it finds an empty query then and is thrown away.
#include "control/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "model/target_group.h"

enum { TRY_TIMEOUT_MS = 1500, TRIES = 2 };

struct socket_watch {
    struct list link;
    struct watch watch;
    struct resolver *resolver;
};

struct lookup {
    struct list link;
    struct task task;
    struct resolver *resolver;
    struct resolver_query *query; // NULL: cancelled
    bool answered;                // c-ares has let go of it
    int status;
    struct addr addresses[RESOLVED_ADDRESSES_MAX];
    size_t count;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct timer timer;
    struct list sockets, lookups;
    bool closing;
};

// ── c-ares and the loop ──────────────────────────────────────────────────────────────────────

static void arm_timer(struct resolver *resolver)
{
    struct timeval room, *next = ares_timeout(resolver->channel, NULL, &room);
    if (next == NULL) {
        timer_cancel(&resolver->timer);
        return;
    }
    uint64_t after_ms = (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1;
    timer_set(resolver->loop, &resolver->timer, after_ms);
}

static void timer_fired(struct timer *timer)
{
    struct resolver *resolver = CONTAINER_OF(timer, struct resolver, timer);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static void socket_ready(struct watch *watch, unsigned events)
{
    struct socket_watch *own = CONTAINER_OF(watch, struct socket_watch, watch);
    struct resolver *resolver = own->resolver;
    int fd = watch->fd;
    // The watch may be closed and freed inside.
    ares_process_fd(resolver->channel, (events & WATCH_READ) != 0 ? fd : ARES_SOCKET_BAD,
                    (events & WATCH_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static struct socket_watch *find_socket(struct resolver *resolver, int fd)
{
    LIST_FOREACH (&resolver->sockets, link) {
        struct socket_watch *own = CONTAINER_OF(link, struct socket_watch, link);
        if (own->watch.fd == fd) {
            return own;
        }
    }
    return NULL;
}

static void socket_changed(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = data;
    struct socket_watch *own = find_socket(resolver, fd);
    unsigned events = (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u);
    if (events == 0) {
        if (own != NULL) {
            watch_close(&own->watch);
            list_remove(&own->link);
            free(own);
        }
        return;
    }
    if (own != NULL) {
        watch_change(&own->watch, events);
        return;
    }
    own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return; // the try times out
    }
    own->resolver = resolver;
    if (watch_open(&own->watch, resolver->loop, fd, events, socket_ready) < 0) {
        free(own);
        return;
    }
    list_append(&resolver->sockets, &own->link);
}

int resolver_new(struct loop *loop, struct resolver **ret_resolver, struct error *error)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        free(resolver);
        return error_set(error, -ENOMEM, "out of memory");
    }
    resolver->loop = loop;
    list_init(&resolver->sockets);
    list_init(&resolver->lookups);
    timer_init(&resolver->timer, timer_fired);
    struct ares_options options = {.timeout = TRY_TIMEOUT_MS,
                                   .tries = TRIES,
                                   .sock_state_cb = socket_changed,
                                   .sock_state_cb_data = resolver};
    int status = ares_init_options(&resolver->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        ares_library_cleanup();
        free(resolver);
        return error_set(error, status == ARES_ENOMEM ? -ENOMEM : -EIO,
                         "the resolver cannot start: %s", ares_strerror(status));
    }
    *ret_resolver = resolver;
    return 0;
}

int resolver_set_servers(struct resolver *resolver, const char *servers)
{
    return ares_set_servers_ports_csv(resolver->channel, servers) == ARES_SUCCESS ? 0 : -EINVAL;
}

static void lookup_free(struct lookup *lookup)
{
    task_cancel(&lookup->task);
    list_remove(&lookup->link);
    free(lookup);
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return NULL;
    }
    resolver->closing = true;
    LIST_FOREACH (&resolver->lookups, link) {
        struct lookup *lookup = CONTAINER_OF(link, struct lookup, link);
        if (lookup->query != NULL) {
            resolver_cancel(lookup->query);
        }
    }
    ares_destroy(resolver->channel); // calls back for what still runs
    LIST_FOREACH (&resolver->lookups, link) {
        lookup_free(CONTAINER_OF(link, struct lookup, link));
    }
    timer_cancel(&resolver->timer);
    ares_library_cleanup();
    free(resolver);
    return NULL;
}

// ── Lookups ──────────────────────────────────────────────────────────────────────────────────

static int compare_addresses(const void *a, const void *b)
{
    const struct addr *x = a, *y = b;
    return x->family != y->family ? x->family - y->family : memcmp(x->ip, y->ip, sizeof(x->ip));
}

static void note_addresses(struct lookup *lookup, const struct ares_addrinfo *found)
{
    for (const struct ares_addrinfo_node *node = found->nodes;
         node != NULL && lookup->count < RESOLVED_ADDRESSES_MAX; node = node->ai_next) {
        struct addr addr;
        if (addr_from_sockaddr(node->ai_addr, &addr) == 0 && addr_is_usable_target(&addr)) {
            addr.port = 0;
            lookup->addresses[lookup->count++] = addr;
        }
    }
    if (lookup->count == 0) {
        return;
    }
    qsort(lookup->addresses, lookup->count, sizeof(struct addr), compare_addresses);
    size_t kept = 1;
    for (size_t i = 1; i < lookup->count; i++) {
        if (!addr_equal(&lookup->addresses[i], &lookup->addresses[kept - 1])) {
            lookup->addresses[kept++] = lookup->addresses[i];
        }
    }
    lookup->count = kept;
}

static int status_of(int ares_status, size_t count)
{
    switch (ares_status) {
    case ARES_SUCCESS:
        return count > 0 ? 0 : -ENOENT;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

// c-ares's last word about this lookup.
static void lookup_done(void *data, int status, int timeouts, struct ares_addrinfo *found)
{
    struct lookup *lookup = data;
    lookup->answered = true;
    if (status == ARES_SUCCESS && found != NULL) {
        note_addresses(lookup, found);
    }
    ares_freeaddrinfo(found);
    lookup->status = status_of(status, lookup->count);
    if (!lookup->resolver->closing) {
        loop_defer(lookup->resolver->loop, &lookup->task);
    }
}

static void lookup_tell(struct task *task)
{
    struct lookup *lookup = CONTAINER_OF(task, struct lookup, task);
    struct resolver_query *query = lookup->query;
    struct addr addresses[RESOLVED_ADDRESSES_MAX];
    size_t count = lookup->count;
    int status = lookup->status;
    memcpy(addresses, lookup->addresses, sizeof(addresses));
    lookup_free(lookup);
    if (query != NULL) {
        timer_cancel(&query->deadline);
        query->lookup = NULL;
        query->done(query, status, addresses, count);
    }
}

static void deadline_fired(struct timer *timer)
{
    struct resolver_query *query = CONTAINER_OF(timer, struct resolver_query, deadline);
    resolver_cancel(query);
    query->done(query, -ETIMEDOUT, NULL, 0);
}

int resolver_start(struct resolver *resolver, struct resolver_query *query, const char *host,
                   uint64_t timeout_ms,
                   void (*done)(struct resolver_query *query, int status,
                                const struct addr *addresses, size_t count))
{
    if (strlen(host) >= sizeof(query->host)) {
        return -ENAMETOOLONG;
    }
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        return -ENOMEM;
    }
    lookup->resolver = resolver;
    lookup->query = query;
    task_init(&lookup->task, lookup_tell);
    list_append(&resolver->lookups, &lookup->link);
    query->resolver = resolver;
    query->lookup = lookup;
    query->done = done;
    snprintf(query->host, sizeof(query->host), "%s", host);
    timer_init(&query->deadline, deadline_fired);
    timer_set(resolver->loop, &query->deadline, timeout_ms);
    // Project networks are IPv4: a unit could not reach what an AAAA record names.
    struct ares_addrinfo_hints hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(resolver->channel, query->host, NULL, &hints, lookup_done, lookup);
    arm_timer(resolver);
    return 0;
}

void resolver_cancel(struct resolver_query *query)
{
    timer_cancel(&query->deadline);
    if (query->lookup != NULL) {
        query->lookup->query = NULL;
        query->lookup = NULL;
    }
}
