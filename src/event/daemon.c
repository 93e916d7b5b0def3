// SPDX-License-Identifier: Apache-2.0
// daemon_start: fork twice, so that the program is nobody's child here, and learn by a
// close-on-exec pipe whether exec succeeded.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "event/child.h"
#include "event/engine.h"

// What comes through the pipe; smaller than PIPE_BUF, so each arrives whole.
struct note {
    enum { NOTE_PID = 1, NOTE_ERROR = 2 } kind;
    int value;
};

static void write_note(int fd, int kind, int value)
{
    struct note note = {kind, value};
    ssize_t ignored = write(fd, &note, sizeof(note));
    (void)ignored;
}

// Between fork and exec: only calls that are safe in a child of a process with threads.
static _Noreturn void become(const char *const argv[], int log_fd, int note_fd)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0) {
        execvp(argv[0], (char *const *)argv);
    }
    write_note(note_fd, NOTE_ERROR, errno);
    _exit(127);
}

static _Noreturn void fork_again(const char *const argv[], int log_fd, int note_fd)
{
    setsid();
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, log_fd, note_fd);
    }
    write_note(note_fd, pid < 0 ? NOTE_ERROR : NOTE_PID, pid < 0 ? errno : pid);
    _exit(0);
}

int daemon_start(const char *const argv[], const char *log_path, pid_t *ret_pid)
{
    cleanup(close_fd) int log_fd =
        open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    int pair[2];
    if (log_fd < 0 || pipe2(pair, O_CLOEXEC) < 0) {
        return -errno;
    }
    cleanup(close_fd) int read_fd = pair[0];
    engine_has_children = true;
    pid_t middle = fork();
    if (middle < 0) {
        int error = -errno;
        close(pair[1]);
        return error;
    }
    if (middle == 0) {
        fork_again(argv, log_fd, pair[1]);
    }
    close(pair[1]);
    int error = 0;
    pid_t pid = 0;
    struct note note;
    ssize_t len;
    while ((len = read(read_fd, &note, sizeof(note))) > 0 || (len < 0 && errno == EINTR)) {
        if (len == sizeof(note) && note.kind == NOTE_PID) {
            pid = note.value;
        } else if (len == sizeof(note)) {
            error = -note.value;
        }
    }
    while (waitpid(middle, NULL, 0) < 0 && errno == EINTR) {
    }
    if (error < 0 || pid == 0) {
        return error < 0 ? error : -ECHILD;
    }
    *ret_pid = pid;
    return 0;
}
