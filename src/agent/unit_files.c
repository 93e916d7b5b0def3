// SPDX-License-Identifier: Apache-2.0
#include "agent/unit_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

enum { LOG_KEPT_BYTES = 1 << 20, LOG_MAX_BYTES = 4 << 20 };

int unit_path(const char *run_dir, uint64_t unit_id, const char *file,
              char buffer[static UNIT_PATH_LEN])
{
    int length = snprintf(buffer, UNIT_PATH_LEN, "%s/units/%" PRIu64 "%s%s", run_dir, unit_id,
                          file[0] != '\0' ? "/" : "", file);
    return length < UNIT_PATH_LEN ? 0 : -ENAMETOOLONG;
}

int unit_directory_make(const char *run_dir, uint64_t unit_id, uint32_t user, struct error *error)
{
    char path[UNIT_PATH_LEN];
    int result = unit_path(run_dir, unit_id, "", path);
    if (result == 0) {
        result = directory_remove(path);
    }
    if (result == 0 && mkdir(path, 0700) < 0) {
        result = -errno;
    }
    // Group-writable for the unit and sticky: it makes its socket, ours it cannot replace.
    if (result == 0 && user != 0 && (chown(path, 0, user) < 0 || chmod(path, S_ISVTX | 0770) < 0)) {
        result = -errno;
    }
    return result < 0 ? error_set(error, result, "cannot create %s: %s", path, strerror(-result))
                      : 0;
}

int unit_snapshot_write(const char *run_dir, uint64_t unit_id, uint32_t user, const char *snapshot,
                        struct error *error)
{
    char path[UNIT_PATH_LEN], beside[UNIT_PATH_LEN];
    int result = unit_path(run_dir, unit_id, "snapshot.json", path);
    // Made where the unit cannot reach it, then put in its place in one step.
    snprintf(beside, sizeof(beside), "%.200s/snapshot-%" PRIu64, run_dir, unit_id);
    if (result == 0) {
        result = file_write(beside, snapshot, 0640, false);
    }
    if (result == 0 && ((user != 0 && chown(beside, 0, user) < 0) || rename(beside, path) < 0)) {
        result = -errno;
        unlink(beside);
    }
    return result < 0 ? error_set(error, result, "cannot write %s: %s", path, strerror(-result))
                      : 0;
}

void unit_log_path(const char *run_dir, uint64_t unit_id, char buffer[static UNIT_PATH_LEN])
{
    snprintf(buffer, UNIT_PATH_LEN, "%.200s/logs/%" PRIu64, run_dir, unit_id);
}

int unit_log_open(const char *run_dir, uint64_t unit_id)
{
    char path[UNIT_PATH_LEN];
    unit_log_path(run_dir, unit_id, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_size > LOG_KEPT_BYTES && ftruncate(fd, 0) < 0) {
        // It only stays longer than wanted.
    }
    return fd;
}

void unit_log_cut(const char *run_dir, uint64_t unit_id)
{
    char path[UNIT_PATH_LEN];
    struct stat status;
    unit_log_path(run_dir, unit_id, path);
    if (stat(path, &status) == 0 && status.st_size > LOG_MAX_BYTES && truncate(path, 0) < 0) {
        // Tried again later.
    }
}

void unit_log_last(const char *run_dir, uint64_t unit_id, char *buffer, size_t size)
{
    buffer[0] = '\0';
    char path[UNIT_PATH_LEN], text[1024];
    unit_log_path(run_dir, unit_id, path);
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    if (end <= 0) {
        return;
    }
    off_t from = MAX(end - (off_t)sizeof(text) + 1, 0);
    ssize_t length = pread(fd, text, sizeof(text) - 1, from);
    while (length > 0 && text[length - 1] == '\n') {
        length--;
    }
    if (length <= 0) {
        return;
    }
    text[length] = '\0';
    const char *line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    // "<time> <level> weir-proxy: …"; what it said while all was well explains no end.
    const char *level = strchr(line, ' ');
    if (level != NULL && (strncmp(level, " info ", 6) == 0 || strncmp(level, " debug ", 7) == 0)) {
        return;
    }
    snprintf(buffer, size, "%s", line);
    for (char *at = buffer; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f) {
            *at = '?';
        }
    }
}

static void number_write(const char *run_dir, uint64_t unit_id, const char *file, uint64_t number)
{
    char path[UNIT_PATH_LEN], text[24];
    snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
    if (unit_path(run_dir, unit_id, file, path) == 0) {
        file_write(path, text, 0644, false);
    }
}

uint32_t unit_starts_read(const char *run_dir, uint64_t unit_id)
{
    char path[UNIT_PATH_LEN];
    cleanup(free_ptr) char *text = NULL;
    size_t length;
    if (unit_path(run_dir, unit_id, "starts", path) < 0 ||
        file_read(path, 64, &text, &length) < 0) {
        return 0;
    }
    return (uint32_t)strtoul(text, NULL, 10);
}

void unit_starts_write(const char *run_dir, uint64_t unit_id, uint32_t starts)
{
    number_write(run_dir, unit_id, "starts", starts);
}

void unit_pid_write(const char *run_dir, uint64_t unit_id, pid_t pid)
{
    number_write(run_dir, unit_id, "pid", (uint64_t)pid);
}

void unit_directory_remove(const char *run_dir, uint64_t unit_id)
{
    char path[UNIT_PATH_LEN];
    snprintf(path, sizeof(path), "%.200s/bundles/%" PRIu64, run_dir, unit_id);
    directory_remove(path);
    unit_log_path(run_dir, unit_id, path);
    unlink(path);
    // Last, because it is by this one that an agent finds what another left half removed.
    if (unit_path(run_dir, unit_id, "", path) == 0) {
        directory_remove(path);
    }
}

int unit_directories_read(const char *run_dir, uint64_t **ret_ids, size_t *ret_count)
{
    char path[UNIT_PATH_LEN];
    snprintf(path, sizeof(path), "%.200s/units", run_dir);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return -errno;
    }
    uint64_t *ids = NULL;
    size_t count = 0, room = 0;
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = readdir(directory)) != NULL) {
        uint64_t id;
        if (str_to_u64(str_of(entry->d_name), UINT64_MAX, &id) < 0) {
            continue;
        }
        if (count == room) {
            room = room == 0 ? 32 : 2 * room;
            uint64_t *grown = realloc(ids, room * sizeof(*ids));
            if (grown == NULL) {
                result = -ENOMEM;
                break;
            }
            ids = grown;
        }
        ids[count++] = id;
    }
    closedir(directory);
    if (result < 0) {
        free(ids);
        return result;
    }
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}

// By descriptor, so that a directory swapped for a link meanwhile leads nowhere.
static int directory_remove_at(int parent, const char *name, int depth)
{
    enum { DEPTH_MAX = 16 };
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    DIR *directory = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        close(fd);
        return -ELOOP;
    }
    int result = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode)) {
            int inner = directory_remove_at(fd, entry->d_name, depth + 1);
            result = result < 0 ? result : inner;
        } else if (unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT && result == 0) {
            result = -errno;
        }
    }
    closedir(directory);
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT && result == 0) {
        result = -errno;
    }
    return result;
}

int directory_remove(const char *path)
{
    return directory_remove_at(AT_FDCWD, path, 0);
}

int directory_make(const char *path, mode_t mode)
{
    char part[UNIT_PATH_LEN];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part)) {
        return -ENAMETOOLONG;
    }
    for (size_t at = 1; at <= length; at++) {
        if (path[at] == '/' || path[at] == '\0') {
            memcpy(part, path, at);
            part[at] = '\0';
            if (mkdir(part, mode) < 0 && errno != EEXIST) {
                return -errno;
            }
        }
    }
    struct stat status;
    if (stat(path, &status) < 0) {
        return -errno;
    }
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static int file_fill(int fd, const char *text, bool sync)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        ssize_t written = write(fd, text + at, length - at);
        if (written < 0) {
            return -errno;
        }
        at += (size_t)written;
    }
    return sync && fsync(fd) < 0 ? -errno : 0;
}

// The rename itself reaches the disk with the directory.
static int directory_sync(const char *file_path)
{
    char path[UNIT_PATH_LEN];
    const char *slash = strrchr(file_path, '/');
    snprintf(path, sizeof(path), "%.*s", slash != NULL ? (int)(slash - file_path) + 1 : 1,
             slash != NULL ? file_path : ".");
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_write(const char *path, const char *text, mode_t mode, bool sync)
{
    char temporary[UNIT_PATH_LEN + 8];
    int length = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (length >= (int)sizeof(temporary)) {
        return -ENAMETOOLONG;
    }
    unlink(temporary); // what a write that was cut off left
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        return -errno;
    }
    int result = file_fill(fd, text, sync);
    close(fd);
    if (result == 0 && rename(temporary, path) < 0) {
        result = -errno;
    }
    if (result < 0) {
        unlink(temporary);
        return result;
    }
    return sync ? directory_sync(path) : 0;
}

int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return -EINVAL;
    }
    if (status.st_size < 0 || (size_t)status.st_size > max) {
        return -EFBIG;
    }
    cleanup(free_ptr) char *text = malloc((size_t)status.st_size + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    size_t length = 0;
    while (length < (size_t)status.st_size) {
        ssize_t got = read(fd, text + length, (size_t)status.st_size - length);
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
    }
    text[length] = '\0';
    *ret_text = TAKE_PTR(text);
    *ret_len = length;
    return 0;
}
