// SPDX-License-Identifier: Apache-2.0
#include "dns/zone.h"

#include "base/arena.h"

// Entries are sorted by their wire form, so a question costs one binary search.
struct zone {
    struct arena arena;
    struct zone_entry *entries;
    size_t entry_count;
    struct zone_entry *apex, *server;
    uint32_t serial;
};

// Appends the labels of text; at is where to write. Returns the new length or -EINVAL.
static int wire_append(uint8_t *wire, int at, struct str text)
{
    while (text.len > 0) {
        const char *dot = memchr(text.at, '.', text.len);
        size_t len = dot != NULL ? (size_t)(dot - text.at) : text.len;
        if (len == 0 || len > 63 || at + 1 + (int)len >= DNS_NAME_MAX) {
            return -EINVAL;
        }
        wire[at++] = (uint8_t)len;
        for (size_t i = 0; i < len; i++) {
            char c = ascii_lower(text.at[i]);
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
                return -EINVAL;
            }
            wire[at++] = (uint8_t)c;
        }
        size_t used = dot != NULL ? len + 1 : len;
        if (dot != NULL && used == text.len) {
            return -EINVAL; // ends in a dot: an empty label
        }
        text = (struct str){text.at + used, text.len - used};
    }
    return at;
}

int dns_name_to_wire(struct str name, struct str origin, uint8_t ret_wire[static DNS_NAME_MAX])
{
    int at = wire_append(ret_wire, 0, name);
    if (at >= 0) {
        at = wire_append(ret_wire, at, origin);
    }
    if (at < 0) {
        return at;
    }
    ret_wire[at] = 0;
    return at + 1;
}

static int wire_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, MIN(a_len, b_len));
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int entry_compare(const void *a, const void *b)
{
    const struct zone_entry *left = a, *right = b;
    int order = wire_compare(left->wire, left->wire_len, right->wire, right->wire_len);
    // Names that carry addresses sort before the empty copies made for what lies below them.
    return order != 0 ? order : (left->addresses == NULL) - (right->addresses == NULL);
}

static int entry_add(struct zone *zone, struct str name, struct str origin,
                     const struct addr *addresses, size_t count, bool named)
{
    uint8_t wire[DNS_NAME_MAX];
    int len = dns_name_to_wire(name, origin, wire);
    if (len < 0 || count > UINT16_MAX) {
        return -EINVAL;
    }
    struct str copy = arena_copy(&zone->arena, (struct str){(char *)wire, (size_t)len});
    struct zone_entry entry = {.wire = (const uint8_t *)copy.at, .wire_len = copy.len};
    if (copy.at == NULL) {
        return -ENOMEM;
    }
    if (named) {
        // One more than needed, so that a name without addresses still has an array: see above.
        entry.addresses = arena_array(&zone->arena, struct addr, count + 1);
        if (entry.addresses == NULL) {
            return -ENOMEM;
        }
    }
    for (int family = 4; family <= 6; family += 2) {
        for (size_t i = 0; i < count; i++) {
            if (addresses[i].family == family) {
                entry.addresses[entry.v4_count + entry.v6_count] = addresses[i];
                entry.v4_count += family == 4;
                entry.v6_count += family == 6;
            }
        }
    }
    zone->entries[zone->entry_count++] = entry;
    return 0;
}

static size_t label_count(struct str name)
{
    size_t count = name.len > 0;
    for (size_t i = 0; i < name.len; i++) {
        count += name.at[i] == '.';
    }
    return count;
}

// Sorts, and folds equal names: an empty one into a named one; two named ones are an error.
static int entries_settle(struct zone *zone, struct error *error)
{
    qsort(zone->entries, zone->entry_count, sizeof(*zone->entries), entry_compare);
    size_t kept = 0;
    for (size_t i = 0; i < zone->entry_count; i++) {
        struct zone_entry *entry = &zone->entries[i];
        struct zone_entry *last = kept > 0 ? &zone->entries[kept - 1] : NULL;
        if (last != NULL &&
            wire_compare(last->wire, last->wire_len, entry->wire, entry->wire_len) == 0) {
            if (entry->addresses != NULL) {
                return error_set(error, -EEXIST, "a name comes twice in the zone");
            }
            continue;
        }
        zone->entries[kept++] = *entry;
    }
    zone->entry_count = kept;
    return 0;
}

static int zone_fill(struct zone *zone, const struct zone_source *source, struct error *error)
{
    size_t most = 2;
    for (size_t i = 0; i < source->name_count; i++) {
        most += label_count(source->names[i].name);
    }
    zone->entries = arena_array(&zone->arena, struct zone_entry, most);
    if (zone->entries == NULL) {
        return -ENOMEM;
    }
    int status = entry_add(zone, STR(""), source->origin, NULL, 0, true);
    if (status >= 0) {
        status = entry_add(zone, STR("ns1"), source->origin, source->server_addresses,
                           source->server_address_count, true);
    }
    if (status < 0) {
        return error_set(error, status, "'%.*s' is not a zone name", STR_ARG(source->origin));
    }
    for (size_t i = 0; i < source->name_count; i++) {
        struct str name = source->names[i].name;
        if (name.len == 0) {
            return error_set(error, -EINVAL, "an empty name cannot be in the zone");
        }
        status = entry_add(zone, name, source->origin, source->names[i].addresses,
                           source->names[i].address_count, true);
        const char *dot;
        while (status >= 0 && (dot = memchr(name.at, '.', name.len)) != NULL) {
            name.len -= (size_t)(dot + 1 - name.at);
            name.at = dot + 1;
            status = entry_add(zone, name, source->origin, NULL, 0, false);
        }
        if (status < 0) {
            return error_set(error, status, "'%.*s' is not a name for the zone",
                             STR_ARG(source->names[i].name));
        }
    }
    return entries_settle(zone, error);
}

int zone_build(const struct zone_source *source, struct zone **ret_zone, struct error *error)
{
    struct zone *zone = calloc(1, sizeof(*zone));
    if (zone == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    arena_init(&zone->arena, 4096);
    zone->serial = source->serial;
    int status = zone_fill(zone, source, error);
    if (status < 0) {
        zone_free(zone);
        return error_set(error, status, "out of memory");
    }
    uint8_t wire[DNS_NAME_MAX];
    const struct zone_entry *found;
    int len = dns_name_to_wire(STR(""), source->origin, wire);
    for (size_t i = 0; i < zone->entry_count; i++) {
        if (zone->entries[i].wire_len == (size_t)len &&
            memcmp(zone->entries[i].wire, wire, (size_t)len) == 0) {
            zone->apex = &zone->entries[i];
        }
    }
    len = dns_name_to_wire(STR("ns1"), source->origin, wire);
    zone_find(zone, wire, (size_t)len, &found);
    zone->server = (struct zone_entry *)found;
    *ret_zone = zone;
    return 0;
}

struct zone *zone_free(struct zone *zone)
{
    if (zone != NULL) {
        arena_reset(&zone->arena);
        free(zone);
    }
    return NULL;
}

// True when the name is the apex or ends in it at a label's border.
static bool is_inside(const struct zone_entry *apex, const uint8_t *wire, size_t len)
{
    size_t at = 0;
    while (len - at > apex->wire_len && wire[at] != 0) {
        at += 1u + wire[at];
        if (at >= len) {
            return false;
        }
    }
    return len - at == apex->wire_len && memcmp(wire + at, apex->wire, apex->wire_len) == 0;
}

enum zone_match zone_find(const struct zone *zone, const uint8_t *wire, size_t wire_len,
                          const struct zone_entry **ret_entry)
{
    uint8_t lower[DNS_NAME_MAX];
    if (wire_len == 0 || wire_len > sizeof(lower)) {
        return ZONE_OUTSIDE;
    }
    // A length byte is ≤ 63, below 'A', so lowering the whole name changes letters only.
    for (size_t i = 0; i < wire_len; i++) {
        lower[i] = (uint8_t)ascii_lower((char)wire[i]);
    }
    if (!is_inside(zone->apex, lower, wire_len)) {
        return ZONE_OUTSIDE;
    }
    size_t low = 0, high = zone->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct zone_entry *entry = &zone->entries[middle];
        int order = wire_compare(lower, wire_len, entry->wire, entry->wire_len);
        if (order == 0) {
            *ret_entry = entry;
            return ZONE_FOUND;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return ZONE_NO_NAME;
}

const struct zone_entry *zone_apex(const struct zone *zone)
{
    return zone->apex;
}

const struct zone_entry *zone_server(const struct zone *zone)
{
    return zone->server;
}

uint32_t zone_serial(const struct zone *zone)
{
    return zone->serial;
}
