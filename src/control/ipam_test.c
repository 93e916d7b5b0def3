// SPDX-License-Identifier: Apache-2.0
#include "control/ipam.h"

#include "base/test.h"

static struct prefix prefix_of(const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(str_of(text), &prefix), 0);
    return prefix;
}

static struct addr addr_of(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(str_of(text), &addr), 0);
    return addr;
}

static void assert_pick(const struct ipam_range *range, const struct ipam_taken *taken,
                        uint64_t now_ms, const char *expected)
{
    struct addr addr;
    char text[ADDR_TEXT_LEN];
    assert_int_equal(ipam_pick(range, taken, now_ms, &addr), 0);
    assert_string_equal(addr_format_ip(&addr, text), expected);
}

static void front_addresses_leave_the_first_sixteen_alone(void **state)
{
    struct prefix subnet = prefix_of("10.90.0.0/16");
    struct ipam_range range = ipam_front_range(&subnet);
    struct addr used[] = {addr_of("10.90.0.16"), addr_of("10.1.0.17"), addr_of("10.90.0.18")};
    assert_pick(&range, &(struct ipam_taken){0}, 0, "10.90.0.16");
    assert_pick(&range, &(struct ipam_taken){.used = used, .used_count = 3}, 0, "10.90.0.17");
}

static void back_addresses_come_from_the_top(void **state)
{
    struct prefix subnet = prefix_of("10.1.0.0/24");
    struct ipam_range range = ipam_back_range(&subnet);
    struct addr used[] = {addr_of("10.1.0.254")};
    char text[ADDR_TEXT_LEN];
    struct addr gateway = ipam_gateway(&subnet);
    assert_pick(&range, &(struct ipam_taken){0}, 0, "10.1.0.254");
    assert_pick(&range, &(struct ipam_taken){.used = used, .used_count = 1}, 0, "10.1.0.253");
    assert_string_equal(addr_format_ip(&gateway, text), "10.1.0.1");
}

static void a_released_address_rests(void **state)
{
    struct prefix subnet = prefix_of("10.90.0.0/16");
    struct ipam_range range = ipam_front_range(&subnet);
    struct ipam_release released[] = {{addr_of("10.90.0.16"), 1000}};
    struct ipam_taken taken = {.released = released, .released_count = 1};
    assert_pick(&range, &taken, 2000, "10.90.0.17");
    assert_pick(&range, &taken, 1000 + IPAM_REST_MS, "10.90.0.16");
}

static void the_longest_rested_is_taken_when_nothing_else_is_left(void **state)
{
    struct prefix subnet = prefix_of("10.1.0.0/28"); // upper half: .8 … .14
    struct ipam_range range = ipam_back_range(&subnet);
    struct addr used[] = {addr_of("10.1.0.14"), addr_of("10.1.0.13"), addr_of("10.1.0.12"),
                          addr_of("10.1.0.11"), addr_of("10.1.0.10"), addr_of("10.1.0.9"),
                          addr_of("10.1.0.8")};
    struct ipam_release released[] = {{addr_of("10.1.0.9"), 500}, {addr_of("10.1.0.8"), 400}};
    struct ipam_taken taken = {used, 5, released, 2};
    assert_pick(&range, &taken, 1000, "10.1.0.8");
    taken.used_count = 7;
    struct addr addr;
    assert_int_equal(ipam_pick(&range, &taken, 1000, &addr), -ENOSPC);
}

static void project_subnets_avoid_what_is_used(void **state)
{
    struct prefix pool = prefix_of("10.100.0.0/22");
    struct prefix used[] = {prefix_of("10.100.0.0/24"), prefix_of("10.100.1.128/25"),
                            prefix_of("10.100.3.0/24")};
    struct prefix subnet;
    char text[ADDR_TEXT_LEN];
    assert_int_equal(ipam_pick_subnet(&pool, 24, used, 3, &subnet), 0);
    assert_string_equal(prefix_format(&subnet, text), "10.100.2.0/24");
    struct prefix all = prefix_of("10.0.0.0/8");
    assert_int_equal(ipam_pick_subnet(&pool, 24, &all, 1, &subnet), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(front_addresses_leave_the_first_sixteen_alone),
        cmocka_unit_test(back_addresses_come_from_the_top),
        cmocka_unit_test(a_released_address_rests),
        cmocka_unit_test(the_longest_rested_is_taken_when_nothing_else_is_left),
        cmocka_unit_test(project_subnets_avoid_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
