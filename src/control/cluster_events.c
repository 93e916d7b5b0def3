// SPDX-License-Identifier: Apache-2.0
// Events wait in memory for the next transaction, so that they cost no disk flush of their own.
// Those of a decision are committed with it (they are gathered while its transaction is made):
// either both survive a kill -9 or none, and then the decision is made, and told, again.
#include <stdarg.h>

#include "control/cluster.h"
#include "control/keys.h"

void cluster_log(struct cluster *cluster, bool is_error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (cluster->ops.log != NULL) {
        cluster->ops.log(cluster->ops.owner, is_error, text);
    }
}

static void log_event(struct cluster *cluster, const struct event *event)
{
    cluster_log(cluster, false, "%s: %s%s%s", event->kind, event->what,
                event->why[0] != '\0' ? ": " : "", event->why);
}

void cluster_event(struct cluster *cluster, const struct event *event)
{
    if (cluster->event_count == CLUSTER_EVENTS_PENDING_MAX) {
        cluster->events_dropped++; // the store has refused for long; the log has them all
    } else {
        struct pending_event *pending = &cluster->events[cluster->event_count++];
        snprintf(pending->kind, sizeof(pending->kind), "%s", event->kind);
        snprintf(pending->object, sizeof(pending->object), "%s", event->object);
        snprintf(pending->what, sizeof(pending->what), "%s", event->what);
        snprintf(pending->why, sizeof(pending->why), "%s", event->why);
        pending->event = *event;
        pending->event.at = cluster->service->clock->wall_ms(cluster->service->clock);
    }
    if (cluster->event_flush_ms == 0) {
        cluster->event_flush_ms = clock_now_ms(cluster->service->clock) + CLUSTER_EVENTS_FLUSH_MS;
    }
    if (!cluster->deciding) {
        log_event(cluster, event);
    }
}

// A decision's events are logged once it is recorded, and forgotten when it could not be.
void cluster_events_decide(struct cluster *cluster)
{
    cluster->deciding = true;
    cluster->decided_from = cluster->event_count;
}

void cluster_events_decided(struct cluster *cluster, bool recorded)
{
    cluster->deciding = false;
    for (size_t i = cluster->decided_from; recorded && i < cluster->event_count; i++) {
        struct event event = cluster->events[i].event;
        event.kind = cluster->events[i].kind;
        event.what = cluster->events[i].what;
        event.why = cluster->events[i].why;
        log_event(cluster, &event);
    }
    if (!recorded) {
        cluster->event_count = MIN(cluster->event_count, cluster->decided_from);
    }
}

int cluster_events_gather(struct cluster *cluster, struct store_transaction *transaction,
                          size_t *ret_count)
{
    *ret_count = 0;
    if (cluster->event_count == 0) {
        return 0;
    }
    struct event *events = arena_array(transaction->arena, struct event, cluster->event_count);
    if (events == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < cluster->event_count; i++) {
        const struct pending_event *pending = &cluster->events[i];
        events[i] = pending->event;
        events[i].kind = pending->kind;
        events[i].object = pending->object;
        events[i].what = pending->what;
        events[i].why = pending->why;
    }
    int r = service_events_add(cluster->service, transaction, events, cluster->event_count, NULL);
    if (r == 0) {
        *ret_count = cluster->event_count;
        cluster->event_newest = events[cluster->event_count - 1].id;
    }
    return r;
}

void cluster_events_open(struct cluster *cluster)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct store_range range = {.prefix = KEY_EVENTS, .limit = 1};
    struct store_entries entries;
    if (store_list(cluster->service->store, &range, &arena, &entries, NULL) == 0 &&
        entries.count == 1) {
        cluster->event_oldest = strtoull(entries.items[0].key + strlen(KEY_EVENTS), NULL, 10);
    }
    arena_reset(&arena);
}

// Deletes the oldest, many at once, so that it costs next to nothing an event.
static void prune(struct cluster *cluster)
{
    if (cluster->event_oldest == 0) {
        cluster->event_oldest = 1;
    }
    if (cluster->event_newest <
        cluster->event_oldest + CLUSTER_EVENTS_KEPT + CLUSTER_EVENTS_PRUNE) {
        return;
    }
    struct arena arena;
    arena_init(&arena, 65536);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    for (uint64_t i = 0; i < CLUSTER_EVENTS_PRUNE; i++) {
        char key[KEY_LEN];
        store_delete(&transaction, key_of_id(key, KEY_EVENTS, cluster->event_oldest + i));
    }
    if (store_commit(cluster->service->store, &transaction, NULL, NULL) == 0) {
        cluster->event_oldest += CLUSTER_EVENTS_PRUNE;
    }
    arena_reset(&arena);
}

void cluster_events_written(struct cluster *cluster, size_t count)
{
    cluster->event_count -= count;
    memmove(cluster->events, cluster->events + count,
            cluster->event_count * sizeof(cluster->events[0]));
    if (cluster->event_count == 0) {
        cluster->event_flush_ms = 0;
    }
    cluster->told = true;
}

void cluster_events_flush(struct cluster *cluster, uint64_t now_ms)
{
    if (cluster->event_count == 0) {
        cluster->event_flush_ms = 0; // they were of a decision that could not be recorded
        return;
    }
    struct arena arena;
    arena_init(&arena, 16384);
    struct store_transaction transaction;
    store_begin(&transaction, &arena);
    struct error error = {0};
    size_t count;
    int r = cluster_events_gather(cluster, &transaction, &count);
    if (r == 0) {
        r = store_commit(cluster->service->store, &transaction, NULL, &error);
    }
    if (r == 0) {
        cluster_events_written(cluster, count);
        prune(cluster);
    } else {
        cluster->event_flush_ms = now_ms + 1000;
        if (r != -EAGAIN) {
            cluster_log(cluster, true, "events are not written: %s", error.text);
        }
    }
    arena_reset(&arena);
}
