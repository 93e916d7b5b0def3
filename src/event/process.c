// SPDX-License-Identifier: Apache-2.0
// Foreign processes and signals.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "event/child.h"
#include "event/engine.h"

int process_start_time(pid_t pid, uint64_t *ret_start_time)
{
    char path[48], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? -ESRCH : -errno;
    }
    ssize_t len = read(fd, text, sizeof(text) - 1);
    if (len <= 0) {
        return -ESRCH;
    }
    text[len] = '\0';
    // Field 2 is the program's name in brackets and may hold spaces and brackets itself.
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return -EIO;
    }
    at++;
    return str_to_u64((struct str){at, strspn(at, "0123456789")}, UINT64_MAX, ret_start_time);
}

static void process_exited(struct watch *watch, unsigned events)
{
    struct process_watch *process = CONTAINER_OF(watch, struct process_watch, watch);
    process_watch_close(process);
    process->exited(process);
}

int process_watch_open(struct process_watch *process, struct loop *loop, pid_t pid,
                       uint64_t start_time, void (*exited)(struct process_watch *))
{
    cleanup(close_fd) int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        return -errno;
    }
    // Compared after the descriptor was opened: from then on it names one process for good.
    uint64_t now;
    int error = process_start_time(pid, &now);
    if (error < 0) {
        return error;
    }
    if (now != start_time) {
        return -ESRCH;
    }
    error = watch_open(&process->watch, loop, fd, WATCH_READ, process_exited);
    if (error < 0) {
        return error;
    }
    process->pid = pid;
    process->exited = exited;
    (void)TAKE_FD(fd);
    return 0;
}

int process_watch_kill(struct process_watch *process, int number)
{
    if (process->watch.engine == NULL) {
        return -ESRCH;
    }
    return pidfd_send_signal(process->watch.fd, number, NULL, 0) < 0 ? -errno : 0;
}

void process_watch_close(struct process_watch *process)
{
    if (process->watch.engine != NULL) {
        watch_close(&process->watch);
        close(process->watch.fd);
    }
}

static void signal_ready(struct watch *watch, unsigned events)
{
    struct signal_watch *signals = CONTAINER_OF(watch, struct signal_watch, watch);
    const struct registration *registration = watch->engine;
    struct signalfd_siginfo info;
    while (registration->watch != NULL && read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
        signals->received(signals, (int)info.ssi_signo);
    }
}

int signal_watch_open(struct signal_watch *signals, struct loop *loop, const int *numbers,
                      size_t count, void (*received)(struct signal_watch *, int))
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        if (sigaddset(&set, numbers[i]) < 0) {
            return -errno;
        }
    }
    cleanup(close_fd) int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = watch_open(&signals->watch, loop, fd, WATCH_READ, signal_ready);
    if (error < 0) {
        return error;
    }
    signals->received = received;
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)TAKE_FD(fd);
    return 0;
}

void signal_watch_close(struct signal_watch *signals)
{
    if (signals->watch.engine != NULL) {
        watch_close(&signals->watch);
        close(signals->watch.fd);
    }
}
