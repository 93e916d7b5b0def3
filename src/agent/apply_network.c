// SPDX-License-Identifier: Apache-2.0
#include "agent/apply_network.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "net/bridge.h"
#include "net/ip.h"
#include "net/netns.h"
#include "net/veth.h"

enum { MAC_FRONT = 1, MAC_BACK = 2, MAC_BRIDGE = 3, MTU = 1500 };

#define PROJECT_BRIDGE "br0"

static int memory_error(struct error *error, int result)
{
    return error_set(error, result, "cannot open a netlink socket: %s", strerror(-result));
}

// A bridge of that name with exactly this address.
static int bridge_ensure(struct netlink *netlink, const char *name, const struct addr *gateway,
                         uint8_t bits, struct error *error)
{
    uint8_t mac[6];
    link_derive_mac(MAC_BRIDGE, gateway, mac);
    bridge_create(netlink, name, mac, MTU);
    int result = netlink_commit(netlink, error);
    struct link bridge;
    if (result == 0) {
        result = link_get(netlink, name, &bridge, error);
    }
    if (result < 0) {
        return result;
    }
    if (strcmp(bridge.kind, "bridge") != 0) {
        return error_set(error, -EEXIST, "there is a link %s that is not a bridge", name);
    }
    struct ip_address_list addresses;
    result = ip_list_addresses(netlink, &addresses, error);
    for (size_t i = 0; result == 0 && i < addresses.count; i++) {
        const struct ip_address *address = &addresses.items[i];
        bool ours = address->link == bridge.index && address->addr.family == gateway->family;
        if (ours && (!addr_equal(&address->addr, gateway) || address->bits != bits)) {
            ip_remove_address(netlink, bridge.index, &address->addr, address->bits);
            result = netlink_commit(netlink, error);
        }
    }
    ip_address_list_free(&addresses);
    if (result < 0) {
        return result;
    }
    link_set_up(netlink, name, true);
    ip_add_address(netlink, bridge.index, gateway, bits);
    return netlink_commit(netlink, error);
}

// The kernel has one table of neighbours (IPv4: ARP) for all namespaces together, of 1,024 by default;
// each unit needs one for the gateway, for each target, and for each client beside it. When it is
// full, new units cannot be reached. The limits are raised, never lowered, and stay so: they only
// allow memory that is used when there are neighbours.
static void raise_neighbour_limits(void)
{
    static const struct {
        const char *name;
        uint64_t least;
    } limits[] = {// The hard limit first, so that the lower are never above it.
                  {"ipv4/neigh/default/gc_thresh3", 262144},
                  {"ipv4/neigh/default/gc_thresh2", 131072},
                  {"ipv4/neigh/default/gc_thresh1", 16384}};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        char now[24], wanted[24];
        uint64_t value;
        if (netns_get(limits[i].name, now, sizeof(now)) == 0 &&
            str_to_u64(str_of(now), UINT64_MAX, &value) == 0 && value < limits[i].least) {
            snprintf(wanted, sizeof(wanted), "%" PRIu64, limits[i].least);
            netns_set(limits[i].name, wanted);
        }
    }
}

int network_add_front(const char *instance, const struct front_network *front, struct error *error)
{
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return memory_error(error, result);
    }
    char name[NAME_LEN];
    name_of_bridge(instance, name);
    raise_neighbour_limits();
    result = bridge_ensure(&netlink, name, &front->gateway, front->subnet.bits, error);
    netlink_close(&netlink);
    if (result == 0 && front->subnet.family == 4) {
        // No link-local address that nobody asked for on the machine.
        char setting[NAME_LEN + 32];
        snprintf(setting, sizeof(setting), "ipv6/conf/%s/disable_ipv6", name);
        netns_set(setting, "1");
    }
    return result;
}

int network_remove_front(const char *instance, struct error *error)
{
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return memory_error(error, result);
    }
    char name[NAME_LEN];
    struct link bridge;
    result = link_get(&netlink, name_of_bridge(instance, name), &bridge, error);
    if (result == -ENODEV) {
        result = 0;
    } else if (result == 0 && strcmp(bridge.kind, "bridge") == 0) {
        link_delete(&netlink, name);
        result = netlink_commit(&netlink, error);
    }
    netlink_close(&netlink);
    return result;
}

// What every namespace of ours gets, from inside it. A new namespace takes IPv4 settings over from
// the machine, so a machine that forwards would make every unit a router between its networks.
static void namespace_set_up(bool ipv6)
{
    static const char *const settings[][2] = {
        {"ipv4/ip_forward", "0"},
        {"ipv4/conf/all/accept_redirects", "0"},
        {"ipv4/conf/default/accept_redirects", "0"},
        {"ipv4/conf/all/accept_source_route", "0"},
        {"ipv4/conf/default/accept_source_route", "0"},
        // Answers ARP on an interface only for the addresses of that interface.
        {"ipv4/conf/all/arp_ignore", "1"},
        {"ipv4/conf/all/arp_announce", "2"},
        {"ipv4/ip_unprivileged_port_start", "0"},
        {"ipv6/conf/all/accept_ra", "0"},
        {"ipv6/conf/default/accept_ra", "0"},
        {"ipv6/conf/all/accept_dad", "0"},
        {"ipv6/conf/default/accept_dad", "0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        netns_set(settings[i][0], settings[i][1]); // a kernel without IPv6 lacks some
    }
    if (!ipv6) {
        netns_set("ipv6/conf/all/disable_ipv6", "1");
        netns_set("ipv6/conf/default/disable_ipv6", "1");
    }
}

// Makes the namespace when it is not there (or only a left-over file of it is) and opens it.
static int namespace_ensure(const char *name, bool ipv6, int *ret_fd, struct error *error)
{
    int result = netns_open(name, ret_fd);
    if (result == -EINVAL) {
        result = netns_delete(name, error);
        if (result < 0) {
            return result;
        }
        result = -ENOENT;
    }
    if (result == -ENOENT) {
        result = netns_create(name, error);
        if (result < 0) {
            return result;
        }
        result = netns_open(name, ret_fd);
    }
    int home;
    if (result == 0) {
        result = netns_enter(*ret_fd, &home);
        if (result < 0) {
            close(*ret_fd);
        }
    }
    if (result < 0) {
        return error_set(error, result, "cannot open the namespace %s: %s", name,
                         strerror(-result));
    }
    namespace_set_up(ipv6);
    netns_leave(home);
    return 0;
}

int network_add_project(const char *instance, const struct project_network *project,
                        struct error *error)
{
    char name[NAME_LEN];
    name_of(instance, NAME_PROJECT, project->project_id, name);
    cleanup(close_fd) int fd = -1;
    int result = namespace_ensure(name, project->subnet.family == 6, &fd, error);
    if (result < 0) {
        return result;
    }
    struct netlink netlink;
    result = netlink_open_at(&netlink, fd);
    if (result < 0) {
        return memory_error(error, result);
    }
    link_set_up(&netlink, "lo", true);
    result =
        bridge_ensure(&netlink, PROJECT_BRIDGE, &project->gateway, project->subnet.bits, error);
    netlink_close(&netlink);
    return result;
}

int network_remove_project(const char *instance, uint64_t project_id, struct error *error)
{
    char name[NAME_LEN];
    return netns_delete(name_of(instance, NAME_PROJECT, project_id, name), error);
}

// One end to a bridge of this namespace, the other into the unit's.
static int unit_connect(struct netlink *netlink, const char *bridge_name, const char *near_name,
                        const char *far_name, int unit_fd, uint8_t role, const struct addr *addr,
                        struct error *error)
{
    struct link bridge;
    int result = link_get(netlink, bridge_name, &bridge, error);
    if (result < 0) {
        return error_set(error, result, "there is no bridge %s", bridge_name);
    }
    struct veth_end near = {.name = near_name, .netns_fd = -1};
    struct veth_end far = {.name = far_name, .netns_fd = unit_fd};
    link_derive_mac(role, addr, far.mac);
    veth_create(netlink, &near, bridge.index, &far, bridge.mtu);
    return netlink_commit(netlink, error);
}

static int unit_connect_front(const char *instance, const struct unit_network *unit, int unit_fd,
                              struct error *error)
{
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return memory_error(error, result);
    }
    char bridge[NAME_LEN], peer[NAME_LEN];
    result = unit_connect(&netlink, name_of_bridge(instance, bridge),
                          name_of(instance, NAME_FRONT, unit->id, peer), "front", unit_fd,
                          MAC_FRONT, &unit->front, error);
    netlink_close(&netlink);
    return result;
}

static int unit_connect_back(const char *instance, const struct unit_network *unit, int unit_fd,
                             struct error *error)
{
    char project[NAME_LEN], peer[NAME_LEN];
    cleanup(close_fd) int project_fd = -1;
    struct netlink netlink;
    int result =
        netns_open(name_of(instance, NAME_PROJECT, unit->project_id, project), &project_fd);
    if (result == 0) {
        result = netlink_open_at(&netlink, project_fd);
    }
    if (result < 0) {
        return error_set(error, result, "cannot open the namespace %s: %s", project,
                         strerror(-result));
    }
    result = unit_connect(&netlink, PROJECT_BRIDGE, name_of(instance, NAME_BACK, unit->id, peer),
                          "back", unit_fd, MAC_BACK, &unit->back, error);
    netlink_close(&netlink);
    return result;
}

// Addresses and routes, from inside.
static int unit_address(const struct unit_network *unit, int unit_fd, struct error *error)
{
    struct netlink netlink;
    int result = netlink_open_at(&netlink, unit_fd);
    if (result < 0) {
        return memory_error(error, result);
    }
    struct link front, back;
    result = link_get(&netlink, "front", &front, error);
    if (result == 0) {
        result = link_get(&netlink, "back", &back, error);
    }
    if (result == 0) {
        const struct prefix everything = {.family = unit->front_gateway.family};
        link_set_up(&netlink, "lo", true);
        link_set_up(&netlink, "back", true);
        ip_add_address(&netlink, back.index, &unit->back, unit->back_bits);
        link_set_up(&netlink, "front", true);
        ip_add_address(&netlink, front.index, &unit->front, unit->front_bits);
        ip_add_route(&netlink, &everything, &unit->front_gateway, front.index);
        result = netlink_commit(&netlink, error);
    }
    netlink_close(&netlink);
    return result;
}

int network_add_unit(const char *instance, const struct unit_network *unit, bool broken,
                     struct error *error)
{
    char name[NAME_LEN], peer[NAME_LEN];
    if (!link_name_valid(name_of(instance, NAME_FRONT, unit->id, peer))) {
        return error_set(error, -ENAMETOOLONG,
                         "the link name %s would be too long: use a shorter instance name", peer);
    }
    name_of(instance, NAME_UNIT, unit->id, name);
    int result = broken ? network_remove_unit(instance, unit, error) : 0;
    cleanup(close_fd) int fd = -1;
    if (result == 0) {
        result =
            namespace_ensure(name, unit->front.family == 6 || unit->back.family == 6, &fd, error);
    }
    if (result == 0) {
        result = unit_connect_front(instance, unit, fd, error);
    }
    if (result == 0) {
        result = unit_connect_back(instance, unit, fd, error);
    }
    return result < 0 ? result : unit_address(unit, fd, error);
}

// Deletes a link when it is what we make: one end of a veth pair.
static int peer_delete(struct netlink *netlink, const char *name, struct error *error)
{
    struct link link;
    if (!link_name_valid(name)) {
        return 0; // too long to have been made
    }
    int result = link_get(netlink, name, &link, error);
    if (result < 0 || strcmp(link.kind, "veth") != 0) {
        return result == -ENODEV ? 0 : result;
    }
    link_delete(netlink, name);
    return netlink_commit(netlink, error);
}

int network_remove_unit(const char *instance, const struct unit_network *unit, struct error *error)
{
    char name[NAME_LEN];
    struct netlink netlink;
    // The links by name first: the kernel ends a namespace some time later, and until then its
    // links would be in the way of new ones of the same name.
    int result = netlink_open(&netlink);
    if (result < 0) {
        return memory_error(error, result);
    }
    result = peer_delete(&netlink, name_of(instance, NAME_FRONT, unit->id, name), error);
    netlink_close(&netlink);

    cleanup(close_fd) int project_fd = -1;
    if (result == 0 && unit->project_id != 0 &&
        netns_open(name_of(instance, NAME_PROJECT, unit->project_id, name), &project_fd) == 0 &&
        netlink_open_at(&netlink, project_fd) == 0) {
        result = peer_delete(&netlink, name_of(instance, NAME_BACK, unit->id, name), error);
        netlink_close(&netlink);
    }
    return result < 0 ? result : netns_delete(name_of(instance, NAME_UNIT, unit->id, name), error);
}
