// SPDX-License-Identifier: Apache-2.0
// The load of the benchmarks: HTTP GETs from one thread, every outcome counted. Three ways:
//
//   load -a 127.0.0.1:8080 -c 64 -t 5          keep-alive connections, as fast as they go
//   load -a 127.0.0.1:8080 -c 5000 -i          one request on each connection, then holds them open
//   load -n shop.john.weir.internal -d 127.0.0.1:5353 -p 80 -c 16 -r 500
//                                              each request asks DNS and opens a new connection
//
// -r RATE     requests a second in all (0: no limit)      -T MS   a request's time limit (1000)
// -t SECONDS  ends by itself; without it SIGTERM ends it  -H NAME the Host header
//
// A request is a failure when its name does not resolve, its connection is refused, reset or closed
// early, its status is not 200, or its time is up. Prints one JSON object on stdout at the end; its
// times are CLOCK_MONOTONIC milliseconds, so that who orders the run can set them beside its own.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    HEAD_MAX = 4096,
    FAILURES_MAX = 2000,
    ADDRESSES_MAX = 64,
    HOLD_ASKING_MAX = 32
};

//   idle ──token──▶ resolving ──▶ connecting ──▶ waiting ──answer──▶ idle
enum phase { IDLE, RESOLVING, CONNECTING, WAITING, HELD };

struct client {
    enum phase phase;
    int fd, dns_fd; // -1: none
    uint64_t started_us;
    struct sockaddr_in to;
    char head[HEAD_MAX];
    size_t head_len;
    size_t body_left;
    bool in_body, close_after;
    uint16_t dns_id;
};

struct failure {
    uint64_t started_us, ended_us;
    const char *what;
    int detail;
    struct in_addr address;
};

static struct {
    const char *name, *host;
    struct sockaddr_in dns, addresses[ADDRESSES_MAX];
    size_t address_count;
    uint16_t port;
    size_t connections;
    double seconds;
    uint64_t rate, timeout_us;
    bool hold;
} options = {.connections = 1, .timeout_us = 1000000};

static struct client *clients;
static size_t *idle, idle_count; // a stack of client numbers
static struct failure failures[FAILURES_MAX];
static uint64_t failed, answered, held, begun_us;
static uint32_t *latencies;
static size_t latency_count, latency_room;
static char request[512];
static size_t request_len;
static int epoll;
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void rest(struct client *client)
{
    client->phase = IDLE;
    idle[idle_count++] = (size_t)(client - clients);
}

static void fail(struct client *client, const char *what, int detail)
{
    if (failed < FAILURES_MAX) {
        failures[failed] =
            (struct failure){client->started_us, now_us(), what, detail, client->to.sin_addr};
    }
    failed++;
    shut(&client->fd);
    shut(&client->dns_fd);
    rest(client);
}

static void note_latency(uint64_t us)
{
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 20;
        latencies = realloc(latencies, latency_room * sizeof(*latencies));
        if (latencies == NULL) {
            die("realloc");
        }
    }
    latencies[latency_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void watch(struct client *client, int fd, unsigned events, int op)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)(client - clients)};
    if (epoll_ctl(epoll, op, fd, &event) < 0) {
        die("epoll_ctl");
    }
}

static void send_request(struct client *client)
{
    client->phase = WAITING;
    client->head_len = 0;
    client->in_body = client->close_after = false;
    if (send(client->fd, request, request_len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)request_len) {
        fail(client, "send", errno);
    }
}

static void connect_client(struct client *client)
{
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        fail(client, "socket", errno);
        return;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    client->phase = CONNECTING;
    if (connect(client->fd, (struct sockaddr *)&client->to, sizeof(client->to)) < 0 &&
        errno != EINPROGRESS) {
        fail(client, "connect", errno);
        return;
    }
    watch(client, client->fd, EPOLLOUT, EPOLL_CTL_ADD);
}

// RFC 1035 4.1: one question, type A, class IN.
static void ask_dns(struct client *client)
{
    unsigned char query[512] = {0};
    client->dns_id = (uint16_t)random();
    query[0] = (unsigned char)(client->dns_id >> 8);
    query[1] = (unsigned char)client->dns_id;
    query[5] = 1;
    size_t len = 12;
    for (const char *label = options.name; *label;) {
        size_t label_len = strcspn(label, ".");
        query[len++] = (unsigned char)label_len;
        memcpy(query + len, label, label_len);
        len += label_len;
        label += label_len + (label[label_len] == '.');
    }
    query[len + 2] = 1;
    query[len + 4] = 1;
    len += 5;
    client->phase = RESOLVING;
    client->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (client->dns_fd < 0 ||
        connect(client->dns_fd, (struct sockaddr *)&options.dns, sizeof(options.dns)) < 0 ||
        send(client->dns_fd, query, len, 0) < 0) {
        fail(client, "dns", errno);
        return;
    }
    watch(client, client->dns_fd, EPOLLIN, EPOLL_CTL_ADD);
}

static size_t skip_name(const unsigned char *answer, size_t len, size_t at)
{
    while (at < len && answer[at] != 0 && answer[at] < 0xc0) {
        at += answer[at] + 1U;
    }
    return at >= len ? len : at + (answer[at] == 0 ? 1 : 2);
}

static void hear_dns(struct client *client)
{
    unsigned char answer[2048];
    ssize_t got = recv(client->dns_fd, answer, sizeof(answer), 0);
    size_t len = got < 0 ? 0 : (size_t)got, found = 0;
    if (got < 0) {
        fail(client, "dns", errno);
        return;
    }
    if (len < 12 || (answer[0] << 8 | answer[1]) != client->dns_id) {
        return;
    }
    if (answer[3] & 15) {
        fail(client, "dns rcode", answer[3] & 15);
        return;
    }
    size_t at = skip_name(answer, len, 12) + 4;
    for (int left = answer[6] << 8 | answer[7]; left > 0; left--) {
        at = skip_name(answer, len, at);
        if (at + 10 > len) {
            break;
        }
        int type = answer[at] << 8 | answer[at + 1];
        size_t data_len = (size_t)(answer[at + 8] << 8 | answer[at + 9]);
        at += 10;
        // One of the addresses, each with the same chance, as resolvers and clients do it.
        if (type == 1 && data_len == 4 && at + 4 <= len && (size_t)random() % ++found == 0) {
            memcpy(&client->to.sin_addr, answer + at, 4);
        }
        at += data_len;
    }
    shut(&client->dns_fd);
    if (found == 0) {
        fail(client, "dns empty", 0);
        return;
    }
    client->to.sin_family = AF_INET;
    client->to.sin_port = htons(options.port);
    connect_client(client);
}

static void begin(struct client *client)
{
    client->started_us = now_us();
    if (client->fd >= 0) {
        send_request(client);
    } else if (options.name != NULL) {
        ask_dns(client);
    } else {
        client->to = options.addresses[(size_t)(client - clients) % options.address_count];
        connect_client(client);
    }
}

static void finish(struct client *client)
{
    answered++;
    note_latency(now_us() - client->started_us);
    if (options.hold) {
        client->phase = HELD;
        held++;
        return;
    }
    if (client->close_after || options.name != NULL) {
        shut(&client->fd);
    }
    rest(client);
}

// Returns 0 when the head is understood, else what is wrong with it.
static const char *read_head(struct client *client, size_t head_len, int *ret_detail)
{
    client->head[head_len - 1] = 0; // the last LF
    *ret_detail = strncmp(client->head, "HTTP/1.1 ", 9) == 0 ? atoi(client->head + 9) : 0;
    if (*ret_detail != 200) {
        return "status";
    }
    const char *length = strcasestr(client->head, "\r\ncontent-length:");
    if (length == NULL) {
        return "no length";
    }
    client->body_left = strtoul(length + 17, NULL, 10);
    client->close_after = strcasestr(client->head, "\r\nconnection: close") != NULL;
    client->in_body = true;
    return NULL;
}

static void hear_answer(struct client *client)
{
    static char sink[65536];
    for (;;) {
        char *to = client->in_body ? sink : client->head + client->head_len;
        size_t room = client->in_body ? sizeof(sink) : HEAD_MAX - client->head_len;
        ssize_t len = recv(client->fd, to, room, MSG_DONTWAIT);
        if (len < 0 && errno == EAGAIN) {
            return;
        }
        if (len <= 0) {
            if (client->phase == WAITING) {
                fail(client, len == 0 ? "closed early" : "receive", len == 0 ? 0 : errno);
            } else {
                shut(&client->fd); // an idle connection may be closed by the other side
            }
            return;
        }
        size_t body = (size_t)len;
        if (!client->in_body) {
            client->head_len += (size_t)len;
            char *end = memmem(client->head, client->head_len, "\r\n\r\n", 4);
            if (end == NULL) {
                if (client->head_len == HEAD_MAX) {
                    fail(client, "head too long", 0);
                    return;
                }
                continue;
            }
            int detail;
            size_t head_len = (size_t)(end + 4 - client->head);
            body = client->head_len - head_len;
            const char *wrong = read_head(client, head_len, &detail);
            if (wrong != NULL) {
                fail(client, wrong, detail);
                return;
            }
        }
        if (body > client->body_left || client->phase != WAITING) {
            fail(client, "bytes after the answer", 0);
            return;
        }
        client->body_left -= body;
        if (client->body_left == 0) {
            finish(client);
            return;
        }
    }
}

static void hear(struct client *client, unsigned events)
{
    if (client->phase == RESOLVING) {
        hear_dns(client);
    } else if (client->phase == CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            fail(client, "connect", error);
        } else if (events & EPOLLOUT) {
            watch(client, client->fd, EPOLLIN, EPOLL_CTL_MOD);
            send_request(client);
        }
    } else if (client->fd >= 0) {
        hear_answer(client);
    }
}

static void fail_overdue(uint64_t now)
{
    static const char *const late[] = {[RESOLVING] = "time-out: dns",
                                       [CONNECTING] = "time-out: connect",
                                       [WAITING] = "time-out: answer"};
    for (size_t i = 0; i < options.connections; i++) {
        struct client *client = &clients[i];
        if (client->phase != IDLE && client->phase != HELD &&
            now - client->started_us > options.timeout_us) {
            fail(client, late[client->phase], 0);
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(uint64_t ended_us)
{
    if (latency_count > 0) {
        qsort(latencies, latency_count, sizeof(*latencies), compare);
    }
    double part[] = {0.5, 0.99, 1};
    uint32_t at[3] = {0};
    for (int i = 0; i < 3 && latency_count > 0; i++) {
        at[i] = latencies[(size_t)((double)(latency_count - 1) * part[i])];
    }
    printf("{\"answered\":%llu,\"failed\":%llu,\"began_ms\":%.3f,\"ended_ms\":%.3f,"
           "\"latency_us\":{\"p50\":%u,\"p99\":%u,\"max\":%u},\"failures\":[",
           (unsigned long long)answered, (unsigned long long)failed, (double)begun_us / 1000,
           (double)ended_us / 1000, at[0], at[1], at[2]);
    for (size_t i = 0; i < failed && i < FAILURES_MAX; i++) {
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &failures[i].address, address, sizeof(address));
        printf("%s{\"began_ms\":%.3f,\"ended_ms\":%.3f,\"what\":\"%s\",\"detail\":%d,"
               "\"address\":\"%s\"}",
               i > 0 ? "," : "", (double)failures[i].started_us / 1000,
               (double)failures[i].ended_us / 1000, failures[i].what, failures[i].detail, address);
    }
    printf("]}\n");
    fflush(stdout);
}

static struct sockaddr_in parse_place(const char *text)
{
    char address[64];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in place = {.sin_family = AF_INET};
    if (colon == NULL || (size_t)(colon - text) >= sizeof(address)) {
        errno = EINVAL;
        die(text);
    }
    memcpy(address, text, (size_t)(colon - text));
    address[colon - text] = 0;
    place.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, address, &place.sin_addr) != 1) {
        errno = EINVAL;
        die(text);
    }
    return place;
}

static void parse_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "a:c:t:in:d:p:r:T:H:")) != -1) {
        switch (option) {
        case 'a':
            if (options.address_count < ADDRESSES_MAX) {
                options.addresses[options.address_count++] = parse_place(optarg);
            }
            break;
        case 'c':
            options.connections = strtoul(optarg, NULL, 10);
            break;
        case 't':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'i':
            options.hold = true;
            break;
        case 'n':
            options.name = optarg;
            break;
        case 'd':
            options.dns = parse_place(optarg);
            break;
        case 'p':
            options.port = (uint16_t)atoi(optarg);
            break;
        case 'r':
            options.rate = strtoul(optarg, NULL, 10);
            break;
        case 'T':
            options.timeout_us = strtoul(optarg, NULL, 10) * 1000;
            break;
        case 'H':
            options.host = optarg;
            break;
        default:
            exit(2);
        }
    }
    if ((options.address_count > 0) == (options.name != NULL) || options.connections == 0) {
        fprintf(stderr, "load: one of -a and -n is needed\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    const char *host = options.host ? options.host : options.name ? options.name : "bench";
    request_len = (size_t)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                                   host, options.name ? "Connection: close\r\n" : "");
    clients = calloc(options.connections, sizeof(*clients));
    idle = calloc(options.connections, sizeof(*idle));
    epoll = epoll_create1(0);
    if (clients == NULL || idle == NULL || epoll < 0) {
        die("start");
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    for (size_t i = options.connections; i-- > 0;) {
        clients[i].fd = clients[i].dns_fd = -1;
        idle[idle_count++] = i;
    }
    begun_us = now_us();
    srandom((unsigned)begun_us);
    uint64_t now = begun_us, ordered = 0, checked = now, end_us = UINT64_MAX;
    if (options.seconds > 0) {
        end_us = begun_us + (uint64_t)(options.seconds * 1e6);
    }
    bool said = false;
    while (!stopped && now < end_us) {
        uint64_t due = options.rate ? (now - begun_us) * options.rate / 1000000 + 1 : UINT64_MAX;
        // Connections that are to be idle are made a few at a time: what the other side needs for
        // many requests at once is not what an idle connection costs.
        while (idle_count > 0 && ordered < due &&
               (!options.hold || ordered - held - failed < HOLD_ASKING_MAX)) {
            ordered++;
            begin(&clients[idle[--idle_count]]);
        }
        if (options.rate && idle_count == 0 && ordered < due) {
            ordered = due; // all are busy: what could not be sent in its time is not made up for
        }
        if (options.hold && !said && held + failed >= options.connections) {
            said = true;
            fprintf(stderr, "held\n");
        }
        struct epoll_event events[EVENTS];
        int wait_ms = options.rate || (options.hold && idle_count > 0) ? 1 : 10;
        int count = epoll_wait(epoll, events, EVENTS, wait_ms);
        for (int i = 0; i < count; i++) {
            hear(&clients[events[i].data.u64], events[i].events);
        }
        now = now_us();
        if (now - checked > 10000) {
            fail_overdue(now);
            checked = now;
        }
    }
    report(now);
    return 0;
}
