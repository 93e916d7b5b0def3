// SPDX-License-Identifier: Apache-2.0
// One change of the store: gathered, committed, tried again when somebody else was faster.
#include <stdio.h>

#include "control/service_private.h"
#include "model/label.h"

void change_begin(struct change *change, struct service *service, struct arena *arena,
                  struct error *error)
{
    *change = (struct change){.service = service, .arena = arena, .error = error};
    change->now_ms = service->clock->wall_ms(service->clock);
    store_begin(&change->transaction, arena);
}

int change_take_ids(struct change *change, size_t count)
{
    int r = store_take_numbers(change->service->store, &change->transaction, KEY_ID_COUNTER, count,
                               &change->ids_next, change->error);
    change->ids_end = change->ids_next + count;
    return r;
}

uint64_t change_next_id(struct change *change)
{
    if (change->ids_next == change->ids_end) {
        abort(); // a mistake in counting: never hand out an id that another change may take
    }
    return change->ids_next++;
}

int change_add_event(struct change *change, const char *kind, const char *object,
                     uint64_t object_id, uint64_t project_id, uint64_t load_balancer_id,
                     const char *why, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct str what = arena_copy(change->arena, str_of(text));
    if (what.at == NULL || change->event_count == CHANGE_EVENTS_MAX) {
        return error_set(change->error, -ENOMEM, "out of memory");
    }
    change->events[change->event_count++] = (struct event){
        .kind = kind,
        .object = object,
        .object_id = object_id,
        .project_id = project_id,
        .load_balancer_id = load_balancer_id,
        .what = what.at,
        .why = why,
    };
    return 0;
}

int change_lock(struct change *change, const char *key)
{
    struct store_entry entry = {0};
    int r = store_get(change->service->store, key, change->arena, &entry, change->error);
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    store_expect(&change->transaction, key, entry.revision);
    store_put(&change->transaction, key, STR("1"));
    return 0;
}

int change_commit(struct change *change)
{
    const struct service_hooks *hooks = &change->service->hooks;
    int r = service_events_add(change->service, &change->transaction, change->events,
                               change->event_count, change->error);
    if (r == 0) {
        r = store_commit(change->service->store, &change->transaction, NULL, change->error);
    }
    for (size_t i = 0; i < change->event_count && r == 0 && hooks->event_added != NULL; i++) {
        hooks->event_added(hooks->owner, &change->events[i]);
    }
    return r;
}

int service_attempt(int (*attempt)(void *context), void *context, struct error *error)
{
    struct error unused = {0};
    error = error != NULL ? error : &unused;
    int r = -EAGAIN;
    for (int i = 0; i < ATTEMPTS_MAX && r == -EAGAIN; i++) {
        *error = (struct error){0};
        r = attempt(context);
    }
    return r;
}

bool ref_is_id(const char *ref, uint64_t *ret_id)
{
    return str_to_u64(str_of(ref), INT64_MAX, ret_id) == 0;
}

int find_by_label(struct service *service, const char *key, struct arena *arena, uint64_t *ret_id,
                  struct error *error)
{
    struct store_entry entry;
    int r = store_get(service->store, key, arena, &entry, error);
    if (r == 0 && str_to_u64(entry.value, INT64_MAX, ret_id) < 0) {
        r = error_set_field(error, -EUCLEAN, "storage_corrupt", NULL,
                            "the database's document %.100s is damaged", key);
    }
    return r;
}

int refuse_not_found(struct error *error, const char *kind, const char *ref)
{
    return error_set_field(error, -ENOENT, "not_found", NULL, "there is no %s \"%.80s\"", kind,
                           ref);
}

int check_if_match(uint64_t if_match, uint64_t generation, struct error *error)
{
    if (if_match == 0 || if_match == generation) {
        return 0;
    }
    return error_set_field(error, -ESTALE, "precondition_failed", NULL,
                           "the object has changed: its generation is %" PRIu64 ", not %" PRIu64,
                           generation, if_match);
}

int refuse_deleting(const struct project *project, struct error *error)
{
    return project->deleting ? error_set_field(error, -EBUSY, "deleting", NULL,
                                               "the project \"%s\" is being deleted", project->name)
                             : 0;
}

int objects_are_equal(const struct schema *schema, const void *a, const void *b, bool *ret_equal,
                      struct error *error)
{
    char *one = schema_print_text(schema, a), *two = schema_print_text(schema, b);
    int r = one != NULL && two != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");
    if (r == 0) {
        *ret_equal = strcmp(one, two) == 0;
    }
    free(one);
    free(two);
    return r;
}
