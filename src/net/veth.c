// SPDX-License-Identifier: Apache-2.0
#include "net/veth.h"

#include <linux/if_link.h>
#include <linux/veth.h>
#include <string.h>

static void put_end(struct nlmsghdr *header, const struct veth_end *end, uint32_t mtu)
{
    static const uint8_t none[6];
    mnl_attr_put_strz(header, IFLA_IFNAME, end->name);
    mnl_attr_put_u32(header, IFLA_MTU, mtu);
    if (end->netns_fd >= 0) {
        mnl_attr_put_u32(header, IFLA_NET_NS_FD, (uint32_t)end->netns_fd);
    }
    if (memcmp(end->mac, none, sizeof(none)) != 0) {
        mnl_attr_put(header, IFLA_ADDRESS, sizeof(end->mac), end->mac);
    }
}

void veth_create(struct netlink *netlink, const struct veth_end *near, unsigned master,
                 const struct veth_end *far, uint32_t mtu)
{
    struct nlmsghdr *header =
        netlink_request(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
                        "create the veth pair %s and %s", near->name, far->name);
    if (header == NULL) {
        return;
    }
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
    info->ifi_flags = info->ifi_change = IFF_UP;
    put_end(header, near, mtu);
    if (master != 0) {
        mnl_attr_put_u32(header, IFLA_MASTER, master);
    }
    struct nlattr *link_info = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
    struct nlattr *kind = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(header, VETH_INFO_PEER);
    // Not up: the kernel pairs the ends only after this one is there, and refuses before
    // (ENOTCONN).
    mnl_nlmsg_put_extra_header(header, sizeof(*info));
    put_end(header, far, mtu);
    mnl_attr_nest_end(header, peer);
    mnl_attr_nest_end(header, kind);
    mnl_attr_nest_end(header, link_info);
}
