// SPDX-License-Identifier: Apache-2.0
#include "event/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "event/engine.h"

// Connections taken in one turn; the rest stay in the backlog for the next.
enum { ACCEPTS_PER_TURN = 64, PAUSE_MS = 100, BACKLOG = 4096 };

static void acceptor_ready(struct watch *watch, unsigned events)
{
    struct acceptor *acceptor = CONTAINER_OF(watch, struct acceptor, watch);
    // The acceptor may go in its own callback; what stands behind its watch stays for this turn.
    const struct registration *registration = watch->engine;
    for (int i = 0; i < ACCEPTS_PER_TURN && registration->watch != NULL; i++) {
        struct sockaddr_storage sockaddr;
        socklen_t len = sizeof(sockaddr);
        int fd =
            accept4(watch->fd, (struct sockaddr *)&sockaddr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct addr peer;
            if (len < sizeof(sa_family_t) ||
                addr_from_sockaddr((struct sockaddr *)&sockaddr, &peer) < 0) {
                peer = (struct addr){0};
            }
            acceptor->accepted(acceptor, fd, &peer);
            continue;
        }
        if (errno == EAGAIN || errno == EBADF || errno == EINVAL) {
            break;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            acceptor->out_of_descriptors++;
            watch_change(watch, 0);
            timer_set(watch->loop, &acceptor->pause, PAUSE_MS);
            break;
        }
        // Anything else is an error of that one connection (ECONNABORTED, EPROTO, EPERM …).
    }
}

static void acceptor_continue(struct timer *timer)
{
    struct acceptor *acceptor = CONTAINER_OF(timer, struct acceptor, pause);
    if (watch_change(&acceptor->watch, WATCH_READ) < 0) {
        timer_set(acceptor->watch.loop, timer, PAUSE_MS);
    }
}

int acceptor_adopt(struct acceptor *acceptor, struct loop *loop, int fd,
                   void (*accepted)(struct acceptor *, int, const struct addr *))
{
    acceptor->watch = (struct watch){0};
    acceptor->accepted = accepted;
    acceptor->out_of_descriptors = 0;
    acceptor->path = NULL;
    timer_init(&acceptor->pause, acceptor_continue);
    return watch_open(&acceptor->watch, loop, fd, WATCH_READ, acceptor_ready);
}

void acceptor_accept_backlog(struct acceptor *acceptor)
{
    // More than one turn's share may wait; the bound is for a peer that connects for ever.
    for (int i = 0; i < BACKLOG / ACCEPTS_PER_TURN && acceptor->watch.engine != NULL; i++) {
        acceptor_ready(&acceptor->watch, WATCH_READ);
    }
}

// Takes the socket in any case.
static int acceptor_listen(struct acceptor *acceptor, struct loop *loop, int fd,
                           void (*accepted)(struct acceptor *, int, const struct addr *))
{
    int error = listen(fd, BACKLOG) < 0 ? -errno : acceptor_adopt(acceptor, loop, fd, accepted);
    if (error < 0) {
        close(fd);
    }
    return error;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof(on));
}

int acceptor_bind(const struct addr *at, const struct acceptor_options *options, int *ret_fd)
{
    int fd =
        socket(at->family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY); // accepted sockets inherit it
    if (at->family == 6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY); // IPv4 has a listener of its own
    }
    if (options != NULL && options->reuse_port) {
        set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    }
    if (options != NULL && options->free_bind) {
        set_option(fd, at->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP,
                   at->family == 6 ? IPV6_FREEBIND : IP_FREEBIND);
    }
    struct sockaddr_storage sockaddr;
    socklen_t len = addr_to_sockaddr(at, &sockaddr);
    int backlog = options != NULL && options->backlog > 0 ? options->backlog : BACKLOG;
    if (bind(fd, (struct sockaddr *)&sockaddr, len) < 0 || listen(fd, backlog) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

int acceptor_open(struct acceptor *acceptor, struct loop *loop, const struct addr *at,
                  const struct acceptor_options *options,
                  void (*accepted)(struct acceptor *, int, const struct addr *))
{
    int fd;
    int error = acceptor_bind(at, options, &fd);
    if (error == 0) {
        error = acceptor_adopt(acceptor, loop, fd, accepted);
        if (error < 0) {
            close(fd);
        }
    }
    return error;
}

// A socket file that refuses connections was left by a program that died.
static void remove_stale_socket(const struct sockaddr_un *sockaddr)
{
    struct stat status;
    if (lstat(sockaddr->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        if (connect(fd, (const struct sockaddr *)sockaddr, sizeof(*sockaddr)) < 0 &&
            errno == ECONNREFUSED) {
            unlink(sockaddr->sun_path);
        }
        close(fd);
    }
}

int acceptor_open_unix(struct acceptor *acceptor, struct loop *loop, const char *path,
                       unsigned mode, void (*accepted)(struct acceptor *, int, const struct addr *))
{
    struct sockaddr_un sockaddr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(sockaddr.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(sockaddr.sun_path, path, len);
    cleanup(free_ptr) char *kept = strdup(path);
    if (kept == NULL) {
        return -ENOMEM;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    remove_stale_socket(&sockaddr);
    // Nobody can connect before listen, and by then the mode is right.
    if (bind(fd, (struct sockaddr *)&sockaddr, sizeof(sockaddr)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    int error = chmod(path, (mode_t)mode) < 0 ? -errno : 0;
    if (error < 0) {
        close(fd);
    } else {
        error = acceptor_listen(acceptor, loop, fd, accepted);
    }
    if (error < 0) {
        unlink(path);
        return error;
    }
    acceptor->path = TAKE_PTR(kept);
    return 0;
}

int acceptor_local(const struct acceptor *acceptor, struct addr *ret_addr)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    if (getsockname(acceptor->watch.fd, (struct sockaddr *)&sockaddr, &len) < 0) {
        return -errno;
    }
    return addr_from_sockaddr((struct sockaddr *)&sockaddr, ret_addr);
}

void acceptor_close(struct acceptor *acceptor)
{
    if (acceptor->watch.engine == NULL) {
        return;
    }
    timer_cancel(&acceptor->pause);
    watch_close(&acceptor->watch);
    close(acceptor->watch.fd);
    if (acceptor->path != NULL) {
        unlink(acceptor->path);
        free(acceptor->path);
        acceptor->path = NULL;
    }
}
