// SPDX-License-Identifier: Apache-2.0
// Kernel networking against the real kernel, inside a namespace of the test's own: the whole test
// runs in a fresh network and mount namespace, so the machine's links, routes and /run/netns are
// out of reach. Needs root; says so and skips otherwise.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bridge.h"
#include "net/ip.h"
#include "net/netns.h"
#include "net/nft.h"
#include "net/veth.h"

static bool isolated;
static struct error failure; // of the newest ASSERT_OK

static int isolate(void **state)
{
    if (geteuid() != 0) {
        print_message("skipped: network namespaces need root\n");
        return 0;
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) < 0) {
        print_message("skipped: no namespaces here: %s\n", strerror(errno));
        return 0;
    }
    mkdir("/run/netns", 0755);
    if (mount("none", "/run/netns", "tmpfs", 0, NULL) < 0) {
        return -1;
    }
    isolated = true;
    return 0;
}

#define NEEDS_ROOT()     \
    do {                 \
        if (!isolated) { \
            skip();      \
        }                \
    } while (0)

#define ASSERT_OK(call)                                          \
    do {                                                         \
        failure = (struct error){0};                             \
        int result_ = (call);                                    \
        if (result_ < 0) {                                       \
            fail_msg("%s: %d %s", #call, result_, failure.text); \
        }                                                        \
    } while (0)

static void test_namespaces_are_made_found_and_deleted(void **state)
{
    NEEDS_ROOT();
    ASSERT_OK(netns_prepare(&failure));
    ASSERT_OK(netns_prepare(&failure)); // twice is no failure
    ASSERT_OK(netns_create("weir-a", &failure));
    assert_int_equal(netns_create("weir-a", NULL), -EEXIST);
    ASSERT_OK(netns_create("other", &failure));
    struct netns_list list;
    ASSERT_OK(netns_list_read("weir-", &list, &failure));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.names[0], "weir-a");
    netns_list_free(&list);

    int fd;
    assert_int_equal(netns_open("weir-a", &fd), 0);
    close(fd);
    assert_int_equal(netns_open("weir-b", &fd), -ENOENT);
    assert_int_equal(netns_open("../x", &fd), -EINVAL);
    // What a create that was cut off leaves: a file that is no namespace.
    fd = open("/run/netns/weir-cut", O_CREAT | O_RDONLY, 0);
    close(fd);
    assert_int_equal(netns_open("weir-cut", &fd), -EINVAL);
    ASSERT_OK(netns_delete("weir-cut", &failure));
    ASSERT_OK(netns_delete("weir-a", &failure));
    ASSERT_OK(netns_delete("weir-a", &failure));
    ASSERT_OK(netns_delete("other", &failure));
    assert_int_equal(netns_open("weir-a", &fd), -ENOENT);
}

static void test_settings_are_of_the_namespace_entered(void **state)
{
    NEEDS_ROOT();
    ASSERT_OK(netns_create("weir-s", &failure));
    int fd, home;
    assert_int_equal(netns_open("weir-s", &fd), 0);
    assert_int_equal(netns_enter(fd, &home), 0);
    assert_int_equal(netns_set("ipv4/ip_unprivileged_port_start", "0"), 0);
    char value[32];
    assert_int_equal(netns_get("ipv4/ip_unprivileged_port_start", value, sizeof(value)), 0);
    assert_string_equal(value, "0");
    netns_leave(home);
    assert_int_equal(netns_get("ipv4/ip_unprivileged_port_start", value, sizeof(value)), 0);
    assert_string_equal(value, "1024");
    assert_int_equal(netns_set("ipv4/no_such_thing", "0"), -ENOENT);
    close(fd);
    ASSERT_OK(netns_delete("weir-s", &failure));
}

static struct addr ip(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(str_of(text), &addr), 0);
    return addr;
}

static struct prefix prefix_of(const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(str_of(text), &prefix), 0);
    return prefix;
}

// The whole network of a unit, and how long it takes.
static void test_a_pair_is_made_in_place_with_everything_set(void **state)
{
    NEEDS_ROOT();
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    struct addr gateway = ip("10.90.0.1"), front = ip("10.90.0.16"), none = {0};
    uint8_t mac[6];
    link_derive_mac(3, &gateway, mac);
    bridge_create(&netlink, "weirx", mac, 1500);
    ASSERT_OK(netlink_commit(&netlink, &failure));
    bridge_create(&netlink, "weirx", mac, 1500);
    ASSERT_OK(netlink_commit(&netlink, &failure)); // left as it is
    struct link bridge, link;
    ASSERT_OK(link_get(&netlink, "weirx", &bridge, &failure));
    assert_string_equal(bridge.kind, "bridge");
    assert_memory_equal(bridge.mac, mac, 6);
    assert_int_equal(link_get(&netlink, "nothing", &link, NULL), -ENODEV);

    uint64_t begin_ns = monotonic_ns();
    ASSERT_OK(netns_create("weir-u", &failure));
    int fd;
    assert_int_equal(netns_open("weir-u", &fd), 0);
    struct veth_end near = {"wf1", -1, {0}}, far = {"front", fd, {0}};
    link_derive_mac(1, &front, far.mac);
    veth_create(&netlink, &near, bridge.index, &far, 1500);
    ip_add_address(&netlink, bridge.index, &gateway, 16);
    ASSERT_OK(netlink_commit(&netlink, &failure));

    struct netlink inside;
    assert_int_equal(netlink_open_at(&inside, fd), 0);
    ASSERT_OK(link_get(&inside, "front", &link, &failure));
    assert_memory_equal(link.mac, far.mac, 6);
    link_set_up(&inside, "lo", true);
    link_set_up(&inside, "front", true);
    ip_add_address(&inside, link.index, &front, 16);
    struct prefix everything = {.family = 4};
    ip_add_route(&inside, &everything, &gateway, link.index);
    ASSERT_OK(netlink_commit(&inside, &failure));
    print_message("a unit's front network took %llu us\n",
                  (unsigned long long)(monotonic_ns() - begin_ns) / 1000);

    struct ip_address_list addresses;
    ASSERT_OK(ip_list_addresses(&inside, &addresses, &failure));
    bool found = false;
    for (size_t i = 0; i < addresses.count; i++) {
        found |= addr_equal(&addresses.items[i].addr, &front) && addresses.items[i].bits == 16;
    }
    assert_true(found);
    ip_address_list_free(&addresses);

    struct ip_route_list routes;
    ASSERT_OK(ip_list_routes(&inside, &routes, &failure));
    bool has_default = false, has_subnet = false, has_own = false;
    struct prefix subnet = prefix_of("10.90.0.0/16"), own = prefix_of("10.90.0.16/32");
    for (size_t i = 0; i < routes.count; i++) {
        const struct ip_route *route = &routes.items[i];
        has_default |= route->to.family == 4 && route->to.bits == 0 &&
                       addr_equal(&route->via, &gateway) && route->link == link.index;
        has_subnet |= memcmp(&route->to, &subnet, sizeof(subnet)) == 0 && !route->local;
        has_own |= memcmp(&route->to, &own, sizeof(own)) == 0 && route->local;
    }
    assert_true(has_default && has_subnet && has_own);
    ip_route_list_free(&routes);

    unsigned out;
    struct addr far_away = ip("192.0.2.77");
    ASSERT_OK(ip_find_route(&inside, &far_away, &out, &failure));
    assert_int_equal(out, link.index);
    struct error no_route = {0};
    assert_int_equal(ip_find_route(&netlink, &far_away, &out, &no_route), -ENETUNREACH);
    assert_non_null(strstr(no_route.text, "192.0.2.77"));

    struct link_list links;
    ASSERT_OK(link_list_read(&netlink, &links, &failure));
    const struct link *peer = link_list_find(&links, "wf1");
    assert_non_null(peer);
    assert_int_equal(peer->master, bridge.index);
    assert_string_equal(peer->kind, "veth");
    assert_null(link_list_find(&links, "front"));
    link_list_free(&links);

    ip_remove_address(&inside, link.index, &front, 16);
    ip_remove_address(&inside, link.index, &front, 16);
    ASSERT_OK(netlink_commit(&inside, &failure));
    link_delete(&netlink, "wf1");
    link_delete(&netlink, "wf1");
    link_delete(&netlink, "weirx");
    ASSERT_OK(netlink_commit(&netlink, &failure));
    (void)none;
    netlink_close(&inside);
    netlink_close(&netlink);
    close(fd);
    ASSERT_OK(netns_delete("weir-u", &failure));
}

static void test_a_failed_request_says_what_failed_and_the_rest_is_done(void **state)
{
    NEEDS_ROOT();
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    struct veth_end near = {"va", -1, {0}}, far = {"vb", -1, {0}}, other = {"vc", -1, {0}};
    veth_create(&netlink, &near, 0, &far, 1500);
    veth_create(&netlink, &near, 0, &other, 1500); // the name is taken
    link_set_mtu(&netlink, "vb", 1400);
    struct error error = {0};
    assert_int_equal(netlink_commit(&netlink, &error), -EEXIST);
    assert_string_equal(error.text, "cannot create the veth pair va and vc: File exists");
    struct link link;
    ASSERT_OK(link_get(&netlink, "vb", &link, &failure));
    assert_int_equal(link.mtu, 1400);
    // The next batch knows nothing of the failed one.
    link_set_up(&netlink, "vb", false);
    link_rename(&netlink, link.index, "vd");
    ASSERT_OK(netlink_commit(&netlink, &failure));
    ASSERT_OK(link_get(&netlink, "vd", &link, &failure));
    memset(&error, 0, sizeof(error));
    link_set_master(&netlink, "vd", 99999);
    assert_true(netlink_commit(&netlink, &error) < 0);
    assert_non_null(strstr(error.text, "vd"));
    link_delete(&netlink, "va");
    ASSERT_OK(netlink_commit(&netlink, &failure));
    netlink_close(&netlink);
}

static void test_long_lists_are_read_whole(void **state)
{
    NEEDS_ROOT();
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    struct link lo;
    ASSERT_OK(link_get(&netlink, "lo", &lo, &failure));
    link_set_up(&netlink, "lo", true);
    enum { COUNT = 1000 };
    for (unsigned i = 0; i < COUNT; i++) {
        struct addr addr = {.family = 4, .ip = {10, 77, (uint8_t)(i >> 8), (uint8_t)i}};
        ip_add_address(&netlink, lo.index, &addr, 32);
        if (i % 8 == 7) {
            ASSERT_OK(netlink_commit(&netlink, &failure));
        }
    }
    struct ip_address_list addresses;
    ASSERT_OK(ip_list_addresses(&netlink, &addresses, &failure));
    assert_true(addresses.count >= COUNT);
    ip_address_list_free(&addresses);
    netlink_close(&netlink);
}

static void test_derived_macs_are_stable_and_local(void **state)
{
    struct addr a = ip("10.90.0.16"), b = ip("10.90.0.17");
    uint8_t first[6], again[6], other[6], back[6];
    link_derive_mac(1, &a, first);
    link_derive_mac(1, &a, again);
    link_derive_mac(1, &b, other);
    link_derive_mac(2, &a, back);
    assert_memory_equal(first, again, 6);
    assert_memory_not_equal(first, other, 6);
    assert_memory_not_equal(first, back, 6);
    assert_int_equal(first[0] & 3, 2);
    assert_true(link_name_valid("wf12"));
    assert_false(link_name_valid("a-name-too-long-"));
    assert_false(link_name_valid("a/b"));
    assert_false(link_name_valid(""));
}

static void test_rules_for_the_outside_are_set_and_deleted(void **state)
{
    NEEDS_ROOT();
    struct error error = {0};
    if (nft_check(&error) < 0) {
        print_message("skipped: %s\n", error.text);
        skip();
    }
    const char *guarded[] = {"eth0"};
    const struct prefix closed[] = {prefix_of("10.1.0.0/24")};
    struct nft_outside outside = {
        "weir-test", prefix_of("10.90.0.0/16"), "weirx", guarded, 1, closed, 1};
    ASSERT_OK(nft_set_outside(&outside, &failure));
    ASSERT_OK(nft_set_outside(&outside, &failure)); // replaced, not doubled
    FILE *listing = popen("nft list ruleset", "r");
    char text[4096];
    size_t length = fread(text, 1, sizeof(text) - 1, listing);
    text[length] = '\0';
    pclose(listing);
    const char *masquerade = strstr(text, "masquerade");
    assert_non_null(masquerade);
    assert_null(strstr(masquerade + 1, "masquerade"));
    assert_non_null(strstr(text, "ip saddr 10.90.0.0/16 oifname != \"weirx\""));
    assert_non_null(strstr(text, "iifname \"eth0\" drop"));
    assert_non_null(strstr(text, "iifname \"weirx\" ip daddr 10.1.0.0/24 drop"));
    ASSERT_OK(nft_delete_table("weir-test", &failure));
    ASSERT_OK(nft_delete_table("weir-test", &failure));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespaces_are_made_found_and_deleted),
        cmocka_unit_test(test_settings_are_of_the_namespace_entered),
        cmocka_unit_test(test_a_pair_is_made_in_place_with_everything_set),
        cmocka_unit_test(test_a_failed_request_says_what_failed_and_the_rest_is_done),
        cmocka_unit_test(test_long_lists_are_read_whole),
        cmocka_unit_test(test_derived_macs_are_stable_and_local),
        cmocka_unit_test(test_rules_for_the_outside_are_set_and_deleted),
    };
    return cmocka_run_group_tests(tests, isolate, NULL);
}
