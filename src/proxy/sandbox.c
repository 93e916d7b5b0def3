// SPDX-License-Identifier: Apache-2.0
#include "proxy/sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/err.h"

// All that a unit calls once its threads run. A call that is not here ends the process: there is no
// honest reason for one. No thread, no process, no file is made from here on.
// clang-format off
static const int allowed[] = {
    // The loop: wait, wake another thread, read signals.
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(read),
    SCMP_SYS(write),
    // Connections.
    SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(shutdown),
    SCMP_SYS(close), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(ioctl), // FIONREAD
    SCMP_SYS(fcntl), // O_NONBLOCK
    // malloc, and the stacks of threads that end.
    SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    // Locks of mailboxes and of malloc, the end of a thread.
    SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
    // The time, where the kernel's page for it is not mapped.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom), // glibc's own seeds
    // A failed assertion shall say so: message, then SIGABRT to itself.
    SCMP_SYS(writev), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill),
    SCMP_SYS(rt_sigaction),
};
// clang-format on

void sandbox_prepare(unsigned threads)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // Otherwise malloc would look for the number of CPUs, in a file, when a second thread
    // allocates.
    mallopt(M_ARENA_MAX, (int)threads);
    setenv("TZ", "UTC0", 1);
    tzset();
}

static int add_rules(scmp_filter_ctx filter)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(allowed); i++) {
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    // Sockets: of TCP only. The control socket listens already.
    const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(families); i++) {
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]),
                                 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM));
    }
    // The control socket's file stays behind: nothing is written, not even at the end.
    if (error == 0) {
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unlink), 0);
    }
    // malloc reads /proc/sys/vm/overcommit_memory when it first gives memory of a thread's back; it
    // takes "no" for an answer.
    if (error == 0) {
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
    }
    return error;
}

int sandbox_enter(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return -ENOMEM;
    }
    int error = add_rules(filter);
    if (error == 0) {
        error = seccomp_load(filter);
    }
    seccomp_release(filter);
    return error;
}
