// SPDX-License-Identifier: Apache-2.0
#include "control/service.h"

#include <stdio.h>

#include "control/service_private.h"

// ── Objects in the store ─────────────────────────────────────────────────────────────────────

static int parse_stored(const struct store_entry *entry, const struct schema *schema,
                        struct arena *arena, void *object, struct error *error)
{
    struct error why = {0};
    int r = schema_parse_text(schema, entry->value, arena, object, &why);
    if (r < 0 && r != -ENOMEM) {
        return error_set_field(error, -EUCLEAN, "storage_corrupt", NULL,
                               "the database's document %.60s is damaged: %.120s", entry->key,
                               why.text);
    }
    return r < 0 ? error_set(error, r, "out of memory") : 0;
}

int service_load_one(struct service *service, const char *key, const struct schema *schema,
                     struct arena *arena, void *object, uint64_t *ret_revision, struct error *error)
{
    struct store_entry entry;
    int r = store_get(service->store, key, arena, &entry, error);
    if (r == 0) {
        r = parse_stored(&entry, schema, arena, object, error);
    }
    if (r == 0 && ret_revision != NULL) {
        *ret_revision = entry.revision;
    }
    return r;
}

static int parse_all(const struct store_entries *entries, const struct schema *schema,
                     struct arena *arena, void **ret_items, size_t *ret_count, struct error *error)
{
    char *items = arena_alloc_array(arena, schema->size, MAX(entries->count, (size_t)1));
    if (items == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < entries->count; i++) {
        int r = parse_stored(&entries->items[i], schema, arena, items + i * schema->size, error);
        if (r < 0) {
            return r;
        }
    }
    *ret_items = items;
    *ret_count = entries->count;
    return 0;
}

int service_load_all(struct service *service, const char *prefix, const struct schema *schema,
                     struct arena *arena, void **ret_items, size_t *ret_count, struct error *error)
{
    struct store_range range = {.prefix = prefix};
    struct store_entries entries;
    int r = store_list(service->store, &range, arena, &entries, error);
    return r < 0 ? r : parse_all(&entries, schema, arena, ret_items, ret_count, error);
}

int service_store_object(struct store_transaction *transaction, const char *key,
                         const struct schema *schema, const void *object)
{
    char *text = schema_print_text(schema, object);
    if (text == NULL) {
        transaction->failed = true;
        return -ENOMEM;
    }
    store_put(transaction, key, str_of(text));
    free(text);
    return 0;
}

int service_unit_list(struct service *service, struct arena *arena, struct unit **ret_units,
                      size_t *ret_count, struct error *error)
{
    return service_load_all(service, KEY_UNITS, &unit_schema, arena, (void **)ret_units, ret_count,
                            error);
}

// ── Events ───────────────────────────────────────────────────────────────────────────────────

int service_events_add(struct service *service, struct store_transaction *transaction,
                       struct event *events, size_t count, struct error *error)
{
    uint64_t id = 0;
    int r = count > 0 ? store_take_numbers(service->store, transaction, KEY_EVENT_COUNTER, count,
                                           &id, error)
                      : 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        char key[KEY_LEN];
        events[i].id = id + i;
        events[i].at = events[i].at != 0 ? events[i].at : service->clock->wall_ms(service->clock);
        r = service_store_object(transaction, key_of_id(key, KEY_EVENTS, events[i].id),
                                 &event_schema, &events[i]);
    }
    return r;
}

static bool event_matches(const struct event *event, const struct service_event_filter *filter)
{
    return event->id > filter->after &&
           (filter->project_id == 0 || event->project_id == filter->project_id) &&
           (filter->load_balancer_id == 0 || event->load_balancer_id == filter->load_balancer_id);
}

// Reads page by page, so that a filter that matches little does not need all events in memory
// twice.
int service_event_list(struct service *service, const struct service_event_filter *filter,
                       struct arena *arena, struct event **ret_events, size_t *ret_count,
                       struct error *error)
{
    enum { PAGE = 500 };
    size_t limit = MIN(filter->limit > 0 ? filter->limit : 100, (size_t)1000), count = 0;
    struct event *found = arena_array(arena, struct event, limit);
    if (found == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    char after[KEY_LEN];
    struct store_range range = {
        .prefix = KEY_EVENTS, .limit = PAGE, .newest_first = filter->newest};
    if (!filter->newest) {
        range.after = key_of_id(after, KEY_EVENTS, filter->after);
    }
    bool more = true;
    while (more && count < limit) {
        struct store_entries entries;
        void *items;
        size_t n;
        int r = store_list(service->store, &range, arena, &entries, error);
        if (r == 0) {
            r = parse_all(&entries, &event_schema, arena, &items, &n, error);
        }
        if (r < 0) {
            return r;
        }
        const struct event *events = items;
        for (size_t i = 0; i < n && count < limit; i++) {
            more = !filter->newest || events[i].id > filter->after;
            if (event_matches(&events[i], filter)) {
                found[count++] = events[i];
            }
        }
        more = more && n == PAGE;
        range.after = n > 0 ? key_of_id(after, KEY_EVENTS, events[n - 1].id) : range.after;
    }
    for (size_t i = 0; filter->newest && i < count / 2; i++) {
        struct event swap = found[i];
        found[i] = found[count - 1 - i];
        found[count - 1 - i] = swap;
    }
    *ret_events = found;
    *ret_count = count;
    return 0;
}
