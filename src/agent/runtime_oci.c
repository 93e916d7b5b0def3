// SPDX-License-Identifier: Apache-2.0
// Units as containers, by the command line of an OCI runtime (runc). `run --detach` was measured
// against create and start: one command instead of two, 40–80 ms. A unit is ended by killing its
// first process (the kernel ends the others of its pid namespace with it) and then deleting the
// container, because `delete --force` sleeps 100 ms between its looks.
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/oci_list.h"
#include "agent/oci_spec.h"
#include "agent/runtime.h"
#include "agent/spawn.h"
#include "agent/unit_files.h"
#include "base/command.h"
#include "net/netns.h"

enum { COMMAND_TIMEOUT_MS = 30000, CHECK_TIMEOUT_MS = 10000 };

struct unit_runtime {
    struct runtime_config config;
    char state_dir[UNIT_PATH_LEN], rootfs[UNIT_PATH_LEN];
    uint64_t descriptors; // that a unit may have open
    struct list ops;      // of struct oci_op
};

// What is under way for one unit: the commands run one after the other.
struct oci_op {
    struct list link;
    struct unit_runtime *runtime;
    struct runtime_op *op;
    struct spawn spawn;
    struct process_watch dying;
    bool spawned, deleted_first;
    char name[NAME_LEN];
};

static void op_finish(struct oci_op *oci)
{
    struct runtime_op *op = oci->op;
    list_remove(&oci->link);
    free(oci);
    op->done(op);
}

static void bundle_path(const struct unit_runtime *runtime, uint64_t unit_id, const char *file,
                        char buffer[static UNIT_PATH_LEN])
{
    // open made sure that there is room.
    snprintf(buffer, UNIT_PATH_LEN, "%s/bundles/%" PRIu64 "%s%s", runtime->config.run_dir, unit_id,
             file[0] != '\0' ? "/" : "", file);
}

// The text of the runtime's last error message, from its log of JSON lines.
static void read_complaint(const char *log_path, struct error *error, const char *what, int status)
{
    cleanup(free_ptr) char *text = NULL;
    size_t length = 0;
    char words[200] = "";
    if (file_read(log_path, 1 << 20, &text, &length) == 0) {
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            json_t *entry = json_loads(line, 0, NULL);
            const char *level = json_string_value(json_object_get(entry, "level"));
            const char *message = json_string_value(json_object_get(entry, "msg"));
            if (level != NULL && message != NULL && strcmp(level, "error") == 0) {
                snprintf(words, sizeof(words), "%s", message);
            }
            json_decref(entry);
        }
    }
    if (words[0] != '\0') {
        error_set(error, -EIO, "%s", words);
    } else if (WIFSIGNALED(status)) {
        error_set(error, -ETIMEDOUT, "%s was killed by signal %d (it is given %d s)", what,
                  WTERMSIG(status), COMMAND_TIMEOUT_MS / 1000);
    } else {
        error_set(error, -EIO, "%s failed with exit code %d", what, WEXITSTATUS(status));
    }
}

static int oci_spawn(struct oci_op *oci, const char *const argv[], int output_fd,
                     void (*done)(struct spawn *, int))
{
    char path[UNIT_PATH_LEN];
    bundle_path(oci->runtime, oci->op->unit_id, "runtime.log", path);
    unlink(path);
    int result = spawn_start(&oci->spawn, oci->runtime->config.loop, argv, output_fd,
                             COMMAND_TIMEOUT_MS, done);
    if (result < 0) {
        error_set(&oci->op->error, result, "cannot run %s: %s", argv[0], strerror(-result));
    }
    oci->spawned = result == 0;
    return result;
}

static void op_delete(struct oci_op *oci, void (*done)(struct spawn *, int))
{
    char log[UNIT_PATH_LEN];
    const struct unit_runtime *runtime = oci->runtime;
    bundle_path(runtime, oci->op->unit_id, "runtime.log", log);
    const char *const argv[] = {runtime->config.command,
                                "--root",
                                runtime->state_dir,
                                "--log",
                                log,
                                "--log-format",
                                "json",
                                "delete",
                                "--force",
                                oci->name,
                                NULL};
    if (oci_spawn(oci, argv, -1, done) < 0) {
        op_finish(oci);
    }
}

static int spec_write(const struct unit_runtime *runtime, const struct runtime_op *op,
                      const char *name)
{
    char path[UNIT_PATH_LEN], unit_dir[UNIT_PATH_LEN], netns[UNIT_PATH_LEN], cgroup[2 * NAME_LEN],
        table[NAME_LEN];
    snprintf(netns, sizeof(netns), NETNS_DIRECTORY "/%s", name);
    snprintf(cgroup, sizeof(cgroup), "/%s/%s", name_of_table(runtime->config.instance, table),
             name);
    unit_path(runtime->config.run_dir, op->unit_id, "", unit_dir);
    struct oci_unit unit = {
        .id = op->unit_id,
        .user = unit_user(op->unit_id),
        .name = name,
        .rootfs = runtime->rootfs,
        .proxy = runtime->config.proxy,
        .unit_dir = unit_dir,
        .netns = netns,
        .cgroup = cgroup,
        .limits = op->limits,
        .descriptors = runtime->descriptors,
    };
    cleanup(free_ptr) char *text = oci_spec_print(&unit);
    if (text == NULL) {
        return -ENOMEM;
    }
    bundle_path(runtime, op->unit_id, "", path);
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    bundle_path(runtime, op->unit_id, "config.json", path);
    return file_write(path, text, 0600, false);
}

static void run_ended(struct spawn *spawn, int status);

static void op_run(struct oci_op *oci)
{
    const struct unit_runtime *runtime = oci->runtime;
    struct runtime_op *op = oci->op;
    char bundle[UNIT_PATH_LEN], log[UNIT_PATH_LEN], pid[UNIT_PATH_LEN];
    int result = spec_write(runtime, op, oci->name);
    cleanup(close_fd) int log_fd =
        result == 0 ? unit_log_open(runtime->config.run_dir, op->unit_id) : -1;
    if (log_fd < 0) {
        result = result < 0 ? result : log_fd;
        error_set(&op->error, result, "cannot write the container's files: %s", strerror(-result));
        op_finish(oci);
        return;
    }
    bundle_path(runtime, op->unit_id, "", bundle);
    bundle_path(runtime, op->unit_id, "runtime.log", log);
    unit_path(runtime->config.run_dir, op->unit_id, "pid", pid);
    const char *const argv[] = {runtime->config.command,
                                "--root",
                                runtime->state_dir,
                                "--log",
                                log,
                                "--log-format",
                                "json",
                                "run",
                                "--detach",
                                "--no-new-keyring",
                                "--pid-file",
                                pid,
                                "--bundle",
                                bundle,
                                oci->name,
                                NULL};
    if (oci_spawn(oci, argv, log_fd, run_ended) < 0) {
        op_finish(oci);
    }
}

static void deleted_before_run(struct spawn *spawn, int status)
{
    struct oci_op *oci = CONTAINER_OF(spawn, struct oci_op, spawn);
    oci->spawned = false;
    op_run(oci); // whether it worked shows there
}

// Something of an earlier try may be in the way; it is deleted once.
static void run_failed(struct oci_op *oci, int status)
{
    char log[UNIT_PATH_LEN];
    bundle_path(oci->runtime, oci->op->unit_id, "runtime.log", log);
    struct error error = {0};
    read_complaint(log, &error, "the container's start", status);
    if (!oci->deleted_first && strstr(error.text, "already exists") != NULL) {
        oci->deleted_first = true;
        op_delete(oci, deleted_before_run);
        return;
    }
    oci->op->error = error;
    op_finish(oci);
}

static void run_ended(struct spawn *spawn, int status)
{
    struct oci_op *oci = CONTAINER_OF(spawn, struct oci_op, spawn);
    struct runtime_op *op = oci->op;
    oci->spawned = false;
    if (status != 0) {
        run_failed(oci, status);
        return;
    }
    char path[UNIT_PATH_LEN];
    cleanup(free_ptr) char *text = NULL;
    size_t length;
    unit_path(oci->runtime->config.run_dir, op->unit_id, "pid", path);
    uint64_t pid = 0;
    int result = file_read(path, 64, &text, &length);
    if (result == 0) {
        result = str_to_u64((struct str){text, strcspn(text, "\n")}, INT32_MAX, &pid);
    }
    if (result == 0) {
        // -ESRCH: it ended already; the pid with a start time of 0 is found dead by the caller.
        process_start_time((pid_t)pid, &op->start_time);
        op->pid = (pid_t)pid;
    } else {
        error_set(&op->error, result, "cannot read %s: %s", path, strerror(-result));
    }
    op_finish(oci);
}

static struct oci_op *op_new(struct unit_runtime *runtime, struct runtime_op *op)
{
    struct oci_op *oci = calloc(1, sizeof(*oci));
    if (oci != NULL) {
        oci->runtime = runtime;
        oci->op = op;
        name_of(runtime->config.instance, NAME_UNIT, op->unit_id, oci->name);
        list_append(&runtime->ops, &oci->link);
    } else {
        error_set(&op->error, -ENOMEM, "out of memory");
    }
    return oci;
}

static void oci_start(struct unit_runtime *runtime, struct runtime_op *op)
{
    op->pid = 0;
    op->start_time = 0;
    struct oci_op *oci = op_new(runtime, op);
    if (oci == NULL) {
        op->done(op);
    } else if (op->left) {
        oci->deleted_first = true;
        op_delete(oci, deleted_before_run);
    } else {
        op_run(oci);
    }
}

static void stop_deleted(struct spawn *spawn, int status)
{
    struct oci_op *oci = CONTAINER_OF(spawn, struct oci_op, spawn);
    char path[UNIT_PATH_LEN];
    oci->spawned = false;
    if (status != 0) {
        bundle_path(oci->runtime, oci->op->unit_id, "runtime.log", path);
        read_complaint(path, &oci->op->error, "the container's removal", status);
    } else {
        bundle_path(oci->runtime, oci->op->unit_id, "", path);
        directory_remove(path);
    }
    op_finish(oci);
}

static void stop_died(struct process_watch *process)
{
    struct oci_op *oci = CONTAINER_OF(process, struct oci_op, dying);
    op_delete(oci, stop_deleted);
}

static void oci_stop(struct unit_runtime *runtime, struct runtime_op *op)
{
    struct oci_op *oci = op_new(runtime, op);
    if (oci == NULL) {
        op->done(op);
        return;
    }
    if (op->pid != 0 && process_watch_open(&oci->dying, runtime->config.loop, op->pid,
                                           op->start_time, stop_died) == 0) {
        process_watch_kill(&oci->dying, SIGKILL);
        return;
    }
    op_delete(oci, stop_deleted);
}

static void oci_abandon(struct unit_runtime *runtime)
{
    LIST_FOREACH (&runtime->ops, link) {
        struct oci_op *oci = CONTAINER_OF(link, struct oci_op, link);
        if (oci->spawned) {
            spawn_abandon(&oci->spawn);
        }
        process_watch_close(&oci->dying);
        list_remove(&oci->link);
        free(oci);
    }
}

// A program that needs a dynamic linker cannot start in a root of one file.
static int check_static(const char *path, struct error *error)
{
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;
    if (fd < 0 || access(path, X_OK) < 0) {
        return error_set(error, -errno, "cannot use %s: %s", path, strerror(errno));
    }
    if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
        return error_set(error, -ENOEXEC, "%s is not a program for this machine", path);
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;
        if (pread(fd, &part, sizeof(part), (off_t)(header.e_phoff + i * sizeof(part))) ==
                sizeof(part) &&
            part.p_type == PT_INTERP) {
            return error_set(error, -ENOEXEC,
                             "%s is not a static binary; a unit's container holds nothing else",
                             path);
        }
    }
    return 0;
}

// The empty tree that every container sees; only mount points in it.
static int rootfs_make(const struct unit_runtime *runtime, struct error *error)
{
    static const char *const directories[] = {"", "/proc", "/dev", "/run", "/run/weir"};
    char path[UNIT_PATH_LEN + 16];
    int result = 0;
    for (size_t i = 0; result == 0 && i < ARRAY_LEN(directories); i++) {
        snprintf(path, sizeof(path), "%s%s", runtime->rootfs, directories[i]);
        result = directory_make(path, 0755);
    }
    if (result == 0) {
        snprintf(path, sizeof(path), "%s/weir-proxy", runtime->rootfs);
        int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0755);
        result = fd < 0 ? -errno : 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    return result < 0 ? error_set(error, result, "cannot create %s: %s", path, strerror(-result))
                      : 0;
}

static int oci_check(const struct runtime_config *config, struct error *error)
{
    if (geteuid() != 0) {
        return error_set(error, -EPERM,
                         "runtime oci needs root (namespaces, containers); use --runtime process");
    }
    const char *const argv[] = {config->command, "--version", NULL};
    struct command_result result;
    int code = command_run(argv, (struct str){0}, CHECK_TIMEOUT_MS, &result);
    if (code == 0) {
        code = result.status != 0 ? -ENOEXEC : 0;
        command_result_free(&result);
    }
    if (code < 0) {
        return error_set(error, code, "cannot run %s, which runtime oci needs (package runc): %s",
                         config->command, strerror(-code));
    }
    return check_static(config->proxy, error);
}

// 100,000 connections have two each. What root may give depends on where the agent runs (a
// container mostly may not raise limits), so it is tried.
static uint64_t descriptors_allowed(void)
{
    enum { WANTED = 262144 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit raised = {limit.rlim_cur, WANTED};
    if (limit.rlim_max < WANTED && setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        limit = raised;
    }
    return MIN(limit.rlim_max, (rlim_t)WANTED);
}

static int oci_open(const struct runtime_config *config, struct unit_runtime **ret_runtime,
                    struct error *error)
{
    int result = oci_check(config, error);
    if (result < 0) {
        return result;
    }
    struct unit_runtime *runtime = calloc(1, sizeof(*runtime));
    if (runtime == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    runtime->config = *config;
    runtime->descriptors = descriptors_allowed();
    // runc is a Go program that lives for 40 ms: without a collector and more threads than it can
    // use it starts a unit in a tenth less time. An operator's own settings are kept.
    setenv("GOGC", "off", 0);
    setenv("GOMAXPROCS", "1", 0);
    list_init(&runtime->ops);
    char path[UNIT_PATH_LEN];
    int length = snprintf(runtime->state_dir, UNIT_PATH_LEN, "%s/runc", config->run_dir);
    snprintf(runtime->rootfs, UNIT_PATH_LEN, "%s/rootfs", config->run_dir);
    // Room for "/bundles/18446744073709551615/runtime.log" in place of "/runc".
    result = length + 48 < UNIT_PATH_LEN ? 0 : -ENAMETOOLONG;
    snprintf(path, sizeof(path), "%.200s/bundles", config->run_dir);
    if (result == 0) {
        result = directory_make(path, 0700);
    }
    if (result < 0) {
        error_set(error, result, "cannot create %s: %s", path, strerror(-result));
    } else {
        result = rootfs_make(runtime, error);
    }
    if (result < 0) {
        free(runtime);
        return result;
    }
    *ret_runtime = runtime;
    return 0;
}

static struct unit_runtime *oci_close(struct unit_runtime *runtime)
{
    if (runtime != NULL) {
        oci_abandon(runtime);
        free(runtime);
    }
    return NULL;
}

static int oci_find(struct unit_runtime *runtime, struct arena *arena,
                    struct runtime_found **ret_found, size_t *ret_count, struct error *error)
{
    return oci_list(runtime->config.command, runtime->state_dir, runtime->config.instance, arena,
                    ret_found, ret_count, error);
}

// "oom_kill N" in the group's memory.events (cgroup v2) or memory.oom_control (v1).
static bool oci_out_of_memory(struct unit_runtime *runtime, uint64_t unit_id)
{
    static const char *const places[][2] = {{"", "memory.events"},
                                            {"memory/", "memory.oom_control"}};
    char path[UNIT_PATH_LEN], group[NAME_LEN], name[NAME_LEN], line[64];
    name_of_table(runtime->config.instance, group);
    name_of(runtime->config.instance, NAME_UNIT, unit_id, name);
    unsigned long kills = 0;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s/%s/%s", places[i][0], group, name,
                 places[i][1]);
        FILE *file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            unsigned long value;
            if (sscanf(line, "oom_kill %lu", &value) == 1) {
                kills += value;
            }
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    return kills > 0;
}

// The containers' parent control group, which runc made but never removes: one directory with
// cgroup v2, one in each controller's tree with v1. rmdir takes away only what is empty.
static void oci_clean(struct unit_runtime *runtime)
{
    char path[UNIT_PATH_LEN], group[NAME_LEN];
    name_of_table(runtime->config.instance, group);
    snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", group);
    rmdir(path);
    DIR *directory = opendir("/sys/fs/cgroup");
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "/sys/fs/cgroup/%.128s/%s", entry->d_name, group);
            rmdir(path);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

const struct runtime_ops runtime_oci = {
    .name = "oci",
    .open = oci_open,
    .close = oci_close,
    .find = oci_find,
    .start = oci_start,
    .stop = oci_stop,
    .out_of_memory = oci_out_of_memory,
    .clean = oci_clean,
    .abandon = oci_abandon,
};
