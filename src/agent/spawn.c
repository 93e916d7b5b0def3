// SPDX-License-Identifier: Apache-2.0
#include "agent/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void spawn_exited(struct process_watch *process)
{
    struct spawn *spawn = CONTAINER_OF(process, struct spawn, process);
    int status = 0;
    while (waitpid(spawn->pid, &status, 0) < 0 && errno == EINTR) {
    }
    process_watch_close(process);
    timer_cancel(&spawn->timeout);
    spawn->done(spawn, status);
}

static void spawn_timed_out(struct timer *timer)
{
    struct spawn *spawn = CONTAINER_OF(timer, struct spawn, timeout);
    kill(spawn->pid, SIGKILL); // ours and not waited for yet: the pid is right
}

static int process_start(const char *const argv[], int output_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output_fd >= 0) {
        posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    } else {
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    sigset_t none, ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    // A group of its own, so that Ctrl-C at the agent's terminal does not reach units.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int result =
        posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -result;
}

int spawn_start(struct spawn *spawn, struct loop *loop, const char *const argv[], int output_fd,
                uint64_t timeout_ms, void (*done)(struct spawn *, int status))
{
    *spawn = (struct spawn){.loop = loop, .done = done};
    timer_init(&spawn->timeout, spawn_timed_out);
    int result = process_start(argv, output_fd, &spawn->pid);
    if (result < 0) {
        return result;
    }
    uint64_t start_time;
    // A child that has ended is still there until it is waited for.
    result = process_start_time(spawn->pid, &start_time);
    if (result == 0) {
        result = process_watch_open(&spawn->process, loop, spawn->pid, start_time, spawn_exited);
    }
    if (result < 0) {
        kill(spawn->pid, SIGKILL);
        waitpid(spawn->pid, NULL, 0);
        return result;
    }
    timer_set(loop, &spawn->timeout, timeout_ms);
    return 0;
}

void spawn_abandon(struct spawn *spawn)
{
    process_watch_close(&spawn->process);
    timer_cancel(&spawn->timeout);
}
