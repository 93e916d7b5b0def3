// SPDX-License-Identifier: Apache-2.0
// What is recorded: read from the store by revisions.
#include "control/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "control/keys.h"

// ── Marks ────────────────────────────────────────────────────────────────────────────────────

void cluster_mark(struct cluster *cluster, struct cluster_balancer *balancer)
{
    if (list_empty(&balancer->dirty)) {
        list_append(&cluster->dirty, &balancer->dirty);
    }
}

void cluster_mark_node(struct cluster_node *node)
{
    node->dirty = true;
}

void cluster_mark_all_nodes(struct cluster *cluster)
{
    LIST_FOREACH (&cluster->nodes, link) {
        cluster_mark_node(CONTAINER_OF(link, struct cluster_node, link));
    }
}

static void mark_nodes_of(struct cluster *cluster, const struct cluster_balancer *balancer)
{
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.load_balancer_id == balancer->record.id) {
            cluster_mark_node(unit->node);
        }
    }
}

// ── Kinds of records ─────────────────────────────────────────────────────────────────────────

struct kind {
    const char *prefix;
    const struct schema *schema;
    size_t size, object; // of the struct; of the object in it
    size_t table;        // offset in struct cluster
    void (*changed)(struct cluster *cluster, void *item, bool is_new);
    void (*removed)(struct cluster *cluster, void *item);
};

static void project_changed(struct cluster *cluster, void *item, bool is_new)
{
    struct cluster_project *project = item;
    cluster->projects_deleting |= project->project.deleting;
    cluster->names_changed = true;
    cluster_mark_all_nodes(cluster);
}

static void project_removed(struct cluster *cluster, void *item)
{
    cluster->names_changed = true;
    cluster_mark_all_nodes(cluster);
}

static bool balancer_uses_group(const struct load_balancer *balancer, uint64_t group_id)
{
    for (size_t i = 0; i < balancer->listener_count; i++) {
        if (balancer->listeners[i].target_group_id == group_id) {
            return true;
        }
    }
    return false;
}

static void group_removed(struct cluster *cluster, void *item)
{
    struct cluster_group *group = item;
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        if (balancer_uses_group(&balancer->balancer, group->record.id)) {
            mark_nodes_of(cluster, balancer);
        }
    }
    cluster->told = true;
}

static void group_changed(struct cluster *cluster, void *item, bool is_new)
{
    struct cluster_group *group = item;
    group->has_names = false;
    for (size_t i = 0; i < group->group.target_count && !group->has_names; i++) {
        struct addr addr;
        group->has_names = addr_parse_ip(str_of(group->group.targets[i].address), &addr) < 0;
    }
    group_removed(cluster, item);
}

static void resolved_removed(struct cluster *cluster, void *item)
{
    struct cluster_resolved *resolved = item;
    TABLE_FOREACH (&cluster->groups, struct cluster_group, group) {
        for (size_t i = 0; i < group->group.target_count; i++) {
            if (strcmp(group->group.targets[i].address, resolved->resolved.host) == 0) {
                group_removed(cluster, group);
                break;
            }
        }
    }
}

static void resolved_changed(struct cluster *cluster, void *item, bool is_new)
{
    resolved_removed(cluster, item);
}

static void balancer_changed(struct cluster *cluster, void *item, bool is_new)
{
    struct cluster_balancer *balancer = item;
    if (is_new) {
        list_init(&balancer->dirty);
        balancer->check_ms = UINT64_MAX;
    }
    cluster->names_changed = true;
    cluster_mark(cluster, balancer);
    mark_nodes_of(cluster, balancer);
}

static void balancer_removed(struct cluster *cluster, void *item)
{
    struct cluster_balancer *balancer = item;
    list_remove(&balancer->dirty);
    mark_nodes_of(cluster, balancer);
    cluster->names_changed = true;
    cluster->projects_deleting = true; // its project may have waited for it
    cluster->told = true;
}

static void unit_changed(struct cluster *cluster, void *item, bool is_new)
{
    struct cluster_unit *unit = item;
    struct clock *clock = cluster->service->clock;
    if (is_new) {
        uint64_t now_ms = clock_now_ms(clock), wall_ms = clock->wall_ms(clock);
        uint64_t age_ms = wall_ms > unit->unit.state_at ? wall_ms - unit->unit.state_at : 0;
        unit->state_at_ms = now_ms - MIN(age_ms, now_ms);
        unit->evidence_at_ms = now_ms;
        unit->failed_at_ms = unit->unit.state == UNIT_FAILED ? unit->state_at_ms : 0;
        unit->node = cluster_find_node(cluster, unit->unit.node);
        if (unit->node == NULL) {
            unit->node = cluster_add_node(cluster, unit->unit.node);
        }
    }
    if (unit->node != NULL) {
        unit->unit.node = unit->node->name;
    }
    // Of all that a record says, a node's document has no more than these two.
    bool desired = unit->unit.state != UNIT_DELETING, draining = unit->unit.state == UNIT_DRAINING;
    if (unit->node != NULL &&
        (is_new || desired != unit->was_desired || draining != unit->was_draining)) {
        cluster_mark_node(unit->node);
    }
    unit->was_desired = desired;
    unit->was_draining = draining;
}

static void unit_removed(struct cluster *cluster, void *item)
{
    struct cluster_unit *unit = item;
    free(unit->snapshot);
    free(unit->desired);
    if (unit->node != NULL) {
        cluster_mark_node(unit->node);
    }
    cluster->projects_deleting = true;
}

int cluster_adopt_unit(struct cluster *cluster, struct cluster_unit *unit, const struct unit *as,
                       uint64_t revision)
{
    bool is_new = unit->record.revision == 0;
    struct arena arena;
    arena_init(&arena, 512);
    struct unit copy = *as;
    copy.reason = arena_copy(&arena, str_of(as->reason)).at;
    if (copy.reason == NULL || (is_new && table_insert(&cluster->units, unit) < 0)) {
        arena_reset(&arena);
        return -ENOMEM;
    }
    if (!is_new && copy.state != unit->unit.state) {
        unit->state_at_ms = clock_now_ms(cluster->service->clock);
    }
    arena_reset(&unit->record.arena);
    unit->record.arena = arena;
    unit->record.revision = revision;
    unit->unit = copy;
    unit_changed(cluster, unit, is_new);
    return 0;
}

#define KIND(key_prefix, type, member, kind_schema, table_member, name)                           \
    {                                                                                             \
        .prefix = (key_prefix), .schema = &(kind_schema), .size = sizeof(struct type),            \
        .object = offsetof(struct type, member), .table = offsetof(struct cluster, table_member), \
        .changed = name##_changed, .removed = name##_removed                                      \
    }

static const struct kind kinds[] = {
    KIND(KEY_PROJECTS, cluster_project, project, project_schema, projects, project),
    KIND(KEY_RESOLVED, cluster_resolved, resolved, resolved_schema, resolved, resolved),
    KIND(KEY_TARGET_GROUPS, cluster_group, group, target_group_schema, groups, group),
    KIND(KEY_LOAD_BALANCERS, cluster_balancer, balancer, load_balancer_schema, balancers, balancer),
    KIND(KEY_UNITS, cluster_unit, unit, unit_schema, units, unit),
};

static struct table *table_of(struct cluster *cluster, const struct kind *kind)
{
    return (struct table *)((char *)cluster + kind->table);
}

static void remove_record(struct cluster *cluster, const struct kind *kind, struct record *record)
{
    table_remove(table_of(cluster, kind), record->id);
    kind->removed(cluster, record);
    arena_reset(&record->arena);
    free(record);
}

void cluster_drop_unit(struct cluster *cluster, struct cluster_unit *unit)
{
    remove_record(cluster, &kinds[ARRAY_LEN(kinds) - 1], &unit->record);
}

uint64_t cluster_hash(const char *name)
{
    uint64_t hash = 14695981039346656037U; // FNV-1a
    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 1099511628211U;
    }
    return hash;
}

// The id at the end of a key; of other names the hash.
static uint64_t id_of_key(const char *key, const char *prefix)
{
    const char *tail = key + strlen(prefix);
    char *end;
    uint64_t id = strtoull(tail, &end, 10);
    return *end == '\0' && id != 0 ? id : cluster_hash(tail);
}

static int load_entry(struct cluster *cluster, const struct kind *kind,
                      const struct store_entry *entry, struct error *error)
{
    struct table *table = table_of(cluster, kind);
    uint64_t id = id_of_key(entry->key, kind->prefix);
    struct record *record = table_find(table, id);
    if (record != NULL && record->revision == entry->revision) {
        record->present = true;
        return 0;
    }
    bool is_new = record == NULL;
    if (is_new) {
        record = calloc(1, kind->size);
        if (record == NULL) {
            return -ENOMEM;
        }
        record->id = id;
        arena_init(&record->arena, 512);
    }
    struct arena arena;
    arena_init(&arena, 512);
    void *object = arena_alloc(&arena, kind->schema->size);
    struct error why = {0};
    int r = object == NULL ? -ENOMEM
                           : schema_parse_text(kind->schema, entry->value, &arena, object, &why);
    if (r == 0 && is_new) {
        r = table_insert(table, record);
    }
    if (r < 0) {
        arena_reset(&arena);
        if (is_new) {
            free(record);
        } else {
            record->present = true; // the last good one stands
        }
        return r == -ENOMEM ? r
                            : error_set(error, -EUCLEAN,
                                        "the database's document %.60s is damaged: "
                                        "%.150s",
                                        entry->key, why.text);
    }
    arena_reset(&record->arena);
    record->arena = arena;
    record->revision = entry->revision;
    record->present = true;
    memcpy((char *)record + kind->object, object, kind->schema->size);
    kind->changed(cluster, record, is_new);
    return 0;
}

static int load_kind(struct cluster *cluster, const struct kind *kind, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct store_entries entries;
    int r = store_list(cluster->service->store, &(struct store_range){.prefix = kind->prefix},
                       &arena, &entries, error);
    struct table *table = table_of(cluster, kind);
    if (r == 0) {
        TABLE_FOREACH (table, struct record, record) {
            record->present = false;
        }
        for (size_t i = 0; i < entries.count; i++) {
            int failed = load_entry(cluster, kind, &entries.items[i], error);
            r = r < 0 ? r : failed;
        }
        for (size_t i = table->count; i-- > 0;) {
            struct record *record = table->items[i];
            if (!record->present) {
                remove_record(cluster, kind, record);
            }
        }
    }
    arena_reset(&arena);
    return r;
}

static void load_kinds(struct cluster *cluster, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct error error = {0};
        if (load_kind(cluster, &kinds[i], &error) < 0) {
            cluster_log(cluster, true, "%s is not read: %s", kinds[i].prefix, error.text);
        }
    }
}

void cluster_load(struct cluster *cluster)
{
    load_kinds(cluster, ARRAY_LEN(kinds) - 1); // units are written by nobody else
}

void cluster_load_all(struct cluster *cluster)
{
    load_kinds(cluster, ARRAY_LEN(kinds));
}

// ── Nodes ────────────────────────────────────────────────────────────────────────────────────

struct cluster_node *cluster_find_node(const struct cluster *cluster, const char *name)
{
    LIST_FOREACH (&cluster->nodes, link) {
        struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        if (strcmp(node->name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

struct cluster_node *cluster_add_node(struct cluster *cluster, const char *name)
{
    struct cluster_node *node = calloc(1, sizeof(*node));
    if (node != NULL) {
        snprintf(node->name, sizeof(node->name), "%s", name);
        node->heard_ms = clock_now_ms(cluster->service->clock);
        node->dirty = true;
        arena_init(&node->arena, 4096);
        list_append(&cluster->nodes, &node->link);
        cluster->node_count++;
    }
    return node;
}

static int load_nodes(struct cluster *cluster, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct store_entries entries;
    int r = store_list(cluster->service->store, &(struct store_range){.prefix = KEY_NODES}, &arena,
                       &entries, error);
    for (size_t i = 0; r == 0 && i < entries.count; i++) {
        struct node recorded;
        r = schema_parse_text(&node_schema, entries.items[i].value, &arena, &recorded, error);
        struct cluster_node *node = r == 0 ? cluster_add_node(cluster, recorded.name) : NULL;
        if (node != NULL) {
            node->id = recorded.id;
            node->revision = entries.items[i].revision;
            node->recorded_missing = recorded.state == NODE_LOST;
            node->last_report_at = recorded.last_report_at;
        } else if (r == 0) {
            r = -ENOMEM;
        }
    }
    arena_reset(&arena);
    return r;
}

// ── Life ─────────────────────────────────────────────────────────────────────────────────────

// Agents refuse a document with an address out of the front subnet: better said here than there.
static int check_front_subnet(const struct cluster *cluster, struct error *error)
{
    const struct prefix *subnet = &cluster->service->front_subnet;
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (!prefix_contains(subnet, &unit->unit.front)) {
            char address[ADDR_TEXT_LEN], prefix[ADDR_TEXT_LEN];
            return error_set(error, -EINVAL,
                             "unit %" PRIu64 " has the address %s, which is not in the front "
                             "subnet %s; start with the subnet that the database was made with",
                             unit->record.id, addr_format_ip(&unit->unit.front, address),
                             prefix_format(subnet, prefix));
        }
    }
    return 0;
}

int cluster_open(struct cluster *cluster, struct service *service, const struct cluster_ops *ops,
                 const struct failover_settings *failover, struct error *error)
{
    *cluster = (struct cluster){.service = service, .ops = *ops, .failover = *failover};
    list_init(&cluster->nodes);
    list_init(&cluster->dirty);
    cluster->judge_from_ms = cluster->run_at_ms = clock_now_ms(service->clock);
    cluster->names_changed = true;
    int r = load_nodes(cluster, error);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(kinds); i++) {
        r = load_kind(cluster, &kinds[i], error);
    }
    if (r == -ENOMEM) {
        error_set(error, r, "out of memory");
    }
    r = r < 0 ? r : check_front_subnet(cluster, error);
    // Who has units served once. DNS answers from the first question on as it did before; what
    // happened before this controller is not told as news.
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        struct cluster_balancer *balancer =
            table_find(&cluster->balancers, unit->unit.load_balancer_id);
        if (balancer != NULL) {
            balancer->served |= unit->unit.state != UNIT_STARTING;
        }
    }
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        cluster_steer(cluster, balancer);
        balancer->announced = balancer->steering;
        balancer->told_state = balancer->state;
        balancer->state_known = true;
    }
    cluster_events_open(cluster);
    cluster->opened = true;
    return r;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster->service == NULL) {
        return;
    }
    cluster_events_flush(cluster, clock_now_ms(cluster->service->clock));
    for (size_t i = ARRAY_LEN(kinds); i-- > 0;) {
        struct table *table = table_of(cluster, &kinds[i]);
        while (table->count > 0) {
            remove_record(cluster, &kinds[i], table->items[table->count - 1]);
        }
        table_clear(table);
    }
    while (!list_empty(&cluster->nodes)) {
        struct cluster_node *node = CONTAINER_OF(cluster->nodes.next, struct cluster_node, link);
        list_remove(&node->link);
        arena_reset(&node->arena);
        free(node->desired);
        free(node);
    }
}
