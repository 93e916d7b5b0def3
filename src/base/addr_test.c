// SPDX-License-Identifier: Apache-2.0
#include "base/addr.h"

#include <errno.h>

#include "base/test.h"

static void addresses_print_as_they_were_read(void **state)
{
    static const char *const texts[] = {"10.0.0.5:8080", "0.0.0.0:1", "[::1]:65535",
                                        "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct addr addr, again;
        char buffer[ADDR_TEXT_LEN];
        assert_int_equal(addr_parse(str_of(texts[i]), &addr), 0);
        assert_string_equal(addr_format(&addr, buffer), texts[i]);
        struct sockaddr_storage sockaddr;
        addr_to_sockaddr(&addr, &sockaddr);
        assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sockaddr, &again), 0);
        assert_true(addr_equal(&addr, &again));
    }
}

static void what_is_no_address_is_refused_and_touches_nothing(void **state)
{
    static const char *const texts[] = {
        "",           "10.0.0.5",       "10.0.0.5:",    "10.0.0.5:0",  "10.0.0.5:65536",
        "10.0.5:80",  "010.0.0.5:1",    "10.0.0.5:+80", "10.0.0.5: 8", "[10.0.0.5]:80",
        "::1:80",     "[::1]",          "[::1:80",      "[]:80",       "::1]:80",
        "1.2.3.4x:1", "[fe80::1%1]:80", "256.1.1.1:1",  ":80",         "[::1]:80 "};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct addr addr = {.family = 9};
        assert_int_equal(addr_parse(str_of(texts[i]), &addr), -EINVAL);
        assert_int_equal(addr.family, 9);
    }
    struct addr addr;
    assert_int_equal(addr_parse_ip((struct str){"1.2.3.4\0", 8}, &addr), -EINVAL);
}

static struct prefix prefix_of(const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(str_of(text), &prefix), 0);
    return prefix;
}

static struct addr ip_of(const char *text)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(str_of(text), &addr), 0);
    return addr;
}

static void prefixes_with_host_bits_or_bad_lengths_are_refused(void **state)
{
    static const char *const texts[] = {"10.1.0.1/24", "10.1.0.0/33", "10.1.0.0", "10.1.0.0/",
                                        "::1/64",      "::/129",      "/24",      "10.1.0.0/-1"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct prefix prefix;
        assert_int_equal(prefix_parse(str_of(texts[i]), &prefix), -EINVAL);
    }
    char buffer[ADDR_TEXT_LEN];
    struct prefix prefix = prefix_of("10.1.128.0/17");
    assert_string_equal(prefix_format(&prefix, buffer), "10.1.128.0/17");
}

static void prefixes_contain_and_overlap(void **state)
{
    struct prefix wide = prefix_of("10.1.128.0/17"), narrow = prefix_of("10.1.200.0/24"),
                  other = prefix_of("10.1.0.0/17"), all = prefix_of("0.0.0.0/0"),
                  six = prefix_of("::/0");
    struct addr inside = ip_of("10.1.255.255"), outside = ip_of("10.1.127.255");
    assert_true(prefix_contains(&wide, &inside));
    assert_false(prefix_contains(&wide, &outside));
    assert_true(prefix_contains(&all, &outside));
    assert_false(prefix_contains(&six, &outside));
    assert_true(prefix_overlaps(&wide, &narrow) && prefix_overlaps(&narrow, &wide));
    assert_false(prefix_overlaps(&wide, &other));
    assert_true(prefix_overlaps(&all, &other));
    assert_false(prefix_overlaps(&all, &six));
}

static void nth_address_ends_with_the_prefix(void **state)
{
    char buffer[ADDR_TEXT_LEN];
    struct addr addr;
    struct prefix prefix = prefix_of("10.1.254.0/23"), six = prefix_of("2001:db8::/32");
    assert_int_equal(prefix_nth(&prefix, 511, &addr), 0);
    assert_string_equal(addr_format(&addr, buffer), "10.1.255.255");
    assert_int_equal(prefix_nth(&prefix, 512, &addr), -ERANGE);
    assert_int_equal(prefix_nth(&six, UINT64_MAX, &addr), 0);
    assert_string_equal(addr_format(&addr, buffer), "2001:db8::ffff:ffff:ffff:ffff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_print_as_they_were_read),
        cmocka_unit_test(what_is_no_address_is_refused_and_touches_nothing),
        cmocka_unit_test(prefixes_with_host_bits_or_bad_lengths_are_refused),
        cmocka_unit_test(prefixes_contain_and_overlap),
        cmocka_unit_test(nth_address_ends_with_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
