// SPDX-License-Identifier: Apache-2.0
#include "net/link.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifinfomsg *put_ifinfo(struct nlmsghdr *header)
{
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
    info->ifi_family = AF_UNSPEC;
    return info;
}

static void put_name(struct nlmsghdr *header, const char *name)
{
    mnl_attr_put_strz(header, IFLA_IFNAME, name);
}

static int link_read(const struct nlmsghdr *message, struct link *ret_link)
{
    if (mnl_nlmsg_get_payload_len(message) < sizeof(struct ifinfomsg)) {
        return -EBADMSG;
    }
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct link link = {.index = (unsigned)info->ifi_index, .up = info->ifi_flags & IFF_UP};
    const struct nlattr *attribute, *inner;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        switch (mnl_attr_get_type(attribute)) {
        case IFLA_IFNAME:
            if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
                snprintf(link.name, sizeof(link.name), "%s", mnl_attr_get_str(attribute));
            }
            break;
        case IFLA_MASTER:
            link.master = mnl_attr_get_u32(attribute);
            break;
        case IFLA_MTU:
            link.mtu = mnl_attr_get_u32(attribute);
            break;
        case IFLA_ADDRESS:
            if (mnl_attr_get_payload_len(attribute) == sizeof(link.mac)) {
                memcpy(link.mac, mnl_attr_get_payload(attribute), sizeof(link.mac));
            }
            break;
        case IFLA_LINKINFO:
            mnl_attr_for_each_nested(inner, attribute)
            {
                if (mnl_attr_get_type(inner) == IFLA_INFO_KIND &&
                    mnl_attr_validate(inner, MNL_TYPE_NUL_STRING) >= 0) {
                    snprintf(link.kind, sizeof(link.kind), "%s", mnl_attr_get_str(inner));
                }
            }
            break;
        default:
            break;
        }
    }
    *ret_link = link;
    return 0;
}

static int link_list_add(const struct nlmsghdr *message, void *context)
{
    struct link_list *list = context;
    if (message->nlmsg_type != RTM_NEWLINK) {
        return 0;
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 32 : 2 * list->room;
        struct link *items = realloc(list->items, room * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->room = room;
    }
    int result = link_read(message, &list->items[list->count]);
    if (result == 0) {
        list->count++;
    }
    return result;
}

static void link_list_restart(void *context)
{
    ((struct link_list *)context)->count = 0;
}

int link_list_read(struct netlink *netlink, struct link_list *ret_list, struct error *error)
{
    *ret_list = (struct link_list){0};
    return netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), link_list_add,
                        link_list_restart, ret_list, error);
}

void link_list_free(struct link_list *list)
{
    free(list->items);
    *list = (struct link_list){0};
}

const struct link *link_list_find(const struct link_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

int link_get(struct netlink *netlink, const char *name, struct link *ret_link, struct error *error)
{
    struct nlmsghdr *header = netlink_request(netlink, RTM_GETLINK, 0, "look up link %s", name);
    if (header == NULL) {
        return error_set(error, -ENOBUFS, "too many netlink requests in one batch");
    }
    netlink_accept(netlink, ENODEV);
    put_ifinfo(header);
    put_name(header, name);
    _Alignas(8) char buffer[16384];
    const struct nlmsghdr *answer;
    int result = netlink_ask(netlink, buffer, sizeof(buffer), &answer, error);
    return result < 0 ? result : link_read(answer, ret_link);
}

void link_set_up(struct netlink *netlink, const char *name, bool up)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "bring link %s %s", name, up ? "up" : "down");
    if (header != NULL) {
        struct ifinfomsg *info = put_ifinfo(header);
        info->ifi_change = IFF_UP;
        info->ifi_flags = up ? IFF_UP : 0;
        put_name(header, name);
    }
}

void link_set_mtu(struct netlink *netlink, const char *name, uint32_t mtu)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "set the MTU of link %s to %u", name, mtu);
    if (header != NULL) {
        put_ifinfo(header);
        put_name(header, name);
        mnl_attr_put_u32(header, IFLA_MTU, mtu);
    }
}

void link_set_mac(struct netlink *netlink, const char *name, const uint8_t mac[6])
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "set the MAC address of link %s", name);
    if (header != NULL) {
        put_ifinfo(header);
        put_name(header, name);
        mnl_attr_put(header, IFLA_ADDRESS, 6, mac);
    }
}

void link_set_master(struct netlink *netlink, const char *name, unsigned master)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "make link %s a port of its bridge", name);
    if (header != NULL) {
        put_ifinfo(header);
        put_name(header, name);
        mnl_attr_put_u32(header, IFLA_MASTER, master);
    }
}

void link_rename(struct netlink *netlink, unsigned index, const char *name)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "rename link %u to %s", index, name);
    if (header != NULL) {
        put_ifinfo(header)->ifi_index = (int)index;
        put_name(header, name);
    }
}

void link_move(struct netlink *netlink, const char *name, int netns_fd)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, 0, "move link %s to its namespace", name);
    if (header != NULL) {
        put_ifinfo(header);
        put_name(header, name);
        mnl_attr_put_u32(header, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    }
}

void link_delete(struct netlink *netlink, const char *name)
{
    struct nlmsghdr *header = netlink_request(netlink, RTM_DELLINK, 0, "delete link %s", name);
    if (header != NULL) {
        netlink_accept(netlink, ENODEV);
        put_ifinfo(header);
        put_name(header, name);
    }
}

int link_monitor_open(int *ret_fd)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) {
        return -errno;
    }
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

bool link_monitor_read(int fd, void (*gone)(const char *name, void *context), void *context)
{
    _Alignas(8) char buffer[16384];
    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t length =
            recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);
        if (length < 0) {
            return errno == ENOBUFS;
        }
        int left = (int)length;
        // Only the kernel itself (port 0) is believed.
        for (const struct nlmsghdr *message = (const void *)buffer;
             from.nl_pid == 0 && mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left)) {
            struct link link;
            if (message->nlmsg_type == RTM_DELLINK && link_read(message, &link) == 0) {
                gone(link.name, context);
            }
        }
    }
}

void link_derive_mac(uint8_t role, const struct addr *addr, uint8_t ret_mac[6])
{
    // 02: locally administered, unicast. An IPv4 address fits whole; of an IPv6 one the interface
    // part, which differs within a subnet.
    size_t at = addr->family == 6 ? 12 : 0;
    ret_mac[0] = 0x02;
    ret_mac[1] = (uint8_t)(0xe0 | role);
    memcpy(ret_mac + 2, addr->ip + at, 4);
}

bool link_name_valid(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length < IFNAMSIZ &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
               length;
}
