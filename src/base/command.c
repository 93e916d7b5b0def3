// SPDX-License-Identifier: Apache-2.0
#include "base/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

enum { OUTPUT_MAX = 16 << 20 };

// The input as a file without a name, so that no pipe can fill up while nobody reads.
static int input_open(struct str input)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    for (size_t at = 0; at < input.len;) {
        ssize_t written = write(fd, input.at + at, input.len - at);
        if (written < 0) {
            int error = -errno;
            close(fd);
            return error;
        }
        at += (size_t)written;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int command_start(const char *const argv[], int input_fd, int output_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    // The caller may have blocked signals for its event loop.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int result =
        posix_spawnp(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -result;
}

struct output {
    char *text;
    size_t len, room;
};

// Keeps what fits; the rest is read and dropped, so that the command never waits. -ENOMEM.
static int output_keep(struct output *output, const char *part, size_t len)
{
    len = MIN(len, (size_t)OUTPUT_MAX - output->len);
    if (output->len + len + 1 > output->room) {
        size_t room = MAX(2 * output->room, output->len + len + 1);
        char *text = realloc(output->text, room);
        if (text == NULL) {
            return -ENOMEM;
        }
        output->text = text;
        output->room = room;
    }
    memcpy(output->text + output->len, part, len);
    output->len += len;
    output->text[output->len] = '\0';
    return 0;
}

// Reads until the command closes its output.
static int output_read(int fd, int timeout_ms, struct output *output)
{
    uint64_t until_ns = monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    int result = output_keep(output, "", 0);
    while (result == 0) {
        uint64_t now_ns = monotonic_ns();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (now_ns >= until_ns || poll(&wait, 1, (int)((until_ns - now_ns) / 1000000) + 1) == 0) {
            return -ETIMEDOUT;
        }
        char part[4096];
        ssize_t got = read(fd, part, sizeof(part));
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return 0;
        }
        result = got < 0 ? 0 : output_keep(output, part, (size_t)got);
    }
    return result;
}

int command_run(const char *const argv[], struct str input, int timeout_ms,
                struct command_result *ret_result)
{
    cleanup(close_fd) int input_fd = input_open(input);
    int pipe_fds[2];
    if (input_fd < 0) {
        return input_fd;
    }
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    pid_t pid;
    int result = command_start(argv, input_fd, pipe_fds[1], &pid);
    close(pipe_fds[1]);
    if (result < 0) {
        close(pipe_fds[0]);
        return result;
    }
    struct output output = {0};
    result = output_read(pipe_fds[0], timeout_ms, &output);
    close(pipe_fds[0]);
    if (result < 0) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (result < 0) {
        free(output.text);
        return result;
    }
    *ret_result = (struct command_result){status, output.text, output.len};
    return 0;
}

void command_result_free(struct command_result *result)
{
    free(result->output);
    *result = (struct command_result){0};
}
