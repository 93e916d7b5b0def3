// SPDX-License-Identifier: Apache-2.0
// The back end of the benchmarks: answers every request with the same bytes, as fast as the kernel
// allows, so that it is never what is measured. Keep-alive and pipelining; requests have no body
// (it counts empty lines, nothing more).
//
//   answer [-b BODY_BYTES] ADDRESS:PORT...
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

enum { FD_MAX = 32768, EVENTS = 256, BATCH = 64 };

static char is_listener[FD_MAX];
static unsigned char matched[FD_MAX]; // how much of CR LF CR LF the connection has seen last
static char bytes[65536];
static char *answers; // BATCH times the same answer, one after the other
static size_t answer_len;

static void die(const char *what)
{
    fprintf(stderr, "answer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_answers(size_t body_len)
{
    char head[160];
    int head_len = snprintf(head, sizeof(head),
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            body_len);
    answer_len = (size_t)head_len + body_len;
    answers = malloc(answer_len * BATCH);
    if (answers == NULL) {
        die("malloc");
    }
    for (size_t i = 0; i < BATCH; i++) {
        memcpy(answers + i * answer_len, head, (size_t)head_len);
        memset(answers + i * answer_len + head_len, 'x', body_len);
    }
}

static void add(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= FD_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static void listen_at(int epoll, const char *place)
{
    char address[64];
    const char *colon = strrchr(place, ':');
    struct sockaddr_in here = {.sin_family = AF_INET};
    if (colon == NULL || (size_t)(colon - place) >= sizeof(address)) {
        errno = EINVAL;
        die(place);
    }
    memcpy(address, place, (size_t)(colon - place));
    address[colon - place] = 0;
    here.sin_port = htons((uint16_t)atoi(colon + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (inet_pton(AF_INET, address, &here.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(fd, 4096) < 0) {
        die(place);
    }
    is_listener[fd] = 1;
    add(epoll, fd);
}

static int send_all(int fd, const char *from, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t sent = send(fd, from + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            at += (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, 10000);
        } else {
            return -1;
        }
    }
    return 0;
}

// The number of empty lines that end in these bytes.
static size_t count_requests(int fd, size_t len)
{
    static const char end[] = "\r\n\r\n";
    unsigned state = matched[fd];
    size_t count = 0;
    if (state == 0 && len >= 4 && memcmp(bytes + len - 4, end, 4) == 0 &&
        memmem(bytes, len - 1, end, 4) == NULL) {
        return 1; // the usual case: one whole request
    }
    for (size_t i = 0; i < len; i++) {
        state = bytes[i] == end[state] ? state + 1 : bytes[i] == '\r' ? 1 : 0;
        if (state == 4) {
            count++;
            state = 0;
        }
    }
    matched[fd] = (unsigned char)state;
    return count;
}

static int serve(int fd)
{
    ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len < 0 && errno == EAGAIN) {
        return 0;
    }
    if (len <= 0) {
        return -1;
    }
    for (size_t left = count_requests(fd, (size_t)len); left > 0;) {
        size_t now = left < BATCH ? left : BATCH;
        if (send_all(fd, answers, now * answer_len) < 0) {
            return -1;
        }
        left -= now;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int option;
    size_t body_len = 128;
    while ((option = getopt(argc, argv, "b:")) != -1) {
        if (option != 'b') {
            return 2;
        }
        body_len = strtoul(optarg, NULL, 10);
    }
    if (optind == argc) {
        fprintf(stderr, "usage: answer [-b BODY_BYTES] ADDRESS:PORT...\n");
        return 2;
    }
    make_answers(body_len);
    int epoll = epoll_create1(0);
    for (int i = optind; i < argc; i++) {
        listen_at(epoll, argv[i]);
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd, client, on = 1;
            if (!is_listener[fd]) {
                if (serve(fd) < 0) {
                    close(fd);
                }
                continue;
            }
            while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                matched[client] = 0;
                add(epoll, client);
            }
        }
    }
}
