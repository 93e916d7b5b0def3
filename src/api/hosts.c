// SPDX-License-Identifier: Apache-2.0
// Host names in what users send: each must have an address before anything is created. Known names
// (another target group uses them already) cost nothing; what is found is kept beside the objects,
// where the reconciler takes and refreshes it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "control/keys.h"

enum { RESOLVE_MS = 5000 };

struct lookup {
    struct resolver_query query;
    struct call *call;
    struct addr addresses[RESOLVED_ADDRESSES_MAX];
    size_t count;
    int status;
};

static bool is_known(struct call *call, const char *host)
{
    char key[KEY_LEN];
    struct resolved resolved;
    int r = service_load_one(call->api->service, key_of_name(key, KEY_RESOLVED, host),
                             &resolved_schema, &call->arena, &resolved, NULL, NULL);
    return r == 0 && resolved.address_count > 0;
}

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int refuse_host(struct call *call, const struct lookup *lookup)
{
    const char *why = lookup->status == -ENOENT      ? "there is no such name, or it has no address"
                      : lookup->status == -ETIMEDOUT ? "the name servers did not answer in time"
                                                     : "the name servers failed";
    return error_set_field(&call->error, -EINVAL, "target_not_resolved", call->lookup_field,
                           "the host name \"%.80s\" does not resolve: %s", lookup->query.host, why);
}

static void resolved(struct resolver_query *query, int status, const struct addr *addresses,
                     size_t count)
{
    struct lookup *lookup = CONTAINER_OF(query, struct lookup, query);
    struct call *call = lookup->call;
    lookup->status = status;
    lookup->count = MIN(count, (size_t)RESOLVED_ADDRESSES_MAX);
    if (count > 0) {
        memcpy(lookup->addresses, addresses, lookup->count * sizeof(*addresses));
    }
    if (--call->lookups_open > 0) {
        return;
    }
    for (size_t i = 0; i < call->lookup_count; i++) {
        if (call->lookups[i].status < 0) {
            call_continue(call, refuse_host(call, &call->lookups[i]));
            return;
        }
    }
    call_continue(call, call->then(call));
}

int resolve_hosts(struct call *call, const char *const *hosts, size_t count, const char *field,
                  int (*then)(struct call *call))
{
    struct resolver *resolver = call->api->options.resolver;
    const char **sorted = arena_array(&call->arena, const char *, MAX(count, (size_t)1));
    size_t unknown = 0;
    if (sorted == NULL) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    call->then = then;
    call->lookup_field = field;
    memcpy(sorted, hosts, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_hosts);
    for (size_t i = 0; i < count; i++) {
        bool twice = unknown > 0 && strcmp(sorted[i], sorted[unknown - 1]) == 0;
        if (!twice && !is_known(call, sorted[i])) {
            sorted[unknown++] = sorted[i];
        }
    }
    if (unknown == 0 || resolver == NULL) {
        return then(call);
    }
    call->lookups = calloc(unknown, sizeof(*call->lookups));
    if (call->lookups == NULL) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    call->lookup_count = unknown;
    for (size_t i = 0; i < unknown; i++) {
        struct lookup *lookup = &call->lookups[i];
        lookup->call = call;
        int r = resolver_start(resolver, &lookup->query, sorted[i], RESOLVE_MS, resolved);
        if (r < 0) {
            return error_set(&call->error, r, "out of memory");
        }
        call->lookups_open++;
    }
    return API_WAIT;
}

int resolve_hosts_of_targets(struct call *call, const json_t *targets,
                             int (*then)(struct call *call))
{
    size_t count = 0, i;
    const char **hosts =
        arena_array(&call->arena, const char *, MAX(json_array_size(targets), (size_t)1));
    if (hosts == NULL) {
        return error_set(&call->error, -ENOMEM, "out of memory");
    }
    json_t *target;
    json_array_foreach(targets, i, target)
    {
        const char *address = json_string_value(json_object_get(target, "address"));
        struct addr addr;
        // The body outlives the lookups.
        if (address != NULL && addr_parse_ip(str_of(address), &addr) < 0 &&
            host_name_is_valid(str_of(address)) && i < TARGETS_MAX) {
            hosts[count++] = address;
        }
    }
    return resolve_hosts(call, hosts, count, "targets", then);
}

void resolve_keep(struct call *call)
{
    struct service *service = call->api->service;
    struct store_transaction transaction;
    if (call->lookup_count == 0) {
        return;
    }
    store_begin(&transaction, &call->arena);
    for (size_t i = 0; i < call->lookup_count; i++) {
        struct lookup *lookup = &call->lookups[i];
        char key[KEY_LEN];
        struct resolved known = {.host = lookup->query.host,
                                 .addresses = lookup->addresses,
                                 .address_count = lookup->count,
                                 .at = service->clock->wall_ms(service->clock),
                                 .error = ""};
        service_store_object(&transaction, key_of_name(key, KEY_RESOLVED, known.host),
                             &resolved_schema, &known);
    }
    // A failure costs nothing but time: the reconciler resolves what it does not find.
    store_commit(service->store, &transaction, NULL, NULL);
}

void resolve_cancel(struct call *call)
{
    for (size_t i = 0; i < call->lookup_count; i++) {
        if (call->lookups[i].query.resolver != NULL) {
            resolver_cancel(&call->lookups[i].query);
        }
    }
    free(call->lookups);
    call->lookups = NULL;
    call->lookup_count = 0;
}
