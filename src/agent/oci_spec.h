// SPDX-License-Identifier: Apache-2.0
// The OCI runtime specification (config.json) of a unit: a read-only root of one file, a user of
// its own without any capability, its own pid, mount, ipc, uts and cgroup namespaces, the network
// namespace that the agent made, and limits. Pure: no I/O.
#pragma once

#include "model/desired.h"

struct oci_unit {
    uint64_t id;
    uint32_t user;        // uid and gid
    const char *name;     // of the container and its host
    const char *rootfs;   // absolute paths, likewise below
    const char *proxy;    // bound to /weir-proxy
    const char *unit_dir; // bound to /run/weir
    const char *netns;    // /run/netns/weir-u9
    const char *cgroup;   // "/weir/weir-u9"
    struct desired_limits limits;
    uint64_t descriptors; // it may have open
};

// One line of JSON that the caller frees; NULL when memory is out.
char *oci_spec_print(const struct oci_unit *unit);
