// SPDX-License-Identifier: Apache-2.0
// Units as plain processes on loopback addresses of their own: no root, no namespaces, no limits.
// They are found again by their command line, which names the control socket in the unit's
// directory, so nothing has to be remembered.
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/runtime.h"
#include "agent/unit_files.h"
#include "event/child.h"

struct unit_runtime {
    struct runtime_config config;
    struct list ops; // of struct process_op
};

struct process_op {
    struct list link;
    struct runtime_op *op;
    struct process_watch dying;
    struct task later; // done comes from the loop, never from start itself
    struct unit_runtime *runtime;
};

static void op_finish(struct process_op *process)
{
    struct runtime_op *op = process->op;
    list_remove(&process->link);
    task_cancel(&process->later);
    free(process);
    op->done(op);
}

static void op_later(struct task *task)
{
    op_finish(CONTAINER_OF(task, struct process_op, later));
}

static struct process_op *op_new(struct unit_runtime *runtime, struct runtime_op *op)
{
    struct process_op *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        error_set(&op->error, -ENOMEM, "out of memory");
        op->done(op);
        return NULL;
    }
    process->op = op;
    process->runtime = runtime;
    task_init(&process->later, op_later);
    list_append(&runtime->ops, &process->link);
    return process;
}

static void process_start(struct unit_runtime *runtime, struct runtime_op *op)
{
    struct process_op *process = op_new(runtime, op);
    if (process == NULL) {
        return;
    }
    op->pid = 0;
    op->start_time = 0;
    char snapshot[UNIT_PATH_LEN], control[UNIT_PATH_LEN], log[UNIT_PATH_LEN];
    const char *run_dir = runtime->config.run_dir;
    unit_path(run_dir, op->unit_id, "snapshot.json", snapshot);
    unit_path(run_dir, op->unit_id, "control.sock", control);
    unit_log_path(run_dir, op->unit_id, log);
    int fd = unit_log_open(run_dir, op->unit_id); // begins a long one anew
    if (fd >= 0) {
        close(fd);
    }
    const char *const argv[] = {runtime->config.proxy, "--snapshot", snapshot,
                                "--control",           control,      NULL};
    int result = daemon_start(argv, log, &op->pid);
    if (result < 0) {
        error_set(&op->error, result, "cannot start %s: %s", argv[0], strerror(-result));
    } else {
        process_start_time(op->pid, &op->start_time);
        unit_pid_write(run_dir, op->unit_id, op->pid);
    }
    loop_defer(runtime->config.loop, &process->later);
}

static void stop_died(struct process_watch *watch)
{
    op_finish(CONTAINER_OF(watch, struct process_op, dying));
}

static void process_stop(struct unit_runtime *runtime, struct runtime_op *op)
{
    struct process_op *process = op_new(runtime, op);
    if (process == NULL) {
        return;
    }
    if (op->pid != 0 && process_watch_open(&process->dying, runtime->config.loop, op->pid,
                                           op->start_time, stop_died) == 0) {
        process_watch_kill(&process->dying, SIGKILL);
        return;
    }
    loop_defer(runtime->config.loop, &process->later);
}

static void process_abandon(struct unit_runtime *runtime)
{
    LIST_FOREACH (&runtime->ops, link) {
        struct process_op *process = CONTAINER_OF(link, struct process_op, link);
        process_watch_close(&process->dying);
        task_cancel(&process->later);
        list_remove(&process->link);
        free(process);
    }
}

static int process_open(const struct runtime_config *config, struct unit_runtime **ret_runtime,
                        struct error *error)
{
    if (access(config->proxy, X_OK) < 0) {
        return error_set(error, -errno, "cannot use %s: %s", config->proxy, strerror(errno));
    }
    char path[UNIT_PATH_LEN];
    // The unit binds its socket by this path.
    if (unit_path(config->run_dir, 999999, "control.sock", path) < 0 ||
        strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return error_set(error, -ENAMETOOLONG, "the path %s is too long for a socket",
                         config->run_dir);
    }
    struct unit_runtime *runtime = calloc(1, sizeof(*runtime));
    if (runtime == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    runtime->config = *config;
    list_init(&runtime->ops);
    *ret_runtime = runtime;
    return 0;
}

static struct unit_runtime *process_close(struct unit_runtime *runtime)
{
    if (runtime != NULL) {
        process_abandon(runtime);
        free(runtime);
    }
    return NULL;
}

// The unit whose control socket the process's command line names.
static int read_unit_id(const struct unit_runtime *runtime, const char *pid_name, uint64_t *ret_id)
{
    char path[300], text[2048], begin[UNIT_PATH_LEN];
    snprintf(path, sizeof(path), "/proc/%s/cmdline", pid_name);
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    // Only what we could have started ourselves.
    if (length <= 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid()) {
        return -ENOENT;
    }
    text[length] = '\0';
    const char *program = strrchr(runtime->config.proxy, '/'), *started = strrchr(text, '/');
    if (program == NULL || started == NULL || strcmp(program, started) != 0) {
        return -ENOENT;
    }
    size_t begin_length =
        (size_t)snprintf(begin, sizeof(begin), "%.200s/units/", runtime->config.run_dir);
    bool control = false;
    for (const char *at = text; at < text + length; at += strlen(at) + 1) {
        if (control && strncmp(at, begin, begin_length) == 0) {
            struct str id = {at + begin_length, strspn(at + begin_length, "0123456789")};
            return strcmp(id.at + id.len, "/control.sock") == 0 ? str_to_u64(id, UINT64_MAX, ret_id)
                                                                : -ENOENT;
        }
        control = strcmp(at, "--control") == 0;
    }
    return -ENOENT;
}

static int process_find(struct unit_runtime *runtime, struct arena *arena,
                        struct runtime_found **ret_found, size_t *ret_count, struct error *error)
{
    enum { UNITS_MAX = 4096 };
    struct runtime_found *found = arena_array(arena, struct runtime_found, UNITS_MAX);
    DIR *directory = opendir("/proc");
    if (found == NULL || directory == NULL) {
        if (directory != NULL) {
            closedir(directory);
        }
        return error_set(error, -ENOMEM, "cannot read /proc");
    }
    size_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL && count < UNITS_MAX) {
        uint64_t pid, unit_id;
        if (str_to_u64(str_of(entry->d_name), INT32_MAX, &pid) == 0 &&
            read_unit_id(runtime, entry->d_name, &unit_id) == 0 &&
            process_start_time((pid_t)pid, &found[count].start_time) == 0) {
            found[count].unit_id = unit_id;
            found[count++].pid = (pid_t)pid;
        }
    }
    closedir(directory);
    *ret_found = found;
    *ret_count = count;
    return 0;
}

const struct runtime_ops runtime_process = {
    .name = "process",
    .open = process_open,
    .close = process_close,
    .find = process_find,
    .start = process_start,
    .stop = process_stop,
    .abandon = process_abandon,
};
