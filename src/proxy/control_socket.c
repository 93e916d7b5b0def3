// SPDX-License-Identifier: Apache-2.0
#include "proxy/control_socket.h"

#include <stdio.h>

#include "base/log.h"
#include "codec/json.h"
#include "event/acceptor.h"
#include "event/stream.h"
#include "proxy/proxy.h"

enum {
    LINE_BYTES_MAX = JSON_DOCUMENT_BYTES_MAX + 4096,
    NOTIFY_EVERY_MS = 20,
    // A watcher that does not read is not told any more until it does; one that asks and does not
    // read is closed.
    QUEUED_BYTES_MAX = 32 * 1024 * 1024,
};

struct control_socket {
    struct proxy *proxy;
    struct acceptor acceptor;
    struct list peers;
    struct timer notify_timer;
    uint64_t notified_ms;
    struct peer *applying; // whose snapshot is being taken; NULL: nobody's, or it went away
};

struct peer {
    struct stream stream;
    struct control_socket *control;
    struct list link;
    char *line; // the bytes of lines not yet answered
    size_t line_len, line_size;
    bool watches, closing;
    bool ended; // it asks no more: closed once its answers are sent
};

static void peer_close(struct peer *peer)
{
    if (peer->closing) {
        return;
    }
    peer->closing = true;
    if (peer->control->applying == peer) {
        peer->control->applying = NULL;
    }
    list_remove(&peer->link);
    stream_close(&peer->stream);
}

static void send_answer(struct peer *peer, const struct unit_control_answer *answer)
{
    cleanup(free_ptr) char *text = unit_control_answer_print(answer);
    if (text == NULL || stream_queued(&peer->stream) > QUEUED_BYTES_MAX ||
        stream_send_copy(&peer->stream, text, strlen(text)) < 0 ||
        stream_send_copy(&peer->stream, "\n", 1) < 0) {
        peer_close(peer);
    }
}

static uint64_t version_of(const struct proxy *proxy)
{
    return proxy->current != NULL ? proxy->current->snapshot->version : 0;
}

static void send_error(struct peer *peer, enum unit_control_status status,
                       const struct error *error)
{
    send_answer(peer, &(struct unit_control_answer){
                          .status = status,
                          .version = version_of(peer->control->proxy),
                          .error = error->text,
                          .field = error->field,
                      });
}

static void send_state(struct peer *peer)
{
    struct arena arena;
    struct unit_control_answer answer;
    arena_init(&arena, 16 * 1024);
    if (proxy_describe(peer->control->proxy, &arena, &answer) < 0) {
        peer_close(peer);
    } else {
        send_answer(peer, &answer);
    }
    arena_reset(&arena);
}

// ---- Commands ---------------------------------------------------------------------------------

static void take_snapshot(struct peer *peer, const struct unit_control_request *request)
{
    struct error error = {0};
    struct control_socket *control = peer->control;
    if (proxy_apply(control->proxy, str_of(request->snapshot), &error) < 0) {
        log_error("snapshot refused: %s%s%s", error.text, error.field[0] != '\0' ? ", at " : "",
                  error.field);
        send_error(peer, UNIT_CONTROL_REFUSED, &error);
    } else {
        control->applying = peer;
    }
}

static void obey(struct peer *peer, struct str line)
{
    struct arena arena;
    struct error error = {0};
    struct unit_control_request *request;
    struct proxy *proxy = peer->control->proxy;
    arena_init(&arena, 16 * 1024);
    if (unit_control_request_parse(line, &arena, &request, &error) < 0) {
        send_error(peer, UNIT_CONTROL_FAILED, &error);
    } else {
        switch (request->command) {
        case UNIT_COMMAND_SNAPSHOT:
            take_snapshot(peer, request);
            break;
        case UNIT_COMMAND_WATCH:
            peer->watches = true;
            send_state(peer);
            break;
        case UNIT_COMMAND_STATE:
            send_state(peer);
            break;
        case UNIT_COMMAND_DRAIN:
            send_answer(peer, &(struct unit_control_answer){.status = UNIT_CONTROL_OK,
                                                            .version = version_of(proxy)});
            proxy_drain(proxy, request->deadline_ms > 0 ? request->deadline_ms : DRAIN_DEFAULT_MS);
            break;
        }
    }
    arena_reset(&arena);
}

// Answers the whole lines that are there, until one has to wait.
static void answer_lines(struct peer *peer)
{
    size_t at = 0;
    while (!peer->closing && !proxy_is_applying(peer->control->proxy)) {
        char *line = peer->line + at;
        char *end = memchr(line, '\n', peer->line_len - at);
        if (end == NULL) {
            break;
        }
        at += (size_t)(end - line) + 1;
        if (end > line) {
            obey(peer, (struct str){line, (size_t)(end - line)});
        }
    }
    if (at > 0) {
        peer->line_len -= at;
        memmove(peer->line, peer->line + at, peer->line_len);
    }
    if (peer->closing) {
        return;
    }
    if (proxy_is_applying(peer->control->proxy) && peer->line_len > 0) {
        stream_pause(&peer->stream);
    } else {
        stream_resume(&peer->stream);
        if (peer->line_len == 0 && peer->line_size > 65536) {
            free(peer->line);
            peer->line = NULL;
            peer->line_size = 0;
        }
    }
}

void control_socket_applied(struct control_socket *control, int result)
{
    if (control == NULL) {
        return;
    }
    struct peer *peer = control->applying;
    control->applying = NULL;
    if (peer != NULL) {
        send_answer(peer, &(struct unit_control_answer){
                              .status = result == 0 ? UNIT_CONTROL_OK : UNIT_CONTROL_FAILED,
                              .version = version_of(control->proxy),
                              .error = result == 0 ? "" : "a worker is out of memory",
                              .field = "",
                          });
    }
    LIST_FOREACH (&control->peers, link) {
        answer_lines(CONTAINER_OF(link, struct peer, link));
    }
}

// ---- The connection ---------------------------------------------------------------------------

static bool keep_bytes(struct peer *peer, struct str bytes)
{
    if (peer->line_size - peer->line_len < bytes.len) {
        size_t size = MAX(2 * peer->line_size, peer->line_len + bytes.len);
        char *larger = size <= 2 * (size_t)LINE_BYTES_MAX ? realloc(peer->line, size) : NULL;
        if (larger == NULL) {
            return false;
        }
        peer->line = larger;
        peer->line_size = size;
    }
    memcpy(peer->line + peer->line_len, bytes.at, bytes.len);
    peer->line_len += bytes.len;
    return peer->line_len <= LINE_BYTES_MAX;
}

static void peer_received(struct stream *stream, struct buf *taken)
{
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    bool kept = keep_bytes(peer, buf_str(taken));
    buf_release(taken);
    if (kept) {
        answer_lines(peer);
    } else {
        log_warning("control socket: a line is longer than any document");
        peer_close(peer);
    }
}

static void close_when_done(struct stream *stream)
{
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    if (peer->ended && stream_queued(stream) == 0 && peer->control->applying != peer) {
        peer_close(peer);
    }
}

static void peer_ended(struct stream *stream)
{
    CONTAINER_OF(stream, struct peer, stream)->ended = true;
    close_when_done(stream);
}

static void peer_failed(struct stream *stream, int error)
{
    peer_close(CONTAINER_OF(stream, struct peer, stream));
}

static void peer_closed(struct stream *stream)
{
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    free(peer->line);
    free(peer);
}

static const struct stream_ops peer_ops = {
    .received = peer_received,
    .ended = peer_ended,
    .sent = close_when_done,
    .failed = peer_failed,
    .closed = peer_closed,
};

static void accepted(struct acceptor *acceptor, int fd, const struct addr *from)
{
    struct control_socket *control = CONTAINER_OF(acceptor, struct control_socket, acceptor);
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL || stream_open(&peer->stream, control->proxy->loop, fd, &peer_ops) < 0) {
        free(peer);
        close_fd(&fd);
        return;
    }
    peer->control = control;
    list_append(&control->peers, &peer->link);
}

static void notify(struct timer *timer)
{
    struct control_socket *control = CONTAINER_OF(timer, struct control_socket, notify_timer);
    control->notified_ms = loop_now_ms(control->proxy->loop);
    LIST_FOREACH (&control->peers, link) {
        struct peer *peer = CONTAINER_OF(link, struct peer, link);
        if (peer->watches && stream_queued(&peer->stream) == 0) {
            send_state(peer);
        } else if (peer->watches) {
            timer_set(control->proxy->loop, &control->notify_timer, NOTIFY_EVERY_MS);
        }
    }
}

void control_socket_notify(struct control_socket *control)
{
    if (control == NULL || timer_is_set(&control->notify_timer)) {
        return;
    }
    uint64_t since_ms = loop_now_ms(control->proxy->loop) - control->notified_ms;
    timer_set(control->proxy->loop, &control->notify_timer,
              since_ms >= NOTIFY_EVERY_MS ? 0 : NOTIFY_EVERY_MS - since_ms);
}

int control_socket_open(struct proxy *proxy, const char *path, struct control_socket **ret_control)
{
    struct control_socket *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        return -ENOMEM;
    }
    control->proxy = proxy;
    list_init(&control->peers);
    timer_init(&control->notify_timer, notify);
    int error = acceptor_open_unix(&control->acceptor, proxy->loop, path, 0660, accepted);
    if (error < 0) {
        free(control);
        return error;
    }
    *ret_control = control;
    return 0;
}

struct control_socket *control_socket_close(struct control_socket *control)
{
    if (control != NULL) {
        timer_cancel(&control->notify_timer);
        acceptor_close(&control->acceptor);
        LIST_FOREACH (&control->peers, link) {
            peer_close(CONTAINER_OF(link, struct peer, link));
        }
        loop_turn(control->proxy->loop, 0);
        free(control);
    }
    return NULL;
}
