// SPDX-License-Identifier: Apache-2.0
#include "net/bridge.h"

#include <linux/if_link.h>

void bridge_create(struct netlink *netlink, const char *name, const uint8_t mac[6], uint32_t mtu)
{
    struct nlmsghdr *header = netlink_request(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
                                              "create the bridge %s", name);
    if (header == NULL) {
        return;
    }
    netlink_accept(netlink, EEXIST);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
    info->ifi_flags = info->ifi_change = IFF_UP;
    mnl_attr_put_strz(header, IFLA_IFNAME, name);
    mnl_attr_put_u32(header, IFLA_MTU, mtu);
    mnl_attr_put(header, IFLA_ADDRESS, 6, mac);
    struct nlattr *link_info = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "bridge");
    struct nlattr *kind = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    mnl_attr_put_u32(header, IFLA_BR_STP_STATE, 0);
    // Snooping would hold back neighbour discovery until a querier was heard.
    mnl_attr_put_u8(header, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_nest_end(header, kind);
    mnl_attr_nest_end(header, link_info);
}
