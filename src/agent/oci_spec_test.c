// SPDX-License-Identifier: Apache-2.0
// What a unit's container is promised: no privilege, one file, its limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "agent/oci_spec.h"

static json_t *spec_of(const struct desired_limits *limits)
{
    struct oci_unit unit = {
        .id = 9,
        .user = 2000000009,
        .name = "weir-u9",
        .rootfs = "/run/weir/n1/rootfs",
        .proxy = "/usr/sbin/weir-proxy",
        .unit_dir = "/run/weir/n1/units/9",
        .netns = "/run/netns/weir-u9",
        .cgroup = "/weir/weir-u9",
        .limits = *limits,
        .descriptors = 1024,
    };
    char *text = oci_spec_print(&unit);
    assert_non_null(text);
    json_t *spec = json_loads(text, 0, NULL);
    assert_non_null(spec);
    free(text);
    return spec;
}

static json_t *at(json_t *json, const char *path)
{
    char copy[64];
    strcpy(copy, path);
    for (char *key = strtok(copy, "."); key != NULL; key = strtok(NULL, ".")) {
        json = json_object_get(json, key);
    }
    return json;
}

static void test_a_unit_has_no_privilege(void **state)
{
    json_t *spec = spec_of(&(struct desired_limits){0});
    const char *name;
    json_t *set, *capabilities = at(spec, "process.capabilities");
    assert_int_equal(json_object_size(capabilities), 5);
    json_object_foreach(capabilities, name, set)
    {
        assert_int_equal(json_array_size(set), 0);
    }
    assert_true(json_is_true(at(spec, "process.noNewPrivileges")));
    assert_int_equal(json_integer_value(at(spec, "process.user.uid")), 2000000009);
    assert_int_equal(json_integer_value(at(spec, "process.user.gid")), 2000000009);
    assert_true(json_is_true(at(spec, "root.readonly")));
    assert_true(json_is_false(
        json_object_get(json_array_get(at(spec, "linux.resources.devices"), 0), "allow")));
    json_decref(spec);
}

static void test_a_unit_has_namespaces_of_its_own_and_the_network_made_for_it(void **state)
{
    json_t *spec = spec_of(&(struct desired_limits){0});
    json_t *namespaces = at(spec, "linux.namespaces"), *namespace;
    size_t i, paths = 0;
    char types[128] = "";
    json_array_foreach(namespaces, i, namespace)
    {
        strcat(strcat(types, json_string_value(json_object_get(namespace, "type"))), " ");
        const char *path = json_string_value(json_object_get(namespace, "path"));
        if (path != NULL) {
            paths++;
            assert_string_equal(path, "/run/netns/weir-u9");
        }
    }
    assert_string_equal(types, "pid mount ipc uts cgroup network ");
    assert_int_equal(paths, 1);
    json_decref(spec);
}

static void test_only_its_own_directory_can_be_written(void **state)
{
    json_t *spec = spec_of(&(struct desired_limits){0});
    json_t *mounts = at(spec, "mounts"), *mount;
    size_t i, writable = 0;
    json_array_foreach(mounts, i, mount)
    {
        char *options = json_dumps(json_object_get(mount, "options"), JSON_COMPACT);
        if (strstr(options, "\"rw\"") != NULL) {
            writable++;
            assert_string_equal(json_string_value(json_object_get(mount, "source")),
                                "/run/weir/n1/units/9");
        }
        assert_non_null(strstr(options, "nosuid"));
        free(options);
    }
    assert_int_equal(writable, 1);
    json_decref(spec);
}

static void test_limits_are_set_when_they_are_given(void **state)
{
    json_t *spec = spec_of(&(struct desired_limits){268435456, 64, 1500});
    assert_int_equal(json_integer_value(at(spec, "linux.resources.memory.limit")), 268435456);
    assert_int_equal(json_integer_value(at(spec, "linux.resources.pids.limit")), 64);
    assert_int_equal(json_integer_value(at(spec, "linux.resources.cpu.quota")), 150000);
    assert_int_equal(json_integer_value(at(spec, "linux.resources.cpu.period")), 100000);
    json_decref(spec);
    spec = spec_of(&(struct desired_limits){0});
    assert_null(at(spec, "linux.resources.memory"));
    assert_null(at(spec, "linux.resources.pids"));
    assert_null(at(spec, "linux.resources.cpu"));
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_unit_has_no_privilege),
        cmocka_unit_test(test_a_unit_has_namespaces_of_its_own_and_the_network_made_for_it),
        cmocka_unit_test(test_only_its_own_directory_can_be_written),
        cmocka_unit_test(test_limits_are_set_when_they_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
