// SPDX-License-Identifier: Apache-2.0
// The floor: a relay that looks at nothing. One thread, epoll, one upstream connection for each
// client, one recv and one send per message. What it costs is what the kernel takes for two TCP
// legs; a proxy can approach it and never pass it.
//
//   relay LISTEN_PORT TARGET_PORT        both on 127.0.0.1
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FD_MAX = 32768, EVENTS = 256 };

static int peer_of[FD_MAX];
static char bytes[65536];

static void die(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void add(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static void accept_all(int epoll, int listener, const struct sockaddr_in *target)
{
    int client, on = 1;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int upstream = socket(AF_INET, SOCK_STREAM, 0);
        // The connect blocks: on loopback it is done at once, and it is no part of the measure.
        if (upstream < 0 || upstream >= FD_MAX || client >= FD_MAX ||
            connect(upstream, (const struct sockaddr *)target, sizeof(*target)) < 0) {
            close(client);
            if (upstream >= 0) {
                close(upstream);
            }
            continue;
        }
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        peer_of[client] = upstream;
        peer_of[upstream] = client;
        add(epoll, client);
        add(epoll, upstream);
    }
}

static int send_all(int fd, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t sent = send(fd, bytes + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            at += (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
        } else {
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT TARGET_PORT\n");
        return 2;
    }
    struct sockaddr_in here = loopback(argv[1]), target = loopback(argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(listener, 4096) < 0) {
        die("listen");
    }
    int epoll = epoll_create1(0);
    add(epoll, listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(epoll, listener, &target);
                continue;
            }
            int peer = peer_of[fd];
            if (peer == 0) { // closed earlier in this turn
                continue;
            }
            ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            if (len < 0 && errno == EAGAIN) {
                continue;
            }
            if (len <= 0 || send_all(peer, (size_t)len) < 0) {
                peer_of[fd] = peer_of[peer] = 0;
                close(fd);
                close(peer);
            }
        }
    }
}
