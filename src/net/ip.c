// SPDX-License-Identifier: Apache-2.0
#include "net/ip.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <string.h>

static uint8_t family_of(uint8_t family)
{
    return family == 6 ? AF_INET6 : AF_INET;
}

static size_t ip_len(uint8_t family)
{
    return family == 6 ? 16 : 4;
}

static bool addr_read(const struct nlattr *attribute, uint8_t family, uint8_t ip[16])
{
    if (mnl_attr_get_payload_len(attribute) != ip_len(family)) {
        return false;
    }
    memcpy(ip, mnl_attr_get_payload(attribute), ip_len(family));
    return true;
}

static void put_ifaddr(struct nlmsghdr *header, unsigned link, const struct addr *addr,
                       uint8_t bits)
{
    struct ifaddrmsg *message = mnl_nlmsg_put_extra_header(header, sizeof(*message));
    message->ifa_family = family_of(addr->family);
    message->ifa_prefixlen = bits;
    message->ifa_index = link;
    // IPv6: usable at once.
    message->ifa_flags = addr->family == 6 ? IFA_F_NODAD : 0;
    mnl_attr_put(header, IFA_LOCAL, ip_len(addr->family), addr->ip);
    mnl_attr_put(header, IFA_ADDRESS, ip_len(addr->family), addr->ip);
}

void ip_add_address(struct netlink *netlink, unsigned link, const struct addr *addr, uint8_t bits)
{
    char text[ADDR_TEXT_LEN];
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "add the address %s/%u",
                        addr_format_ip(addr, text), bits);
    if (header != NULL) {
        netlink_accept(netlink, EEXIST);
        put_ifaddr(header, link, addr, bits);
    }
}

void ip_remove_address(struct netlink *netlink, unsigned link, const struct addr *addr,
                       uint8_t bits)
{
    char text[ADDR_TEXT_LEN];
    struct nlmsghdr *header = netlink_request(netlink, RTM_DELADDR, 0, "remove the address %s/%u",
                                              addr_format_ip(addr, text), bits);
    if (header != NULL) {
        netlink_accept(netlink, EADDRNOTAVAIL);
        put_ifaddr(header, link, addr, bits);
    }
}

void ip_add_route(struct netlink *netlink, const struct prefix *to, const struct addr *via,
                  unsigned link)
{
    char text[ADDR_TEXT_LEN];
    struct nlmsghdr *header = netlink_request(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
                                              "add the route to %s", prefix_format(to, text));
    if (header == NULL) {
        return;
    }
    struct rtmsg *message = mnl_nlmsg_put_extra_header(header, sizeof(*message));
    message->rtm_family = family_of(to->family);
    message->rtm_dst_len = to->bits;
    message->rtm_table = RT_TABLE_MAIN;
    message->rtm_protocol = RTPROT_STATIC;
    message->rtm_scope = via->family != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    message->rtm_type = RTN_UNICAST;
    if (to->bits > 0) {
        mnl_attr_put(header, RTA_DST, ip_len(to->family), to->ip);
    }
    if (via->family != 0) {
        mnl_attr_put(header, RTA_GATEWAY, ip_len(via->family), via->ip);
    }
    mnl_attr_put_u32(header, RTA_OIF, link);
}

// Makes room for one more item; NULL when memory is out.
static void *list_grow(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return items;
    }
    size_t wanted = *room == 0 ? 32 : 2 * *room;
    void *grown = realloc(items, wanted * size);
    if (grown != NULL) {
        *room = wanted;
    }
    return grown;
}

static int address_list_add(const struct nlmsghdr *message, void *context)
{
    struct ip_address_list *list = context;
    if (message->nlmsg_type != RTM_NEWADDR ||
        mnl_nlmsg_get_payload_len(message) < sizeof(struct ifaddrmsg)) {
        return 0;
    }
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) {
        return 0;
    }
    struct ip_address address = {.link = info->ifa_index, .bits = info->ifa_prefixlen};
    address.addr.family = info->ifa_family == AF_INET6 ? 6 : 4;
    bool found = false, local = false;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        // IFA_LOCAL is the address itself; IFA_ADDRESS is the peer's on a point-to-point link.
        if (mnl_attr_get_type(attribute) == IFA_LOCAL ||
            (mnl_attr_get_type(attribute) == IFA_ADDRESS && !local)) {
            found |= addr_read(attribute, address.addr.family, address.addr.ip);
            local |= mnl_attr_get_type(attribute) == IFA_LOCAL;
        }
    }
    if (!found) {
        return 0;
    }
    void *items = list_grow(list->items, list->count, &list->room, sizeof(address));
    if (items == NULL) {
        return -ENOMEM;
    }
    list->items = items;
    list->items[list->count++] = address;
    return 0;
}

static void address_list_restart(void *context)
{
    ((struct ip_address_list *)context)->count = 0;
}

int ip_list_addresses(struct netlink *netlink, struct ip_address_list *ret_list,
                      struct error *error)
{
    *ret_list = (struct ip_address_list){0};
    return netlink_dump(netlink, RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), address_list_add,
                        address_list_restart, ret_list, error);
}

void ip_address_list_free(struct ip_address_list *list)
{
    free(list->items);
    *list = (struct ip_address_list){0};
}

static int route_list_add(const struct nlmsghdr *message, void *context)
{
    struct ip_route_list *list = context;
    if (message->nlmsg_type != RTM_NEWROUTE ||
        mnl_nlmsg_get_payload_len(message) < sizeof(struct rtmsg)) {
        return 0;
    }
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    bool local = info->rtm_table == RT_TABLE_LOCAL && info->rtm_type == RTN_LOCAL;
    bool main = info->rtm_table == RT_TABLE_MAIN && info->rtm_type == RTN_UNICAST;
    if ((info->rtm_family != AF_INET && info->rtm_family != AF_INET6) || (!local && !main) ||
        (info->rtm_flags & RTM_F_CLONED)) {
        return 0;
    }
    struct ip_route route = {.local = local};
    route.to.family = info->rtm_family == AF_INET6 ? 6 : 4;
    route.to.bits = info->rtm_dst_len;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        switch (mnl_attr_get_type(attribute)) {
        case RTA_DST:
            addr_read(attribute, route.to.family, route.to.ip);
            break;
        case RTA_GATEWAY:
            if (addr_read(attribute, route.to.family, route.via.ip)) {
                route.via.family = route.to.family;
            }
            break;
        case RTA_OIF:
            route.link = mnl_attr_get_u32(attribute);
            break;
        default:
            break;
        }
    }
    void *items = list_grow(list->items, list->count, &list->room, sizeof(route));
    if (items == NULL) {
        return -ENOMEM;
    }
    list->items = items;
    list->items[list->count++] = route;
    return 0;
}

static void route_list_restart(void *context)
{
    ((struct ip_route_list *)context)->count = 0;
}

int ip_list_routes(struct netlink *netlink, struct ip_route_list *ret_list, struct error *error)
{
    *ret_list = (struct ip_route_list){0};
    return netlink_dump(netlink, RTM_GETROUTE, AF_UNSPEC, sizeof(struct rtmsg), route_list_add,
                        route_list_restart, ret_list, error);
}

void ip_route_list_free(struct ip_route_list *list)
{
    free(list->items);
    *list = (struct ip_route_list){0};
}

int ip_find_route(struct netlink *netlink, const struct addr *addr, unsigned *ret_link,
                  struct error *error)
{
    char text[ADDR_TEXT_LEN];
    struct nlmsghdr *header = netlink_request(netlink, RTM_GETROUTE, 0, "find the route to %s",
                                              addr_format_ip(addr, text));
    if (header == NULL) {
        return error_set(error, -ENOBUFS, "too many netlink requests in one batch");
    }
    struct rtmsg *message = mnl_nlmsg_put_extra_header(header, sizeof(*message));
    message->rtm_family = family_of(addr->family);
    message->rtm_dst_len = (uint8_t)(8 * ip_len(addr->family));
    mnl_attr_put(header, RTA_DST, ip_len(addr->family), addr->ip);
    _Alignas(8) char buffer[8192];
    const struct nlmsghdr *answer;
    int result = netlink_ask(netlink, buffer, sizeof(buffer), &answer, error);
    if (result < 0) {
        return result;
    }
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, answer, sizeof(struct rtmsg))
    {
        if (mnl_attr_get_type(attribute) == RTA_OIF) {
            *ret_link = mnl_attr_get_u32(attribute);
            return 0;
        }
    }
    return error_set(error, -ENETUNREACH, "no interface leads to %s", text);
}
