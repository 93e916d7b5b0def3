// SPDX-License-Identifier: Apache-2.0
#include "event/dgram.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "event/engine.h"

// Datagrams taken in one turn; the rest wait in the socket's buffer.
enum { DATAGRAMS_PER_TURN = 64, DATAGRAM_MAX = 65535 };

// Room for one control message with either family's packet information.
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static struct addr local_of(struct msghdr *message, uint16_t port)
{
    struct addr local = {.port = port};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(at), sizeof(info));
            local.family = 4;
            memcpy(local.ip, &info.ipi_spec_dst, 4);
        } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(at), sizeof(info));
            local.family = 6;
            memcpy(local.ip, &info.ipi6_addr, 16);
        }
    }
    return local;
}

static void dgram_ready(struct watch *watch, unsigned events)
{
    struct dgram *dgram = CONTAINER_OF(watch, struct dgram, watch);
    // The socket may be closed in its own callback; what stands behind its watch stays for this
    // turn.
    const struct registration *registration = watch->engine;
    char bytes[DATAGRAM_MAX];
    for (int i = 0; i < DATAGRAMS_PER_TURN && registration->watch != NULL; i++) {
        struct sockaddr_storage sockaddr;
        union control control;
        struct iovec vector = {bytes, sizeof(bytes)};
        struct msghdr message = {
            .msg_name = &sockaddr,
            .msg_namelen = sizeof(sockaddr),
            .msg_iov = &vector,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = sizeof(control),
        };
        ssize_t len = recvmsg(watch->fd, &message, 0);
        if (len < 0) {
            if (errno == EINTR) {
                continue;
            }
            return; // nothing more, or an error that concerned one datagram
        }
        struct addr peer;
        if (addr_from_sockaddr((struct sockaddr *)&sockaddr, &peer) == 0) {
            struct addr local = local_of(&message, dgram->port);
            dgram->received(dgram, (struct str){bytes, (size_t)len}, &peer, &local);
        }
    }
}

static int bind_to(int fd, const struct addr *at, bool free_bind, uint16_t *ret_port)
{
    int on = 1;
    int level = at->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
    if (setsockopt(fd, level, at->family == 6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof(on)) <
        0) {
        return -errno;
    }
    if (at->family == 6 && setsockopt(fd, level, IPV6_V6ONLY, &on, sizeof(on)) < 0) {
        return -errno;
    }
    if (free_bind &&
        setsockopt(fd, level, at->family == 6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on)) < 0) {
        return -errno;
    }
    struct sockaddr_storage sockaddr;
    socklen_t len = addr_to_sockaddr(at, &sockaddr);
    if (bind(fd, (struct sockaddr *)&sockaddr, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&sockaddr, &len) < 0) {
        return -errno;
    }
    struct addr bound;
    int error = addr_from_sockaddr((struct sockaddr *)&sockaddr, &bound);
    if (error == 0) {
        *ret_port = bound.port;
    }
    return error;
}

int dgram_open(struct dgram *dgram, struct loop *loop, const struct addr *at, bool free_bind,
               void (*received)(struct dgram *, struct str, const struct addr *,
                                const struct addr *))
{
    cleanup(close_fd) int fd =
        socket(at->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    uint16_t port = 0;
    int error = bind_to(fd, at, free_bind, &port);
    if (error < 0) {
        return error;
    }
    error = watch_open(&dgram->watch, loop, fd, WATCH_READ, dgram_ready);
    if (error < 0) {
        return error;
    }
    dgram->received = received;
    dgram->port = port;
    (void)TAKE_FD(fd);
    return 0;
}

int dgram_send(struct dgram *dgram, struct str bytes, const struct addr *to,
               const struct addr *from)
{
    struct sockaddr_storage sockaddr;
    struct iovec vector = {(char *)bytes.at, bytes.len};
    struct msghdr message = {
        .msg_name = &sockaddr,
        .msg_namelen = addr_to_sockaddr(to, &sockaddr),
        .msg_iov = &vector,
        .msg_iovlen = 1,
    };
    union control control = {0};
    if (from != NULL && from->family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, from->ip, 4);
        control.header.cmsg_level = IPPROTO_IP;
        control.header.cmsg_type = IP_PKTINFO;
        control.header.cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(info));
    } else if (from != NULL && from->family == 6) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, from->ip, 16);
        control.header.cmsg_level = IPPROTO_IPV6;
        control.header.cmsg_type = IPV6_PKTINFO;
        control.header.cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(info));
    }
    return sendmsg(dgram->watch.fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int dgram_local(const struct dgram *dgram, struct addr *ret_addr)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    if (getsockname(dgram->watch.fd, (struct sockaddr *)&sockaddr, &len) < 0) {
        return -errno;
    }
    return addr_from_sockaddr((struct sockaddr *)&sockaddr, ret_addr);
}

void dgram_close(struct dgram *dgram)
{
    if (dgram->watch.engine != NULL) {
        watch_close(&dgram->watch);
        close(dgram->watch.fd);
    }
}
