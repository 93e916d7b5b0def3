// SPDX-License-Identifier: Apache-2.0
// Streams over epoll. One epoll_ctl for the life of a stream: both directions, edge-triggered. An
// edge sets READABLE or clears BLOCKED; reading goes on until a receive falls short of the room
// offered (the next bytes make a new edge), but once the peer's end was reported, to that end
// itself, for which no further edge comes.
//
// Being on a list of the loop is the state "wanted": flush (queued bytes or FIN to send in step 5),
// ready (something to deliver in step 2 without an edge), closing (`closed` to call in step 6).
#include "event/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "event/engine.h"

enum {
    OPEN = 1 << 0,       // between open/connect and close
    CONNECTING = 1 << 1, //
    PAUSED = 1 << 2,     //
    READABLE = 1 << 3,   // the kernel may hold bytes, the end or an error
    HUNG = 1 << 4,       // the peer's end or an error was reported: read up to it
    BLOCKED = 1 << 5,    // the socket's send buffer is full; an edge will come
    FINISHING = 1 << 6,  // FIN is to follow the queue
    FINISHED = 1 << 7,   // FIN was sent
    ENDED = 1 << 8,      // `ended` was delivered
    BROKEN = 1 << 9,     // sending failed with .error; `failed` follows the bytes still unread
    DOOMED = 1 << 10,    // as BROKEN, but there is nothing to read
    FAILED = 1 << 11,    // `failed` was delivered
};

// Buffers received for one stream in one turn, so that one fast peer does not starve the others.
enum { READS_PER_TURN = 4 };
// Buffers sent by one call.
enum { VECTORS = 64 };
// A buffer whose bytes are up to this part of the queue's last one is copied into its room.
enum { SMALL_PART = 4 };

static void want_flush(struct stream *stream)
{
    if (list_empty(&stream->flush_link)) {
        list_append(&stream->loop->flush, &stream->flush_link);
    }
}

static void want_read(struct stream *stream)
{
    if (list_empty(&stream->ready_link)) {
        list_append(&stream->loop->ready, &stream->ready_link);
    }
}

static void drop_queue(struct stream *stream)
{
    while (stream->queue_head != NULL) {
        struct buf *buf = stream->queue_head;
        stream->queue_head = buf->next;
        buf_release(buf);
    }
    stream->queue_tail = NULL;
    stream->queued_bytes = 0;
}

static void fail(struct stream *stream, int error)
{
    stream->state |= FAILED;
    list_remove(&stream->flush_link);
    list_remove(&stream->ready_link);
    drop_queue(stream);
    stream->ops->failed(stream, error);
}

// A socket's pending error, which reading it clears; 0 when there is none.
static int take_socket_error(const struct stream *stream)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        return -errno;
    }
    return -error;
}

static bool kernel_holds_bytes(const struct stream *stream)
{
    int count = 0;
    return ioctl(stream->fd, FIONREAD, &count) == 0 && count > 0;
}

static void stream_init(struct stream *stream, struct loop *loop, int fd,
                        const struct stream_ops *ops, uint32_t state)
{
    *stream = (struct stream){.ops = ops, .loop = loop, .fd = fd, .state = OPEN | state};
    list_init(&stream->flush_link);
    list_init(&stream->ready_link);
}

static int stream_register(struct stream *stream)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | (uint32_t)EPOLLET,
        .data.ptr = stream,
    };
    if (epoll_ctl(stream->loop->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event) < 0) {
        return -errno;
    }
    return 0;
}

int stream_open_accepted(struct stream *stream, struct loop *loop, int fd,
                         const struct stream_ops *ops)
{
    stream_init(stream, loop, fd, ops, 0);
    int error = stream_register(stream);
    if (error < 0) {
        stream->state = 0;
    }
    return error;
}

static void set_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); // fails on a Unix socket: well
}

int stream_open(struct stream *stream, struct loop *loop, int fd, const struct stream_ops *ops)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -errno;
    }
    set_no_delay(fd);
    return stream_open_accepted(stream, loop, fd, ops);
}

// Owns fd. An attempt that fails at once is told by `failed` in the next turn, like one that fails
// later, so that the caller has one path for both.
static int connect_to(struct stream *stream, struct loop *loop, int fd,
                      const struct sockaddr *sockaddr, socklen_t len, const struct stream_ops *ops)
{
    stream_init(stream, loop, fd, ops, CONNECTING);
    if (connect(fd, sockaddr, len) < 0 && errno != EINPROGRESS) {
        stream->error = -errno;
        stream->state |= DOOMED;
        want_read(stream);
        return 0;
    }
    int error = stream_register(stream);
    if (error < 0) {
        stream->state = 0;
        close(fd);
    }
    return error;
}

int stream_connect(struct stream *stream, struct loop *loop, const struct addr *to,
                   const struct addr *source, const struct stream_ops *ops)
{
    int fd =
        socket(to->family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    set_no_delay(fd);
    struct sockaddr_storage sockaddr;
    if (source != NULL && source->family != 0) {
        // The port is chosen at connect, when the peer is known: as many connections as there are
        // ports for each peer, not for all peers together.
        int on = 1;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        socklen_t len = addr_to_sockaddr(source, &sockaddr);
        if (bind(fd, (struct sockaddr *)&sockaddr, len) < 0) {
            stream_init(stream, loop, fd, ops, CONNECTING);
            stream->error = -errno;
            stream->state |= DOOMED;
            want_read(stream);
            return 0;
        }
    }
    socklen_t len = addr_to_sockaddr(to, &sockaddr);
    return connect_to(stream, loop, fd, (struct sockaddr *)&sockaddr, len, ops);
}

int stream_connect_unix(struct stream *stream, struct loop *loop, const char *path,
                        const struct stream_ops *ops)
{
    struct sockaddr_un sockaddr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(sockaddr.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(sockaddr.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    return connect_to(stream, loop, fd, (struct sockaddr *)&sockaddr, sizeof(sockaddr), ops);
}

// Receives and delivers, at most READS_PER_TURN buffers.
static void stream_read(struct stream *stream)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        if ((stream->state & (OPEN | READABLE | PAUSED | FAILED)) != (OPEN | READABLE)) {
            return;
        }
        struct buf *buf = buf_new(stream->loop);
        if (buf == NULL) {
            fail(stream, -ENOMEM);
            return;
        }
        ssize_t len = recv(stream->fd, buf->data, buf->size, 0);
        if (len > 0) {
            buf->end = (uint32_t)len;
            if (buf->end < buf->size && !(stream->state & HUNG)) {
                stream->state &= ~(uint32_t)READABLE;
            }
            stream->ops->received(stream, buf);
            continue;
        }
        int error = -errno;
        buf_release(buf);
        if (len < 0 && error == -EINTR) {
            continue;
        }
        stream->state &= ~(uint32_t)READABLE;
        if (stream->state & BROKEN) {
            fail(stream, stream->error);
        } else if (len == 0) {
            stream->state |= ENDED;
            stream->ops->ended(stream);
        } else if (error != -EAGAIN) {
            fail(stream, error);
        }
        return;
    }
    if ((stream->state & (OPEN | READABLE | PAUSED | FAILED)) == (OPEN | READABLE)) {
        want_read(stream);
    }
}

// An error was reported and nothing more will be read, or not now.
static void fail_unless_bytes_wait(struct stream *stream)
{
    if (!(stream->state & ENDED) && kernel_holds_bytes(stream)) {
        return; // they are delivered after stream_resume, and the error behind them
    }
    int error = stream->state & BROKEN ? stream->error : take_socket_error(stream);
    if (error != 0) {
        fail(stream, error);
    }
}

void stream_handle_events(struct stream *stream, uint32_t events)
{
    if ((stream->state & (OPEN | FAILED)) != OPEN) {
        return;
    }
    if (stream->state & CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
            return;
        }
        int error = take_socket_error(stream);
        if (error != 0) {
            fail(stream, error);
            return;
        }
        stream->state &= ~(uint32_t)CONNECTING;
        if (stream->queue_head != NULL || stream->state & FINISHING) {
            want_flush(stream);
        }
        if (stream->ops->connected != NULL) {
            stream->ops->connected(stream);
        }
        if (!(stream->state & OPEN)) {
            return;
        }
    }
    if (events & EPOLLOUT && stream->state & BLOCKED) {
        stream->state &= ~(uint32_t)BLOCKED;
        want_flush(stream);
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        return;
    }
    if (!(stream->state & ENDED)) {
        stream->state |= READABLE | (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? HUNG : 0u);
        stream_read(stream);
    }
    if (events & EPOLLERR && stream->state & (PAUSED | ENDED) &&
        (stream->state & (OPEN | FAILED)) == OPEN) {
        fail_unless_bytes_wait(stream);
    }
}

void stream_handle_ready(struct stream *stream)
{
    if (stream->state & DOOMED) {
        fail(stream, stream->error);
        return;
    }
    stream_read(stream);
}

// Removes what was sent from the queue's head.
static void queue_consume(struct stream *stream, size_t len)
{
    stream->queued_bytes -= (uint32_t)len;
    while (len > 0) {
        struct buf *buf = stream->queue_head;
        if (len < buf_len(buf)) {
            buf->start += (uint32_t)len;
            return;
        }
        len -= buf_len(buf);
        stream->queue_head = buf->next;
        buf_release(buf);
    }
    if (stream->queue_head == NULL) {
        stream->queue_tail = NULL;
    }
}

static ssize_t send_queue(struct stream *stream, size_t *ret_offered)
{
    struct buf *buf = stream->queue_head;
    if (buf->next == NULL) {
        *ret_offered = buf_len(buf);
        return send(stream->fd, buf->data + buf->start, buf_len(buf), MSG_NOSIGNAL);
    }
    struct iovec vectors[VECTORS];
    struct msghdr message = {.msg_iov = vectors};
    size_t offered = 0;
    for (; buf != NULL && message.msg_iovlen < VECTORS; buf = buf->next) {
        vectors[message.msg_iovlen++] = (struct iovec){buf->data + buf->start, buf_len(buf)};
        offered += buf_len(buf);
    }
    *ret_offered = offered;
    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

static void stream_break(struct stream *stream, int error)
{
    drop_queue(stream);
    stream->error = error;
    stream->state |= BROKEN;
    if (stream->state & (ENDED | PAUSED)) {
        fail_unless_bytes_wait(stream);
    }
    if ((stream->state & (OPEN | FAILED)) == OPEN) {
        stream->state |= READABLE | HUNG;
        want_read(stream);
        // Paused, it may not be read for long; who waits for the queue to empty must not wait so.
        if (stream->state & PAUSED && stream->ops->sent != NULL) {
            stream->ops->sent(stream);
        }
    }
}

void stream_handle_flush(struct stream *stream)
{
    if (stream->state & (CONNECTING | BLOCKED | BROKEN)) {
        return;
    }
    bool had_bytes = stream->queue_head != NULL;
    while (stream->queue_head != NULL) {
        size_t offered;
        ssize_t len = send_queue(stream, &offered);
        if (len < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                stream_break(stream, -errno);
                return;
            }
            len = 0;
        }
        queue_consume(stream, (size_t)len);
        if ((size_t)len < offered) {
            stream->state |= BLOCKED;
            return;
        }
    }
    if ((stream->state & (FINISHING | FINISHED)) == FINISHING) {
        stream->state |= FINISHED;
        shutdown(stream->fd, SHUT_WR); // an error of the connection is told by its event
    }
    if (had_bytes && stream->ops->sent != NULL) {
        stream->ops->sent(stream);
    }
}

void stream_send(struct stream *stream, struct buf *taken)
{
    if ((stream->state & (OPEN | FINISHING | BROKEN | DOOMED | FAILED)) != OPEN ||
        buf_len(taken) == 0) {
        buf_release(taken);
        return;
    }
    struct buf *tail = stream->queue_tail;
    if (tail != NULL && buf_len(taken) <= MIN(buf_room(tail), tail->size / SMALL_PART)) {
        // What is queued holds a few times its length at most, however small the pieces are.
        buf_append(tail, taken->data + taken->start, buf_len(taken));
        stream->queued_bytes += buf_len(taken);
        buf_release(taken);
        return; // a queue that is not empty is to be flushed already
    }
    taken->next = NULL;
    if (tail == NULL) {
        stream->queue_head = taken;
    } else {
        tail->next = taken;
    }
    stream->queue_tail = taken;
    stream->queued_bytes += buf_len(taken);
    if (!(stream->state & (BLOCKED | CONNECTING))) {
        want_flush(stream);
    }
}

int stream_send_copy(struct stream *stream, const void *bytes, size_t len)
{
    if ((stream->state & (OPEN | FINISHING | BROKEN | DOOMED | FAILED)) != OPEN || len == 0) {
        return 0;
    }
    struct buf *tail = stream->queue_tail;
    uint32_t fits = tail == NULL ? 0 : (uint32_t)MIN(len, buf_room(tail));
    struct buf *rest = NULL;
    if (len > fits) {
        if (len - fits > UINT32_MAX / 2) {
            return -ENOMEM;
        }
        rest = buf_new_sized(stream->loop, (uint32_t)(len - fits));
        if (rest == NULL) {
            return -ENOMEM;
        }
        buf_append(rest, (const char *)bytes + fits, (uint32_t)(len - fits));
    }
    if (fits > 0) {
        buf_append(tail, bytes, fits);
        stream->queued_bytes += fits;
    }
    if (rest != NULL) {
        stream_send(stream, rest);
    }
    return 0;
}

void stream_finish(struct stream *stream)
{
    if ((stream->state & (OPEN | FINISHING)) != OPEN) {
        return;
    }
    stream->state |= FINISHING;
    if (!(stream->state & (BLOCKED | CONNECTING | BROKEN | DOOMED | FAILED))) {
        want_flush(stream);
    }
}

void stream_close(struct stream *stream)
{
    if (!(stream->state & OPEN)) {
        return;
    }
    stream->state = 0;
    list_remove(&stream->flush_link);
    list_remove(&stream->ready_link);
    drop_queue(stream);
    if (atomic_load_explicit(&engine_has_children, memory_order_relaxed)) {
        epoll_ctl(stream->loop->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
    }
    close(stream->fd);
    stream->fd = -1;
    list_append(&stream->loop->closing, &stream->flush_link);
}

void stream_abort(struct stream *stream)
{
    if (stream->state & OPEN) {
        struct linger reset = {.l_onoff = 1};
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        stream_close(stream);
    }
}

bool stream_is_broken(const struct stream *stream)
{
    return stream->state & (BROKEN | FAILED);
}

bool stream_is_open(const struct stream *stream)
{
    return stream->state & OPEN;
}

void stream_pause(struct stream *stream)
{
    stream->state |= PAUSED;
}

void stream_resume(struct stream *stream)
{
    if (!(stream->state & PAUSED)) {
        return;
    }
    stream->state &= ~(uint32_t)PAUSED;
    if ((stream->state & (OPEN | READABLE | FAILED)) == (OPEN | READABLE)) {
        want_read(stream);
    }
}

bool stream_is_paused(const struct stream *stream)
{
    return stream->state & PAUSED;
}

static int addr_of(const struct stream *stream,
                   int (*get)(int, struct sockaddr *restrict, socklen_t *restrict),
                   struct addr *ret_addr)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    if (get(stream->fd, (struct sockaddr *)&sockaddr, &len) < 0) {
        return -errno;
    }
    return addr_from_sockaddr((struct sockaddr *)&sockaddr, ret_addr);
}

int stream_peer(const struct stream *stream, struct addr *ret_addr)
{
    return addr_of(stream, getpeername, ret_addr);
}

int stream_local(const struct stream *stream, struct addr *ret_addr)
{
    return addr_of(stream, getsockname, ret_addr);
}
