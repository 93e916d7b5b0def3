// SPDX-License-Identifier: Apache-2.0
// What apply_network makes, observe finds, whole or broken; in network and mount namespaces of the
// test's own, so the machine is out of reach. Needs root; says so and skips otherwise.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apply_network.h"
#include "agent/observe.h"
#include "base/clock.h"
#include "net/ip.h"
#include "net/link.h"
#include "net/netns.h"

static bool isolated;
static struct error failure;
static struct arena arena;

#define ASSERT_OK(call)                                          \
    do {                                                         \
        failure = (struct error){0};                             \
        int result_ = (call);                                    \
        if (result_ < 0) {                                       \
            fail_msg("%s: %d %s", #call, result_, failure.text); \
        }                                                        \
    } while (0)

#define NEEDS_ROOT()     \
    do {                 \
        if (!isolated) { \
            skip();      \
        }                \
    } while (0)

static int isolate(void **state)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) < 0) {
        print_message("skipped: namespaces need root\n");
        return 0;
    }
    mkdir("/run/netns", 0755);
    if (mount("none", "/run/netns", "tmpfs", 0, NULL) < 0 || netns_prepare(NULL) < 0) {
        return -1;
    }
    isolated = true;
    return 0;
}

static struct addr ip(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(str_of(text), &addr), 0);
    return addr;
}

static struct prefix subnet(const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(str_of(text), &prefix), 0);
    return prefix;
}

static struct unit_network unit_of(uint64_t id, const char *front, const char *back)
{
    return (struct unit_network){.id = id,
                                 .project_id = 1,
                                 .front = ip(front),
                                 .back = ip(back),
                                 .front_bits = 16,
                                 .back_bits = 24,
                                 .front_gateway = ip("10.90.0.1")};
}

static void make_ground(const char *instance)
{
    struct front_network front = {subnet("10.90.0.0/16"), ip("10.90.0.1")};
    struct project_network project = {1, subnet("10.1.0.0/24"), ip("10.1.0.1")};
    ASSERT_OK(network_add_front(instance, &front, &failure));
    ASSERT_OK(network_add_project(instance, &project, &failure));
}

static struct sighting look(const char *instance)
{
    struct sighting sighting;
    arena_reset(&arena);
    arena_init(&arena, 4096);
    ASSERT_OK(observe_networks(instance, &arena, &sighting, &failure));
    return sighting;
}

static enum presence unit_presence(const char *instance, uint64_t id)
{
    struct sighting sighting = look(instance);
    for (size_t i = 0; i < sighting.unit_count; i++) {
        if (sighting.units[i].id == id) {
            return sighting.units[i].network;
        }
    }
    return PRESENCE_NONE;
}

static void remove_all(const char *instance)
{
    struct unit_network unit = {.id = 9, .project_id = 1};
    ASSERT_OK(network_remove_unit(instance, &unit, &failure));
    ASSERT_OK(network_remove_project(instance, 1, &failure));
    ASSERT_OK(network_remove_front(instance, &failure));
}

static void test_what_is_made_is_found_with_its_addresses(void **state)
{
    NEEDS_ROOT();
    assert_int_equal(look("").front.presence, PRESENCE_NONE);
    make_ground("");
    struct unit_network unit = unit_of(9, "10.90.0.16", "10.1.0.254");
    uint64_t begin_ns = monotonic_ns();
    ASSERT_OK(network_add_unit("", &unit, false, &failure));
    print_message("a unit's network took %llu us\n",
                  (unsigned long long)(monotonic_ns() - begin_ns) / 1000);
    struct sighting sighting = look("");
    assert_int_equal(sighting.front.presence, PRESENCE_READY);
    assert_true(addr_equal(&sighting.front.gateway, &unit.front_gateway));
    assert_int_equal(sighting.front.subnet.bits, 16);
    assert_int_equal(sighting.network_count, 1);
    assert_int_equal(sighting.networks[0].presence, PRESENCE_READY);
    assert_int_equal(sighting.networks[0].project_id, 1);
    assert_int_equal(sighting.unit_count, 1);
    assert_int_equal(sighting.units[0].network, PRESENCE_READY);
    assert_int_equal(sighting.units[0].project_id, 1);
    assert_true(addr_equal(&sighting.units[0].front, &unit.front));
    assert_true(addr_equal(&sighting.units[0].back, &unit.back));
    // The front network is ours, not the machine's own route.
    assert_int_equal(sighting.route_count, 0);
    remove_all("");
    sighting = look("");
    assert_int_equal(sighting.front.presence, PRESENCE_NONE);
    assert_int_equal(sighting.network_count + sighting.unit_count, 0);
    remove_all(""); // of what is gone is no failure
}

static void test_the_machine_s_routes_are_told(void **state)
{
    NEEDS_ROOT();
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    struct link lo;
    ASSERT_OK(link_get(&netlink, "lo", &lo, &failure));
    struct addr address = ip("192.0.2.1"), alone = ip("198.51.100.9"), none = {0};
    struct prefix behind = subnet("203.0.113.0/25");
    link_set_up(&netlink, "lo", true);
    ip_add_address(&netlink, lo.index, &address, 24);
    ip_add_address(&netlink, lo.index, &alone, 32);
    ip_add_route(&netlink, &behind, &none, lo.index);
    ASSERT_OK(netlink_commit(&netlink, &failure));
    struct sighting sighting = look("");
    char text[512] = "", one[ADDR_TEXT_LEN];
    for (size_t i = 0; i < sighting.route_count; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s",
                 prefix_format(&sighting.routes[i], one));
    }
    assert_non_null(strstr(text, " 203.0.113.0/25"));
    assert_non_null(strstr(text, " 198.51.100.9/32"));
    assert_non_null(strstr(text, " 192.0.2."));
    assert_null(strstr(text, "127."));
    ip_remove_address(&netlink, lo.index, &address, 24);
    ip_remove_address(&netlink, lo.index, &alone, 32);
    link_set_up(&netlink, "lo", false);
    ASSERT_OK(netlink_commit(&netlink, &failure));
    netlink_close(&netlink);
}

// Breaks one thing; it must be seen, and one more add must put it right.
static void break_link(const char *name)
{
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    link_delete(&netlink, name);
    ASSERT_OK(netlink_commit(&netlink, &failure));
    netlink_close(&netlink);
}

static void down_link(const char *name)
{
    struct netlink netlink;
    assert_int_equal(netlink_open(&netlink), 0);
    link_set_up(&netlink, name, false);
    ASSERT_OK(netlink_commit(&netlink, &failure));
    netlink_close(&netlink);
}

static void break_namespace(const char *name)
{
    ASSERT_OK(netns_delete(name, &failure));
}

// A create that was cut off after its first step leaves a file that is no namespace.
static void cut_namespace(const char *name)
{
    char path[128];
    break_namespace(name);
    snprintf(path, sizeof(path), NETNS_DIRECTORY "/%s", name);
    close(open(path, O_CREAT | O_RDONLY, 0));
}

static void test_what_is_broken_is_seen_and_made_again(void **state)
{
    NEEDS_ROOT();
    static const struct {
        void (*damage)(const char *name);
        const char *name;
    } rows[] = {
        {break_link, "wf9"},
        {down_link, "wf9"},
        {break_namespace, "weir-u9"},
        {cut_namespace, "weir-u9"},
    };
    make_ground("");
    struct unit_network unit = unit_of(9, "10.90.0.16", "10.1.0.254");
    ASSERT_OK(network_add_unit("", &unit, false, &failure));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(unit_presence("", 9), PRESENCE_READY);
        rows[i].damage(rows[i].name);
        if (unit_presence("", 9) != PRESENCE_BROKEN) {
            fail_msg("row %zu: not seen as broken", i);
        }
        ASSERT_OK(network_add_unit("", &unit, true, &failure));
    }
    assert_int_equal(unit_presence("", 9), PRESENCE_READY);
    // A project whose namespace went takes its units' back interfaces with it.
    break_namespace("weir-p1");
    assert_int_equal(unit_presence("", 9), PRESENCE_BROKEN);
    make_ground("");
    ASSERT_OK(network_add_unit("", &unit, true, &failure));
    assert_int_equal(unit_presence("", 9), PRESENCE_READY);
    break_link("weir0");
    assert_int_equal(look("").front.presence, PRESENCE_NONE);
    assert_int_equal(unit_presence("", 9), PRESENCE_BROKEN);
    make_ground("");
    ASSERT_OK(network_add_unit("", &unit, true, &failure));
    assert_int_equal(unit_presence("", 9), PRESENCE_READY);
    remove_all("");
}

static void test_a_changed_gateway_is_put_right(void **state)
{
    NEEDS_ROOT();
    make_ground("");
    struct front_network front = {subnet("10.91.0.0/16"), ip("10.91.0.1")};
    ASSERT_OK(network_add_front("", &front, &failure));
    struct sighting sighting = look("");
    assert_int_equal(sighting.front.presence, PRESENCE_READY);
    assert_true(addr_equal(&sighting.front.gateway, &front.gateway));
    remove_all("");
}

static void test_instances_do_not_see_each_other(void **state)
{
    NEEDS_ROOT();
    struct unit_network unit = unit_of(9, "10.90.0.16", "10.1.0.254");
    make_ground("");
    ASSERT_OK(network_add_unit("", &unit, false, &failure));
    assert_int_equal(look("lab").unit_count, 0);
    assert_int_equal(look("lab").network_count, 0);
    remove_all("lab");
    assert_int_equal(unit_presence("", 9), PRESENCE_READY);
    remove_all("");
}

static void test_a_unit_without_its_ground_says_what_is_missing(void **state)
{
    NEEDS_ROOT();
    struct unit_network unit = unit_of(9, "10.90.0.16", "10.1.0.254");
    struct error error = {0};
    assert_true(network_add_unit("", &unit, false, &error) < 0);
    assert_non_null(strstr(error.text, "weir0"));
    struct front_network front = {subnet("10.90.0.0/16"), ip("10.90.0.1")};
    ASSERT_OK(network_add_front("", &front, &failure));
    error = (struct error){0};
    assert_true(network_add_unit("", &unit, true, &error) < 0);
    assert_non_null(strstr(error.text, "weir-p1"));
    // Half of it is there now; it is seen, and goes.
    assert_int_equal(unit_presence("", 9), PRESENCE_BROKEN);
    remove_all("");
    assert_int_equal(unit_presence("", 9), PRESENCE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_made_is_found_with_its_addresses),
        cmocka_unit_test(test_the_machine_s_routes_are_told),
        cmocka_unit_test(test_what_is_broken_is_seen_and_made_again),
        cmocka_unit_test(test_a_changed_gateway_is_put_right),
        cmocka_unit_test(test_instances_do_not_see_each_other),
        cmocka_unit_test(test_a_unit_without_its_ground_says_what_is_missing),
    };
    arena_init(&arena, 4096);
    int failed = cmocka_run_group_tests(tests, isolate, NULL);
    arena_reset(&arena);
    return failed;
}
