// SPDX-License-Identifier: Apache-2.0
#include "http/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct route routes[] = {
    {"GET", "/v1/projects"},        {"POST", "/v1/projects"},          {"GET", "/v1/projects/{p}"},
    {"DELETE", "/v1/projects/{p}"}, {"GET", "/v1/projects/{p}/x/{y}"}, {"GET", "/v1/nodes/all"},
    {"GET", "/v1/nodes/{n}"},
};

static int find(const char *method, const char *path, struct route_match *match)
{
    return route_find(routes, ARRAY_LEN(routes), str_of(method), str_of(path), match);
}

static void a_path_finds_its_route_and_values(void **state)
{
    struct route_match match;
    assert_int_equal(find("POST", "/v1/projects", &match), 0);
    assert_ptr_equal(match.route, &routes[1]);
    assert_int_equal(find("HEAD", "/v1/projects", &match), 0);
    assert_ptr_equal(match.route, &routes[0]);
    assert_int_equal(find("GET", "/v1/projects/john%27s%20project/x/10.0.0.5:80", &match), 0);
    assert_true(str_equal(match.values[0], STR("john's project")));
    assert_true(str_equal(match.values[1], STR("10.0.0.5:80")));
    assert_int_equal(find("GET", "/v1/projects/a%2Fb", &match), 0);
    assert_true(str_equal(match.values[0], STR("a/b")));
    assert_int_equal(find("GET", "/v1/nodes/all", &match), 0);
    assert_ptr_equal(match.route, &routes[5]);
}

static void what_is_not_there_is_told_apart_from_what_is_not_allowed(void **state)
{
    struct route_match match;
    assert_int_equal(find("GET", "/", &match), -ENOENT);
    assert_int_equal(find("GET", "", &match), -ENOENT);
    assert_int_equal(find("OPTIONS", "*", &match), -ENOENT);
    assert_int_equal(find("GET", "/v1/projects/", &match), -ENOENT);
    assert_int_equal(find("GET", "/v1/projects//x/1", &match), -ENOENT);
    assert_int_equal(find("GET", "/v1/projects/1/x/2/3", &match), -ENOENT);
    assert_int_equal(find("PUT", "/v1/projects/1", &match), -EPERM);
    assert_string_equal(match.allow, "GET, DELETE");
    assert_int_equal(find("GET", "/v1/projects/%zz", &match), -EINVAL);
    assert_int_equal(find("GET", "/v1/projects/%00", &match), -EINVAL);
    char path[4000] = "/v1/projects/";
    memset(path + 13, 'a', 2000);
    assert_int_equal(find("GET", path, &match), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_finds_its_route_and_values),
        cmocka_unit_test(what_is_not_there_is_told_apart_from_what_is_not_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
