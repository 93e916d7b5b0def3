// SPDX-License-Identifier: Apache-2.0
#include "control/controller.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/cluster.h"
#include "control/hosts.h"
#include "control/keys.h"
#include "control/prober.h"
#include "dns/server.h"
#include "event/timer.h"
#include "model/observed.h"

static const char *const watched[] = {KEY_PROJECTS, KEY_TARGET_GROUPS, KEY_LOAD_BALANCERS,
                                      KEY_RESOLVED};

struct controller {
    struct loop *loop;
    struct service service;
    struct cluster cluster;
    struct prober *prober;
    struct hosts *hosts;
    struct dns_server *dns;
    struct addr dns_at[CONTROLLER_DNS_MAX];
    size_t dns_count;
    uint32_t serial; // of the zone
    struct store_watch watches[ARRAY_LEN(watched)];
    bool store_changed, opened;
    struct task run_task;
    struct timer run_timer;
    struct list waiters;
    bool notify;
};

// ── Turns ────────────────────────────────────────────────────────────────────────────────────

// A waiter may cancel any other, or wait again at once: the list is emptied from its head.
static void wake_waiters(struct controller *controller)
{
    struct list told;
    list_init(&told);
    while (!list_empty(&controller->waiters)) {
        struct list *link = controller->waiters.next;
        list_remove(link);
        list_append(&told, link);
    }
    while (!list_empty(&told)) {
        struct list *link = told.next;
        list_remove(link);
        struct controller_waiter *waiter = CONTAINER_OF(link, struct controller_waiter, link);
        waiter->woken(waiter);
    }
}

static void run(struct controller *controller)
{
    if (controller->store_changed) {
        controller->store_changed = false;
        cluster_load(&controller->cluster);
        hosts_update(controller->hosts);
    }
    uint64_t next_ms = cluster_run(&controller->cluster);
    uint64_t now_ms = clock_now_ms(controller->service.clock);
    // A run that is due at once comes in the next turn, so that the loop stays just.
    timer_set(controller->loop, &controller->run_timer, next_ms > now_ms ? next_ms - now_ms : 1);
    prober_update(controller->prober);
    if (controller->notify) {
        controller->notify = false;
        wake_waiters(controller);
    }
}

static void run_task_run(struct task *task)
{
    run(CONTAINER_OF(task, struct controller, run_task));
}

static void run_timer_fired(struct timer *timer)
{
    run(CONTAINER_OF(timer, struct controller, run_timer));
}

static void wake(void *owner)
{
    struct controller *controller = owner;
    loop_defer(controller->loop, &controller->run_task);
}

static void store_watched(struct store_watch *watch)
{
    struct controller *controller = watch->owner;
    controller->store_changed = true;
    wake(controller);
}

// ── What the cluster asks for ────────────────────────────────────────────────────────────────

// RFC 1982: serials grow; by the clock, so that they do across restarts, too.
static uint32_t next_serial(struct controller *controller)
{
    uint32_t by_clock =
        (uint32_t)(controller->service.clock->wall_ms(controller->service.clock) / 1000);
    controller->serial =
        (int32_t)(by_clock - controller->serial) > 0 ? by_clock : controller->serial + 1;
    return controller->serial;
}

// Where the name server itself is, as far as that is an address somebody else can use.
static size_t server_addresses(const struct controller *controller, struct addr *addresses)
{
    static const struct addr any = {0};
    size_t count = 0;
    for (size_t i = 0; i < controller->dns_count; i++) {
        struct addr addr = controller->dns_at[i];
        addr.port = 0;
        if (memcmp(addr.ip, any.ip, sizeof(addr.ip)) == 0) {
            addr = ipam_gateway(&controller->service.front_subnet);
        }
        addresses[count++] = addr;
    }
    return count;
}

static int build_zone(struct controller *controller, struct zone **ret_zone, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct cluster_name *names;
    struct zone_name *zone_names = NULL;
    size_t count = 0;
    int r = cluster_names(&controller->cluster, &arena, &names, &count);
    if (r == 0) {
        zone_names = arena_array(&arena, struct zone_name, count);
        r = zone_names == NULL ? -ENOMEM : 0;
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        zone_names[i] =
            (struct zone_name){str_of(names[i].name), names[i].addresses, names[i].count};
    }
    if (r == 0) {
        struct addr servers[CONTROLLER_DNS_MAX];
        struct zone_source source = {
            .origin = str_of(controller->service.zone),
            .serial = next_serial(controller),
            .server_addresses = servers,
            .server_address_count = server_addresses(controller, servers),
            .names = zone_names,
            .name_count = count,
        };
        r = zone_build(&source, ret_zone, error);
    }
    arena_reset(&arena);
    return r < 0 ? error_set(error, r, "out of memory") : 0;
}

static void publish(void *owner)
{
    struct controller *controller = owner;
    struct zone *zone;
    struct error error = {0};
    if (controller->dns == NULL) {
        return;
    }
    if (build_zone(controller, &zone, &error) < 0) {
        log_error("the zone stays as it was: %s", error.text);
        controller->cluster.names_changed = true; // again in the next run
        return;
    }
    dns_server_set_zone(controller->dns, zone);
}

static void notify(void *owner)
{
    struct controller *controller = owner;
    controller->notify = true;
}

static void log_text(void *owner, bool is_error, const char *text)
{
    if (is_error) {
        log_error("%s", text);
    } else {
        log_info("%s", text);
    }
}

static int hook_status(void *owner, uint64_t id, struct arena *arena,
                       const struct load_balancer_status **ret_status)
{
    return controller_status(owner, id, arena, ret_status);
}

static bool hook_find_route(void *owner, const struct prefix *subnet, struct prefix *ret_route,
                            const char **ret_node)
{
    return controller_find_route(owner, subnet, ret_route, ret_node);
}

// A user's change was committed with its events: they are in the store already.
static void hook_event_added(void *owner, const struct event *event)
{
    struct controller *controller = owner;
    cluster_log(&controller->cluster, false, "%s: %s%s%s", event->kind, event->what,
                event->why[0] != '\0' ? ": " : "", event->why);
    controller->cluster.event_newest = MAX(controller->cluster.event_newest, event->id);
    controller->notify = true;
    wake(controller);
}

// ── Life ─────────────────────────────────────────────────────────────────────────────────────

static int open_dns(struct controller *controller, const struct controller_options *options,
                    struct error *error)
{
    struct zone *zone;
    controller->dns_count = MIN(options->dns_count, (size_t)CONTROLLER_DNS_MAX);
    if (controller->dns_count == 0) {
        return 0;
    }
    memcpy(controller->dns_at, options->dns, controller->dns_count * sizeof(struct addr));
    int r = build_zone(controller, &zone, error);
    if (r < 0) {
        return r;
    }
    r = dns_server_open(controller->loop, options->dns, controller->dns_count, zone,
                        &controller->dns, error);
    if (r < 0) {
        zone_free(zone);
    }
    return r;
}

static int open_parts(struct controller *controller, const struct controller_options *options,
                      struct error *error)
{
    struct cluster_ops ops = {
        .owner = controller, .publish = publish, .notify = notify, .log = log_text};
    int r =
        cluster_open(&controller->cluster, &controller->service, &ops, &options->failover, error);
    if (r == 0) {
        r = prober_new(controller->loop, &controller->cluster, wake, controller,
                       &controller->prober);
        if (r < 0) {
            error_set(error, r, "the prober does not start");
        }
    }
    if (r == 0) {
        r = hosts_new(controller->loop, &controller->cluster, &controller->hosts, error);
    }
    return r < 0 ? r : open_dns(controller, options, error);
}

int controller_open(const struct controller_options *options, struct controller **ret_controller,
                    struct error *error)
{
    struct controller *controller = calloc(1, sizeof(*controller));
    if (controller == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    controller->loop = options->loop;
    controller->service = (struct service){
        .store = options->store,
        .clock = options->clock,
        .zone = options->zone,
        .front_subnet = options->front_subnet,
        .project_pool = options->project_pool,
        .hooks = {.owner = controller,
                  .status = hook_status,
                  .find_route = hook_find_route,
                  .event_added = hook_event_added},
    };
    list_init(&controller->waiters);
    task_init(&controller->run_task, run_task_run);
    timer_init(&controller->run_timer, run_timer_fired);
    uint64_t revision = store_revision(options->store);
    int r = open_parts(controller, options, error);
    if (r < 0) {
        controller_close(controller);
        return r;
    }
    for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
        controller->watches[i].owner = controller;
        store_watch_open(&controller->watches[i], options->store, watched[i], revision,
                         store_watched);
    }
    controller->opened = true;
    hosts_update(controller->hosts);
    wake(controller);
    *ret_controller = controller;
    return 0;
}

struct controller *controller_close(struct controller *controller)
{
    if (controller == NULL) {
        return NULL;
    }
    for (size_t i = 0; controller->opened && i < ARRAY_LEN(watched); i++) {
        store_watch_close(&controller->watches[i]);
    }
    task_cancel(&controller->run_task);
    timer_cancel(&controller->run_timer);
    hosts_free(controller->hosts);
    prober_free(controller->prober);
    dns_server_close(controller->dns);
    cluster_close(&controller->cluster);
    free(controller);
    return NULL;
}

struct service *controller_service(struct controller *controller)
{
    return &controller->service;
}

const struct addr *controller_dns_address(const struct controller *controller, size_t index)
{
    return controller->dns != NULL && index < controller->dns_count
               ? dns_server_address(controller->dns, index)
               : NULL;
}

// ── For agents ───────────────────────────────────────────────────────────────────────────────

int controller_observe(struct controller *controller, struct str node, struct str document,
                       struct error *error)
{
    struct arena arena;
    arena_init(&arena, 16384);
    struct observed *observed;
    int r = observed_parse(document, &arena, &observed, error);
    if (r == 0 && !str_equal(str_of(observed->node), node)) {
        r = error_set_field(error, -EINVAL, "invalid_value", "node",
                            "the report is of another node than its path");
    }
    if (r == 0) {
        r = cluster_observe(&controller->cluster, observed, error);
    }
    if (r == 0) {
        wake(controller);
    }
    arena_reset(&arena);
    return r;
}

int controller_desired(struct controller *controller, struct str node,
                       struct desired_text *ret_desired)
{
    LIST_FOREACH (&controller->cluster.nodes, link) {
        const struct cluster_node *known = CONTAINER_OF(link, struct cluster_node, link);
        if (str_equal(str_of(known->name), node)) {
            if (known->desired == NULL) {
                break;
            }
            *ret_desired =
                (struct desired_text){known->generation, {known->desired, known->desired_len}};
            return 0;
        }
    }
    return -ENOENT;
}

// ── For users ────────────────────────────────────────────────────────────────────────────────

int controller_status(struct controller *controller, uint64_t load_balancer_id, struct arena *arena,
                      const struct load_balancer_status **ret_status)
{
    const struct cluster_balancer *balancer =
        table_find(&controller->cluster.balancers, load_balancer_id);
    if (balancer == NULL) {
        // Made in this very turn: known to the store, not yet to us.
        if (!controller->store_changed) {
            controller->store_changed = true;
            wake(controller);
        }
        cluster_load(&controller->cluster);
        balancer = table_find(&controller->cluster.balancers, load_balancer_id);
        if (balancer == NULL) {
            return -ENOENT;
        }
    }
    struct load_balancer_status *status;
    int r = cluster_status(&controller->cluster, &balancer->balancer, arena, &status);
    if (r == 0) {
        *ret_status = status;
    }
    return r;
}

int controller_nodes(struct controller *controller, struct arena *arena, struct node **ret_nodes,
                     size_t *ret_count)
{
    struct cluster *cluster = &controller->cluster;
    struct node *nodes = arena_array(arena, struct node, cluster->node_count);
    if (nodes == NULL) {
        return -ENOMEM;
    }
    size_t count = 0;
    LIST_FOREACH (&cluster->nodes, link) {
        const struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        uint32_t units = 0;
        TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
            units += unit->node == node && unit->unit.state != UNIT_DELETING;
        }
        nodes[count++] = (struct node){
            .id = node->id,
            .name = arena_copy(arena, str_of(node->name)).at,
            .state = node->missing || !node->heard ? NODE_LOST : NODE_READY,
            .runtime = node->observed != NULL ? node->observed->runtime : RUNTIME_OCI,
            .last_report_at = node->last_report_at,
            .units = units,
        };
        if (nodes[count - 1].name == NULL) {
            return -ENOMEM;
        }
    }
    *ret_nodes = nodes;
    *ret_count = count;
    return 0;
}

bool controller_find_route(struct controller *controller, const struct prefix *subnet,
                           struct prefix *ret_route, const char **ret_node)
{
    LIST_FOREACH (&controller->cluster.nodes, link) {
        const struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        for (size_t i = 0; node->observed != NULL && i < node->observed->route_count; i++) {
            if (prefix_overlaps(&node->observed->routes[i], subnet)) {
                *ret_route = node->observed->routes[i];
                *ret_node = node->name;
                return true;
            }
        }
    }
    return false;
}

// ── Waiters ──────────────────────────────────────────────────────────────────────────────────
// One list for all: changes are rare beside the requests that wait, and a waiter looks for itself.

void controller_wait_desired(struct controller *controller, struct str node,
                             struct controller_waiter *waiter)
{
    list_append(&controller->waiters, &waiter->link);
}

void controller_wait_status(struct controller *controller, uint64_t load_balancer_id,
                            struct controller_waiter *waiter)
{
    list_append(&controller->waiters, &waiter->link);
}

void controller_wait_events(struct controller *controller, struct controller_waiter *waiter)
{
    list_append(&controller->waiters, &waiter->link);
}

void controller_wait_cancel(struct controller_waiter *waiter)
{
    if (waiter->link.next != NULL) {
        list_remove(&waiter->link);
    }
}
