// SPDX-License-Identifier: Apache-2.0
#include "dns/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct zone *build(const char *const *names, size_t count, int want)
{
    struct addr address;
    assert_int_equal(addr_parse_ip(STR("10.90.0.16"), &address), 0);
    struct zone_name zone_names[8];
    for (size_t i = 0; i < count; i++) {
        zone_names[i] = (struct zone_name){str_of(names[i]), &address, 1};
    }
    struct zone_source source = {.origin = STR("weir.internal"),
                                 .serial = 7,
                                 .server_addresses = &address,
                                 .server_address_count = 1,
                                 .names = zone_names,
                                 .name_count = count};
    struct zone *zone = NULL;
    struct error error = {0};
    assert_int_equal(zone_build(&source, &zone, &error), want);
    assert_true((want == 0) == (error.code == 0));
    return zone;
}

static enum zone_match find(const struct zone *zone, const char *name, const char *origin,
                            const struct zone_entry **ret_entry)
{
    uint8_t wire[DNS_NAME_MAX];
    int len = dns_name_to_wire(str_of(name), str_of(origin), wire);
    assert_true(len > 0);
    for (int i = 1; i < len; i++) {
        if (wire[i] == 's') {
            wire[i] = 'S'; // any case finds it
        }
    }
    return zone_find(zone, wire, (size_t)len, ret_entry);
}

static void names_are_found_and_what_lies_above_them_exists(void **state)
{
    const char *names[] = {"shop.john", "cart.john", "a.b.c.d"};
    struct zone *zone = build(names, 3, 0);
    const struct zone_entry *entry = NULL;
    assert_int_equal(find(zone, "shop.john", "weir.internal", &entry), ZONE_FOUND);
    assert_int_equal(entry->v4_count, 1);
    assert_int_equal(find(zone, "john", "weir.internal", &entry), ZONE_FOUND);
    assert_int_equal(entry->v4_count + entry->v6_count, 0);
    assert_int_equal(find(zone, "c.d", "weir.internal", &entry), ZONE_FOUND);
    assert_int_equal(find(zone, "", "weir.internal", &entry), ZONE_FOUND);
    assert_ptr_equal(entry, zone_apex(zone));
    assert_int_equal(find(zone, "ns1", "weir.internal", &entry), ZONE_FOUND);
    assert_int_equal(entry->v4_count, 1);
    assert_int_equal(find(zone, "hop.john", "weir.internal", &entry), ZONE_NO_NAME);
    assert_int_equal(find(zone, "x.shop.john", "weir.internal", &entry), ZONE_NO_NAME);
    assert_int_equal(find(zone, "shop.john", "internal", &entry), ZONE_OUTSIDE);
    assert_int_equal(find(zone, "shop.john", "xweir.internal", &entry), ZONE_OUTSIDE);
    assert_int_equal(find(zone, "", "internal", &entry), ZONE_OUTSIDE);
    zone_free(zone);
}

static void what_is_no_name_is_refused(void **state)
{
    const char *bad[] = {"a..b",
                         ".a",
                         "a.",
                         "sp ace",
                         "über",
                         "",
                         "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        build(&bad[i], 1, -EINVAL);
    }
    const char *twice[] = {"a.b", "A.b"};
    build(twice, 2, -EEXIST);
}

static void a_name_that_is_also_above_another_keeps_its_addresses(void **state)
{
    const char *names[] = {"x.john", "john"};
    struct zone *zone = build(names, 2, 0);
    const struct zone_entry *entry = NULL;
    assert_int_equal(find(zone, "john", "weir.internal", &entry), ZONE_FOUND);
    assert_int_equal(entry->v4_count, 1);
    zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_and_what_lies_above_them_exists),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(a_name_that_is_also_above_another_keeps_its_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
