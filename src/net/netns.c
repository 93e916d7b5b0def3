// SPDX-License-Identifier: Apache-2.0
#include "net/netns.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"

#define NETNS_SELF "/proc/thread-self/ns/net"

enum { PATH_LEN = 288 };

static int netns_path(const char *name, char path[static PATH_LEN])
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 255) {
        return -EINVAL;
    }
    snprintf(path, PATH_LEN, NETNS_DIRECTORY "/%s", name);
    return 0;
}

int netns_prepare(struct error *error)
{
    if (mkdir(NETNS_DIRECTORY, 0755) < 0 && errno != EEXIST) {
        return error_set(error, -errno, "cannot create " NETNS_DIRECTORY ": %s", strerror(errno));
    }
    // Shared, so that when a name is taken away here, a copy of the mount in another mount
    // namespace (a service's private one) does not keep the network namespace alive.
    if (mount("", NETNS_DIRECTORY, "none", MS_SHARED | MS_REC, NULL) == 0) {
        return 0;
    }
    if (errno != EINVAL ||
        mount(NETNS_DIRECTORY, NETNS_DIRECTORY, "none", MS_BIND | MS_REC, NULL) < 0 ||
        mount("", NETNS_DIRECTORY, "none", MS_SHARED | MS_REC, NULL) < 0) {
        return error_set(error, -errno, "cannot make " NETNS_DIRECTORY " a shared mount: %s",
                         strerror(errno));
    }
    return 0;
}

int netns_create(const char *name, struct error *error)
{
    char path[PATH_LEN];
    int result = netns_path(name, path);
    if (result < 0) {
        return error_set(error, result, "'%s' cannot be the name of a namespace", name);
    }
    cleanup(close_fd) int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (file < 0) {
        return error_set(error, -errno, "cannot create the namespace %s: %s", name,
                         strerror(errno));
    }
    int home = open(NETNS_SELF, O_RDONLY | O_CLOEXEC);
    if (home < 0 || unshare(CLONE_NEWNET) < 0) {
        result =
            error_set(error, -errno, "cannot create the namespace %s: %s", name, strerror(errno));
        if (home >= 0) {
            close(home);
        }
        unlink(path);
        return result;
    }
    if (mount(NETNS_SELF, path, "none", MS_BIND, NULL) < 0) {
        result =
            error_set(error, -errno, "cannot mount the namespace %s: %s", name, strerror(errno));
        unlink(path);
    }
    netns_leave(home);
    return result;
}

int netns_open(const char *name, int *ret_fd)
{
    char path[PATH_LEN];
    int result = netns_path(name, path);
    if (result < 0) {
        return result;
    }
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC ||
        ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
        return -EINVAL;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int netns_delete(const char *name, struct error *error)
{
    char path[PATH_LEN];
    int result = netns_path(name, path);
    if (result < 0) {
        return error_set(error, result, "'%s' cannot be the name of a namespace", name);
    }
    // Mounted more than once if two made it at the same time; EINVAL: not mounted at all.
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT) {
        return error_set(error, -errno, "cannot unmount the namespace %s: %s", name,
                         strerror(errno));
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        return error_set(error, -errno, "cannot remove the namespace %s: %s", name,
                         strerror(errno));
    }
    return 0;
}

static int list_add(struct netns_list *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 32 : 2 * list->room;
        char **names = realloc(list->names, room * sizeof(*names));
        if (names == NULL) {
            return -ENOMEM;
        }
        list->names = names;
        list->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return -ENOMEM;
    }
    list->names[list->count++] = copy;
    return 0;
}

int netns_list_read(const char *prefix, struct netns_list *ret_list, struct error *error)
{
    *ret_list = (struct netns_list){0};
    DIR *directory = opendir(NETNS_DIRECTORY);
    if (directory == NULL) {
        return errno == ENOENT ? 0
                               : error_set(error, -errno, "cannot read " NETNS_DIRECTORY ": %s",
                                           strerror(errno));
    }
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            result = list_add(ret_list, entry->d_name);
        }
    }
    closedir(directory);
    return result < 0 ? error_set(error, result, "out of memory") : 0;
}

void netns_list_free(struct netns_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    *list = (struct netns_list){0};
}

int netns_enter(int fd, int *ret_home)
{
    cleanup(close_fd) int home = open(NETNS_SELF, O_RDONLY | O_CLOEXEC);
    if (home < 0 || setns(fd, CLONE_NEWNET) < 0) {
        return -errno;
    }
    *ret_home = TAKE_FD(home);
    return 0;
}

void netns_leave(int home)
{
    if (setns(home, CLONE_NEWNET) < 0) {
        log_error("cannot return to the machine's own network namespace: %s", strerror(errno));
        abort();
    }
    close(home);
}

static int setting_open(const char *setting, int flags)
{
    char path[PATH_LEN];
    snprintf(path, sizeof(path), "/proc/sys/net/%s", setting);
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int netns_set(const char *setting, const char *value)
{
    cleanup(close_fd) int fd = setting_open(setting, O_WRONLY);
    if (fd < 0) {
        return fd;
    }
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

int netns_get(const char *setting, char *buffer, size_t size)
{
    cleanup(close_fd) int fd = setting_open(setting, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    ssize_t length = read(fd, buffer, size - 1);
    if (length < 0) {
        return -errno;
    }
    buffer[length] = '\0';
    buffer[strcspn(buffer, "\n")] = '\0';
    return 0;
}
