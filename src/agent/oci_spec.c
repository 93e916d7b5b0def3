// SPDX-License-Identifier: Apache-2.0
#include "agent/oci_spec.h"

#include <jansson.h>

// What a unit has no business with, refused before the proxy sets its own, tighter filter. The list
// is short because every name costs time at each start.
static const char *const refused_calls[] = {
    "add_key",         "bpf",         "chroot",           "delete_module",
    "finit_module",    "init_module", "kexec_load",       "keyctl",
    "mount",           "move_mount",  "open_tree",        "fsopen",
    "perf_event_open", "pivot_root",  "process_vm_readv", "process_vm_writev",
    "ptrace",          "reboot",      "request_key",      "setns",
    "swapon",          "umount2",     "unshare",          "userfaultfd",
};

static json_t *bind_mount(const char *from, const char *to, const char *write)
{
    return json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination", to, "type", "bind", "source",
                     from, "options", "bind", write, "nosuid", "nodev");
}

// The order matters: later ones lie inside earlier ones.
static json_t *mounts(const struct oci_unit *unit)
{
    // runc itself needs /proc to start a process; the unit sees only its own pids there.
    json_t *proc = json_pack("{s:s, s:s, s:s, s:[s, s, s]}", "destination", "/proc", "type", "proc",
                             "source", "proc", "options", "nosuid", "noexec", "nodev");
    json_t *dev =
        json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination", "/dev", "type", "tmpfs",
                  "source", "tmpfs", "options", "nosuid", "noexec", "mode=755", "size=64k");
    return json_pack("[o, o, o, o]", proc, dev, bind_mount(unit->proxy, "/weir-proxy", "ro"),
                     bind_mount(unit->unit_dir, "/run/weir", "rw"));
}

static json_t *namespaces(const struct oci_unit *unit)
{
    return json_pack("[{s:s}, {s:s}, {s:s}, {s:s}, {s:s}, {s:s, s:s}]", "type", "pid", "type",
                     "mount", "type", "ipc", "type", "uts", "type", "cgroup", "type", "network",
                     "path", unit->netns);
}

static json_t *resources(const struct desired_limits *limits)
{
    json_t *resources = json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm");
    if (limits->memory_bytes > 0) {
        json_object_set_new(resources, "memory",
                            json_pack("{s:I}", "limit", (json_int_t)limits->memory_bytes));
    }
    if (limits->pids > 0) {
        json_object_set_new(resources, "pids",
                            json_pack("{s:I}", "limit", (json_int_t)limits->pids));
    }
    if (limits->cpu_millis > 0) {
        json_object_set_new(resources, "cpu",
                            json_pack("{s:I, s:I}", "quota", (json_int_t)limits->cpu_millis * 100,
                                      "period", (json_int_t)100000));
    }
    return resources;
}

static json_t *seccomp(void)
{
    json_t *names = json_array();
    for (size_t i = 0; i < ARRAY_LEN(refused_calls); i++) {
        json_array_append_new(names, json_string(refused_calls[i]));
    }
    return json_pack("{s:s, s:[{s:o, s:s, s:i}]}", "defaultAction", "SCMP_ACT_ALLOW", "syscalls",
                     "names", names, "action", "SCMP_ACT_ERRNO", "errnoRet", EPERM);
}

static void add_limit(json_t *limits, const char *type, uint64_t value)
{
    json_array_append_new(limits, json_pack("{s:s, s:I, s:I}", "type", type, "hard",
                                            (json_int_t)value, "soft", (json_int_t)value));
}

static json_t *process(const struct oci_unit *unit)
{
    json_t *capabilities = json_pack("{s:[], s:[], s:[], s:[], s:[]}", "bounding", "effective",
                                     "inheritable", "permitted", "ambient");
    json_t *limits = json_array();
    add_limit(limits, "RLIMIT_NOFILE", unit->descriptors);
    add_limit(limits, "RLIMIT_CORE", 0);
    // Its output goes to a file below /run: one that floods it ends before the agent's next look.
    add_limit(limits, "RLIMIT_FSIZE", 16 << 20);
    return json_pack(
        "{s:b, s:{s:I, s:I}, s:[s, s, s, s, s], s:[s], s:s, s:o, s:o, s:b, s:i}", "terminal", 0,
        "user", "uid", (json_int_t)unit->user, "gid", (json_int_t)unit->user, "args", "/weir-proxy",
        "--snapshot", "/run/weir/snapshot.json", "--control", "/run/weir/control.sock", "env",
        "PATH=/", "cwd", "/", "capabilities", capabilities, "rlimits", limits, "noNewPrivileges", 1,
        // Rather a unit than the machine's own services when memory runs out.
        "oomScoreAdj", 200);
}

char *oci_spec_print(const struct oci_unit *unit)
{
    json_t *linux_part = json_pack("{s:o, s:s, s:o, s:o, s:[s, s, s, s, s], s:[s, s, s, s, s]}",
                                   "namespaces", namespaces(unit), "cgroupsPath", unit->cgroup,
                                   "resources", resources(&unit->limits), "seccomp", seccomp(),
                                   "maskedPaths", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                                   "/proc/sched_debug", "/proc/acpi", "readonlyPaths", "/proc/sys",
                                   "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs");
    json_t *spec = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
                             "process", process(unit), "root", "path", unit->rootfs, "readonly", 1,
                             "hostname", unit->name, "mounts", mounts(unit), "linux", linux_part);
    char *text = spec != NULL ? json_dumps(spec, JSON_COMPACT) : NULL;
    json_decref(spec);
    return text;
}
