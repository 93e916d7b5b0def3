// SPDX-License-Identifier: Apache-2.0
#include "event/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "event/engine.h"

enum { KEPT_MAX = 64 * 1024, PIPE_READS = 17 };

// A child that was cancelled and has not died yet.
struct orphan {
    struct list link; // of loop->orphans
    struct watch watch;
    pid_t pid;
};

static void orphan_died(struct watch *watch, unsigned events)
{
    struct orphan *orphan = CONTAINER_OF(watch, struct orphan, watch);
    if (waitpid(orphan->pid, NULL, WNOHANG) == 0) {
        return;
    }
    orphan_free(&orphan->link);
}

void orphan_free(struct list *link)
{
    struct orphan *orphan = CONTAINER_OF(link, struct orphan, link);
    list_remove(link);
    watch_close(&orphan->watch);
    close(orphan->watch.fd);
    free(orphan);
}

// Takes pidfd.
static void leave_orphan(struct loop *loop, pid_t pid, int pidfd)
{
    struct orphan *orphan = malloc(sizeof(*orphan));
    if (orphan == NULL || waitpid(pid, NULL, WNOHANG) != 0 ||
        watch_open(&orphan->watch, loop, pidfd, WATCH_READ, orphan_died) < 0) {
        free(orphan);
        close(pidfd);
        return;
    }
    orphan->pid = pid;
    list_append(&loop->orphans, &orphan->link);
}

static void close_watch(struct watch *watch)
{
    if (watch->engine != NULL) {
        watch_close(watch);
        close(watch->fd);
    }
}

static void close_all(struct child *child)
{
    close_watch(&child->out_watch);
    close_watch(&child->err_watch);
    close_watch(&child->in_watch);
    watch_close(&child->exit_watch);
    free(child->in);
    child->in = NULL;
}

// Appends what the pipe holds; past KEPT_MAX it is read and dropped, so that the child never waits.
// Bounded by what a pipe holds, for one that is filled as fast as it is read. False at its end.
static bool keep_output(int fd, char **text, size_t *len)
{
    for (int i = 0; i < PIPE_READS; i++) {
        char room[4096];
        ssize_t count = read(fd, room, sizeof(room));
        if (count <= 0) {
            return count < 0 && (errno == EAGAIN || errno == EINTR);
        }
        size_t kept = MIN((size_t)count, KEPT_MAX - *len);
        if (kept == 0) {
            continue;
        }
        char *larger = realloc(*text, *len + kept + 1);
        if (larger != NULL) {
            memcpy(larger + *len, room, kept);
            *len += kept;
            larger[*len] = '\0';
            *text = larger;
        }
    }
    return true;
}

static void out_ready(struct watch *watch, unsigned events)
{
    struct child *child = CONTAINER_OF(watch, struct child, out_watch);
    if (!keep_output(watch->fd, &child->out, &child->out_len)) {
        close_watch(watch);
    }
}

static void err_ready(struct watch *watch, unsigned events)
{
    struct child *child = CONTAINER_OF(watch, struct child, err_watch);
    if (!keep_output(watch->fd, &child->err, &child->err_len)) {
        close_watch(watch);
    }
}

static void in_ready(struct watch *watch, unsigned events)
{
    struct child *child = CONTAINER_OF(watch, struct child, in_watch);
    while (child->in_at < child->in_len) {
        ssize_t count = write(watch->fd, child->in + child->in_at, child->in_len - child->in_at);
        if (count < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return;
            }
            break; // it reads no more: its own matter
        }
        child->in_at += (size_t)count;
    }
    close_watch(watch);
}

// The end is the process's end, not that of its pipes: a grandchild may hold those open for ever.
static void child_exited(struct watch *watch, unsigned events)
{
    struct child *child = CONTAINER_OF(watch, struct child, exit_watch);
    int status = 0;
    pid_t pid = waitpid(child->pid, &status, WNOHANG);
    if (pid == 0) {
        return;
    }
    if (pid < 0) {
        status = 255 << 8; // somebody else reaped it
    }
    if (child->out_watch.engine != NULL) {
        keep_output(child->out_watch.fd, &child->out, &child->out_len);
    }
    if (child->err_watch.engine != NULL) {
        keep_output(child->err_watch.fd, &child->err, &child->err_len);
    }
    close_all(child);
    close(child->pidfd);
    char *out = child->out, *err = child->err;
    child->pid = 0;
    child->done(child, status);
    free(out);
    free(err);
}

struct spawn_pipes {
    int in[2], out[2], err[2];
};

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
            pair[i] = -1;
        }
    }
}

static void close_pipes(struct spawn_pipes *pipes)
{
    close_pair(pipes->in);
    close_pair(pipes->out);
    close_pair(pipes->err);
}

static int spawn(const char *const argv[], struct spawn_pipes *pipes, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return -error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    if (pipes->in[0] >= 0) {
        error = posix_spawn_file_actions_adddup2(&actions, pipes->in[0], STDIN_FILENO);
    } else {
        error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    // A group of its own: Ctrl-C at our terminal must not end a command half way.
    if (error != 0 ||
        (error = posix_spawn_file_actions_adddup2(&actions, pipes->out[1], STDOUT_FILENO)) != 0 ||
        (error = posix_spawn_file_actions_adddup2(&actions, pipes->err[1], STDERR_FILENO)) != 0 ||
        (error = posix_spawnattr_setsigmask(&attributes, &none)) != 0 ||
        (error = posix_spawnattr_setsigdefault(&attributes, &all)) != 0 ||
        (error = posix_spawnattr_setpgroup(&attributes, 0)) != 0 ||
        (error =
             posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                       POSIX_SPAWN_SETPGROUP)) != 0) {
        goto finish;
    }
    engine_has_children = true;
    error = posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
finish:
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

static int open_pipes(struct spawn_pipes *pipes, bool with_input)
{
    *pipes = (struct spawn_pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if ((with_input && pipe2(pipes->in, O_CLOEXEC) < 0) || pipe2(pipes->out, O_CLOEXEC) < 0 ||
        pipe2(pipes->err, O_CLOEXEC) < 0 ||
        (with_input && fcntl(pipes->in[1], F_SETFL, O_NONBLOCK) < 0) ||
        fcntl(pipes->out[0], F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(pipes->err[0], F_SETFL, O_NONBLOCK) < 0) {
        int error = -errno;
        close_pipes(pipes);
        return error;
    }
    return 0;
}

static int watch_pipe(struct watch *watch, struct loop *loop, int *fd, unsigned events,
                      void (*ready)(struct watch *, unsigned))
{
    if (*fd < 0) {
        return 0;
    }
    int error = watch_open(watch, loop, *fd, events, ready);
    if (error == 0) {
        *fd = -1; // the watch's now
    }
    return error;
}

int child_start(struct child *child, struct loop *loop, const char *const argv[], struct str input,
                void (*done)(struct child *, int status))
{
    struct child started = {.loop = loop, .done = done, .owner = child->owner, .pidfd = -1};
    struct spawn_pipes pipes;
    started.out = calloc(1, 1);
    started.err = calloc(1, 1);
    started.in = input.len > 0 ? str_copy(input) : NULL;
    started.in_len = input.len;
    int error = started.out == NULL || started.err == NULL || (input.len > 0 && started.in == NULL)
                    ? -ENOMEM
                    : open_pipes(&pipes, input.len > 0);
    if (error == 0) {
        error = spawn(argv, &pipes, &started.pid);
        if (error < 0) {
            close_pipes(&pipes);
        }
    }
    if (error < 0) {
        free(started.out);
        free(started.err);
        free(started.in);
        return error;
    }
    // The child's ends are its own now; ours must not keep its pipes open.
    close(pipes.out[1]);
    close(pipes.err[1]);
    pipes.out[1] = pipes.err[1] = -1;
    if (pipes.in[0] >= 0) {
        close(pipes.in[0]);
        pipes.in[0] = -1;
    }
    *child = started;
    child->pidfd = pidfd_open(child->pid, 0);
    error = child->pidfd < 0 ? -errno : 0;
    if (error < 0 ||
        (error = watch_open(&child->exit_watch, loop, child->pidfd, WATCH_READ, child_exited)) <
            0 ||
        (error = watch_pipe(&child->out_watch, loop, &pipes.out[0], WATCH_READ, out_ready)) < 0 ||
        (error = watch_pipe(&child->err_watch, loop, &pipes.err[0], WATCH_READ, err_ready)) < 0 ||
        (error = watch_pipe(&child->in_watch, loop, &pipes.in[1], WATCH_WRITE, in_ready)) < 0) {
        close_pipes(&pipes);
        child_cancel(child);
    }
    return error;
}

void child_cancel(struct child *child)
{
    if (child->pid == 0) {
        return;
    }
    kill(-child->pid, SIGKILL);
    close_all(child);
    if (child->pidfd >= 0) {
        leave_orphan(child->loop, child->pid, child->pidfd);
    } else {
        waitpid(child->pid, NULL, 0);
    }
    child->pid = 0;
    free(child->out);
    free(child->err);
    child->out = child->err = NULL;
}
