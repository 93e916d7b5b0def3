// SPDX-License-Identifier: Apache-2.0
// Named network namespaces: a bind mount at /run/netns/NAME, as iproute2 makes them, so that
// `ip netns` sees ours and we see its. A namespace belongs to a thread: netns_enter changes only
// the calling one.
#pragma once

#include "base/err.h"

#define NETNS_DIRECTORY "/run/netns"

// Makes the directory the shared mount that iproute2 expects. Once, at start.
int netns_prepare(struct error *error);

// A new namespace with loopback down. The calling thread is where it was afterwards. -EEXIST.
int netns_create(const char *name, struct error *error);
// -ENOENT when there is none of that name; -EINVAL when the file is no namespace (a left-over of a
// reboot or of a create that was cut off).
int netns_open(const char *name, int *ret_fd);
// Takes away the name; the kernel ends the namespace when its last process and socket is gone. One
// that is not there is no failure. Slow (waits for the kernel): not for a path that is in a hurry.
int netns_delete(const char *name, struct error *error);

struct netns_list {
    char **names;
    size_t count, room;
};
// All names in the directory that begin with prefix, whatever they are. Free also after a failure.
int netns_list_read(const char *prefix, struct netns_list *ret_list, struct error *error);
void netns_list_free(struct netns_list *list);

// Moves the calling thread. home: a descriptor for netns_leave. Nothing happened on failure.
int netns_enter(int fd, int *ret_home);
// Back; closes home. Cannot fail but by a kernel bug: the process ends then, because to go on in a
// wrong namespace would be worse.
void netns_leave(int home);

// A setting of the calling thread's namespace: netns_set("ipv4/ip_unprivileged_port_start", "0").
// -ENOENT when the kernel lacks it.
int netns_set(const char *setting, const char *value);
// Its value without the line's end.
int netns_get(const char *setting, char *buffer, size_t size);
