// SPDX-License-Identifier: Apache-2.0
#include "agent/observe.h"

#include <unistd.h>

#include "net/ip.h"
#include "net/link.h"
#include "net/netns.h"

#define PROJECT_BRIDGE "br0"

// What one namespace holds.
struct view {
    struct link_list links;
    struct ip_address_list addresses;
};

static void view_free(struct view *view)
{
    link_list_free(&view->links);
    ip_address_list_free(&view->addresses);
}

static int view_read(struct netlink *netlink, struct view *ret_view, struct error *error)
{
    *ret_view = (struct view){0};
    int result = link_list_read(netlink, &ret_view->links, error);
    return result < 0 ? result : ip_list_addresses(netlink, &ret_view->addresses, error);
}

// The only address on the link (link-local ones of IPv6 left out), or NULL.
static const struct ip_address *view_address(const struct view *view, const struct link *link)
{
    const struct ip_address *found = NULL;
    for (size_t i = 0; i < view->addresses.count; i++) {
        const struct ip_address *address = &view->addresses.items[i];
        bool link_local = address->addr.family == 6 && address->addr.ip[0] == 0xfe &&
                          (address->addr.ip[1] & 0xc0) == 0x80;
        if (address->link != link->index || link_local) {
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = address;
    }
    return found;
}

// A bridge that is up with one address.
static enum presence bridge_presence(const struct view *view, const char *name,
                                     struct prefix *ret_subnet, struct addr *ret_gateway)
{
    const struct link *bridge = link_list_find(&view->links, name);
    if (bridge == NULL) {
        return PRESENCE_NONE;
    }
    const struct ip_address *address = view_address(view, bridge);
    if (strcmp(bridge->kind, "bridge") != 0 || !bridge->up || address == NULL) {
        return PRESENCE_BROKEN;
    }
    *ret_subnet = prefix_around(&address->addr, address->bits);
    *ret_gateway = address->addr;
    return PRESENCE_READY;
}

struct observer {
    const char *instance;
    struct arena *arena;
    struct view machine;
    const struct link *front_bridge; // NULL: not there
    struct sighting sighting;
    size_t unit_room;
};

static struct actual_unit *observer_unit(struct observer *observer, uint64_t id)
{
    struct sighting *sighting = &observer->sighting;
    for (size_t i = 0; i < sighting->unit_count; i++) {
        if (sighting->units[i].id == id) {
            return &sighting->units[i];
        }
    }
    if (sighting->unit_count == observer->unit_room) {
        return NULL;
    }
    struct actual_unit *unit = &sighting->units[sighting->unit_count++];
    *unit = (struct actual_unit){.id = id, .network = PRESENCE_BROKEN};
    return unit;
}

static bool port_ready(const struct link *port, const struct link *bridge)
{
    return port != NULL && bridge != NULL && port->master == bridge->index && port->up &&
           strcmp(port->kind, "veth") == 0;
}

// A project's bridge, and which units' back interfaces are ports of it: their project_id is set.
static void observe_project(struct observer *observer, const char *name,
                            struct actual_network *network)
{
    cleanup(close_fd) int fd = -1;
    struct netlink netlink;
    network->presence = PRESENCE_BROKEN;
    if (netns_open(name, &fd) < 0 || netlink_open_at(&netlink, fd) < 0) {
        return;
    }
    struct view view;
    if (view_read(&netlink, &view, NULL) == 0) {
        if (bridge_presence(&view, PROJECT_BRIDGE, &network->subnet, &network->gateway) ==
            PRESENCE_READY) {
            network->presence = PRESENCE_READY;
        }
        const struct link *bridge = link_list_find(&view.links, PROJECT_BRIDGE);
        for (size_t i = 0; i < view.links.count; i++) {
            uint64_t id;
            if (port_ready(&view.links.items[i], bridge) &&
                name_read(observer->instance, NAME_BACK, view.links.items[i].name, &id) == 0) {
                struct actual_unit *unit = observer_unit(observer, id);
                if (unit != NULL) {
                    unit->project_id = network->project_id;
                }
            }
        }
    }
    view_free(&view);
    netlink_close(&netlink);
}

static bool has_default_route(struct netlink *netlink, unsigned link)
{
    struct ip_route_list routes;
    bool found = false;
    if (ip_list_routes(netlink, &routes, NULL) == 0) {
        for (size_t i = 0; i < routes.count; i++) {
            found |= routes.items[i].to.bits == 0 && routes.items[i].link == link &&
                     routes.items[i].via.family != 0;
        }
    }
    ip_route_list_free(&routes);
    return found;
}

// Ready when both interfaces are there, up, with their address, and their peers are ports.
static void observe_unit(struct observer *observer, const char *name, struct actual_unit *unit)
{
    char peer[NAME_LEN];
    cleanup(close_fd) int fd = -1;
    struct netlink netlink;
    if (netns_open(name, &fd) < 0 || netlink_open_at(&netlink, fd) < 0) {
        return;
    }
    struct view view;
    if (view_read(&netlink, &view, NULL) == 0) {
        const struct link *front = link_list_find(&view.links, "front");
        const struct link *back = link_list_find(&view.links, "back");
        const struct ip_address *front_at = front != NULL ? view_address(&view, front) : NULL;
        const struct ip_address *back_at = back != NULL ? view_address(&view, back) : NULL;
        const struct link *front_peer = link_list_find(
            &observer->machine.links, name_of(observer->instance, NAME_FRONT, unit->id, peer));
        if (front_at != NULL && back_at != NULL && front->up && back->up && unit->project_id != 0 &&
            port_ready(front_peer, observer->front_bridge) &&
            has_default_route(&netlink, front->index)) {
            unit->front = front_at->addr;
            unit->back = back_at->addr;
            unit->network = PRESENCE_READY;
        }
    }
    view_free(&view);
    netlink_close(&netlink);
}

static void observe_namespaces(struct observer *observer, const struct netns_list *names)
{
    struct sighting *sighting = &observer->sighting;
    uint64_t id;
    // Projects first: they tell which project a unit's back is in.
    for (size_t i = 0; i < names->count; i++) {
        if (name_read(observer->instance, NAME_PROJECT, names->names[i], &id) == 0) {
            struct actual_network *network = &sighting->networks[sighting->network_count++];
            network->project_id = id;
            observe_project(observer, names->names[i], network);
        }
    }
    for (size_t i = 0; i < names->count; i++) {
        if (name_read(observer->instance, NAME_UNIT, names->names[i], &id) == 0) {
            struct actual_unit *unit = observer_unit(observer, id);
            if (unit != NULL) {
                observe_unit(observer, names->names[i], unit);
            }
        }
    }
    // A peer whose namespace has lost its name.
    for (size_t i = 0; i < observer->machine.links.count; i++) {
        const struct link *link = &observer->machine.links.items[i];
        if (name_read(observer->instance, NAME_FRONT, link->name, &id) == 0 &&
            strcmp(link->kind, "veth") == 0) {
            observer_unit(observer, id);
        }
    }
}

// 127.0.0.0/8, link-local and multicast say nothing about the machine.
static bool route_counts(const struct ip_route *route)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    const uint8_t *ip = route->to.ip;
    if (route->to.family == 4) {
        return ip[0] != 127 && ip[0] < 224;
    }
    return ip[0] != 0xff && !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) &&
           !(route->to.bits == 128 && memcmp(ip, loopback6, sizeof(loopback6)) == 0);
}

static int observe_own_routes(struct netlink *netlink, unsigned left_out_link, struct arena *arena,
                              struct sighting *sighting, struct error *error)
{
    struct ip_route_list routes;
    int result = ip_list_routes(netlink, &routes, error);
    if (result == 0) {
        sighting->routes = arena_array(arena, struct prefix, routes.count + 1);
        result = sighting->routes == NULL ? error_set(error, -ENOMEM, "out of memory") : 0;
    }
    // Routes first, then the machine's addresses, most of which lie in a prefix that is listed
    // then.
    for (size_t at = 0; result == 0 && at < 2 * routes.count; at++) {
        const struct ip_route *route = &routes.items[at % routes.count];
        bool known = route->local != (at >= routes.count) || route->to.bits == 0 ||
                     !route_counts(route) || (left_out_link != 0 && route->link == left_out_link);
        for (size_t j = 0; !known && j < sighting->route_count; j++) {
            known = sighting->routes[j].bits <= route->to.bits &&
                    prefix_overlaps(&sighting->routes[j], &route->to);
        }
        if (!known) {
            sighting->routes[sighting->route_count++] = route->to;
        }
    }
    ip_route_list_free(&routes);
    return result;
}

int observe_routes(const char *bridge, struct arena *arena, struct sighting *ret_sighting,
                   struct error *error)
{
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return error_set(error, result, "cannot open a netlink socket: %s", strerror(-result));
    }
    struct link link = {0};
    if (bridge != NULL) {
        link_get(&netlink, bridge, &link, NULL);
    }
    *ret_sighting = (struct sighting){0};
    result = observe_own_routes(&netlink, link.index, arena, ret_sighting, error);
    netlink_close(&netlink);
    return result;
}

static int observe_all(struct observer *observer, struct netlink *netlink, struct error *error)
{
    struct sighting *sighting = &observer->sighting;
    char name[NAME_LEN], prefix[NAME_LEN];
    int result = view_read(netlink, &observer->machine, error);
    if (result < 0) {
        return result;
    }
    name_of_bridge(observer->instance, name);
    observer->front_bridge = link_list_find(&observer->machine.links, name);
    sighting->front.presence = bridge_presence(&observer->machine, name, &sighting->front.subnet,
                                               &sighting->front.gateway);
    result = observe_own_routes(netlink,
                                observer->front_bridge != NULL ? observer->front_bridge->index : 0,
                                observer->arena, sighting, error);
    struct netns_list names = {0};
    if (result == 0) {
        result = netns_list_read(name_of_table(observer->instance, prefix), &names, error);
    }
    if (result == 0) {
        // A unit is seen by its namespace, its front's peer or its back's peer; the last in a
        // namespace not read yet, so there is room for as many again as all we know of.
        observer->unit_room = 2 * (names.count + observer->machine.links.count) + 64;
        sighting->networks = arena_array(observer->arena, struct actual_network, names.count + 1);
        sighting->units = arena_array(observer->arena, struct actual_unit, observer->unit_room);
        result = sighting->networks == NULL || sighting->units == NULL
                     ? error_set(error, -ENOMEM, "out of memory")
                     : 0;
    }
    if (result == 0) {
        observe_namespaces(observer, &names);
    }
    netns_list_free(&names);
    return result;
}

int observe_networks(const char *instance, struct arena *arena, struct sighting *ret_sighting,
                     struct error *error)
{
    struct observer observer = {.instance = instance, .arena = arena};
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return error_set(error, result, "cannot open a netlink socket: %s", strerror(-result));
    }
    result = observe_all(&observer, &netlink, error);
    view_free(&observer.machine);
    netlink_close(&netlink);
    if (result == 0) {
        *ret_sighting = observer.sighting;
    }
    return result;
}
