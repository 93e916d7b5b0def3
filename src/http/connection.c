// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <time.h>

enum {
    REPLY_HEAD_MAX = 8192,
    READ_AHEAD_MAX = 128 << 10, // of pipelined bytes while a request is being answered
};

static void connection_process(struct connection *connection);

static void request_forget(struct connection *connection)
{
    free(connection->head_bytes);
    free(connection->body);
    connection->head_bytes = connection->body = NULL;
    connection->body_len = connection->body_size = 0;
    http1_head_init(&connection->head);
}

void connection_close(struct connection *connection)
{
    enum connection_state was = connection->state;
    if (was == CONNECTION_CLOSING) {
        return;
    }
    connection->state = CONNECTION_CLOSING;
    timer_cancel(&connection->timer);
    stream_close(&connection->stream);
    if ((was == CONNECTION_ASKED || was == CONNECTION_STREAMING) &&
        connection->request.gone != NULL) {
        connection->request.gone(&connection->request);
    }
}

// Everything is said; wait a moment for the client to read it: a close with unread input would make
// the kernel send RST, and the client might lose the answer (RFC 9112 §9.6).
static void connection_linger(struct connection *connection)
{
    connection->state = CONNECTION_LINGERING;
    connection->input_len = 0;
    stream_finish(&connection->stream);
    if (connection->peer_ended) {
        // Nothing more can come; what is queued goes out before `sent`.
        if (stream_queued(&connection->stream) == 0) {
            connection_close(connection);
        }
        return;
    }
    stream_resume(&connection->stream);
    timer_set(connection->request.server->loop, &connection->timer, HTTP_SERVER_LINGER_MS);
}

// ---- Answers ----------------------------------------------------------------------------------

static struct str date_now(void)
{
    static char text[40];
    static time_t written;
    time_t now = time(NULL);
    if (now != written) {
        struct tm utc;
        gmtime_r(&now, &utc);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
        written = now;
    }
    return str_of(text);
}

static bool status_has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_reply_head(struct connection *connection, const struct http_reply *reply,
                             enum http1_body framing)
{
    char room[REPLY_HEAD_MAX];
    struct writer writer;
    writer_init(&writer, room, sizeof(room));
    http1_write_response_start(&writer, reply->status, http1_status_reason(reply->status));
    http1_write_field(&writer, STR("Date"), date_now());
    if (reply->content_type.len > 0) {
        http1_write_field(&writer, STR("Content-Type"), reply->content_type);
    }
    for (size_t i = 0; i < ARRAY_LEN(reply->headers) && reply->headers[i].name.len > 0; i++) {
        if (http1_value_is_valid(reply->headers[i].value)) {
            http1_write_field(&writer, reply->headers[i].name, reply->headers[i].value);
        }
    }
    if (!connection->keep_alive) {
        http1_write_field(&writer, STR("Connection"), STR("close"));
    }
    if (status_has_body(reply->status)) {
        http1_write_framing(&writer, framing, reply->body.len);
    }
    http1_write_end(&writer);
    struct str head = writer_str(&writer);
    if (writer.overflowed) {
        connection->keep_alive = false;
        head = STR("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n"
                   "Connection: close\r\n\r\n");
    }
    if (stream_send_copy(&connection->stream, head.at, head.len) < 0) {
        connection->keep_alive = false;
        stream_abort(&connection->stream);
    }
}

static void start_send_timer(struct connection *connection)
{
    connection->queued_before = stream_queued(&connection->stream);
    timer_set(connection->request.server->loop, &connection->timer, HTTP_SERVER_SEND_TIMEOUT_MS);
}

static void write_reply(struct connection *connection, const struct http_reply *reply)
{
    write_reply_head(connection, reply, HTTP1_BODY_LENGTH);
    if (connection->head.method != HTTP1_HEAD && status_has_body(reply->status) &&
        reply->body.len > 0 &&
        stream_send_copy(&connection->stream, reply->body.at, reply->body.len) < 0) {
        // The head promised more than will come: only a reset tells the client so.
        stream_abort(&connection->stream);
    }
}

void http_request_reply(struct http_request *request, const struct http_reply *reply)
{
    struct connection *connection = CONTAINER_OF(request, struct connection, request);
    connection->state = CONNECTION_FLUSHING;
    write_reply(connection, reply);
    start_send_timer(connection);
}

void http_request_stream_begin(struct http_request *request, const struct http_reply *reply)
{
    struct connection *connection = CONTAINER_OF(request, struct connection, request);
    connection->state = CONNECTION_STREAMING;
    connection->chunked_answer = connection->head.version_minor >= 1;
    connection->keep_alive = connection->keep_alive && connection->chunked_answer;
    write_reply_head(connection, reply,
                     connection->chunked_answer ? HTTP1_BODY_CHUNKED : HTTP1_BODY_UNTIL_CLOSE);
    start_send_timer(connection);
}

bool http_request_stream_send(struct http_request *request, struct str piece)
{
    struct connection *connection = CONTAINER_OF(request, struct connection, request);
    if (connection->state != CONNECTION_STREAMING) {
        return false;
    }
    if (piece.len == 0 || connection->head.method == HTTP1_HEAD) {
        return true;
    }
    bool was_empty = stream_queued(&connection->stream) == 0;
    char size[20];
    struct writer writer;
    writer_init(&writer, size, sizeof(size));
    http1_write_chunk_start(&writer, piece.len);
    struct str start = connection->chunked_answer ? writer_str(&writer) : STR("");
    struct str end = connection->chunked_answer ? STR("\r\n") : STR("");
    if (stream_queued(&connection->stream) + piece.len >
            request->server->options.stream_queue_max ||
        stream_send_copy(&connection->stream, start.at, start.len) < 0 ||
        stream_send_copy(&connection->stream, piece.at, piece.len) < 0 ||
        stream_send_copy(&connection->stream, end.at, end.len) < 0) {
        connection_close(connection);
        return false;
    }
    if (was_empty) {
        start_send_timer(connection);
    }
    return true;
}

void http_request_stream_end(struct http_request *request)
{
    struct connection *connection = CONTAINER_OF(request, struct connection, request);
    if (connection->state != CONNECTION_STREAMING) {
        return;
    }
    connection->state = CONNECTION_FLUSHING;
    if (connection->chunked_answer && connection->head.method != HTTP1_HEAD) {
        stream_send_copy(&connection->stream, "0\r\n\r\n", 5);
    }
    if (stream_queued(&connection->stream) == 0) {
        connection_linger(connection); // until close, and all is out: no `sent` will come
    } else {
        start_send_timer(connection);
    }
}

// A request that cannot be read: answer and close.
static void connection_refuse(struct connection *connection, unsigned status, const char *reason)
{
    char body[256];
    struct writer writer;
    writer_init(&writer, body, sizeof(body));
    writer_printf(&writer,
                  "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%u,\"code\":\"%s\"}\n",
                  STR_ARG(http1_status_reason(status)), status, reason);
    connection->keep_alive = false;
    struct http_reply reply = {
        .status = status,
        .content_type = STR("application/problem+json"),
        .body = writer_str(&writer),
    };
    write_reply(connection, &reply);
    connection_linger(connection);
}

// ---- Requests ---------------------------------------------------------------------------------

static void input_consume(struct connection *connection, size_t len)
{
    connection->input_len -= len;
    memmove(connection->input, connection->input + len, connection->input_len);
}

static bool bytes_append(char **bytes, size_t *len, size_t *size, struct str more)
{
    if (more.len >= *size - *len) {
        size_t grown_size = MAX(*size * 2, *len + more.len + 1);
        char *grown = realloc(*bytes, grown_size);
        if (grown == NULL) {
            return false;
        }
        *bytes = grown;
        *size = grown_size;
    }
    if (more.len > 0) {
        memcpy(*bytes + *len, more.at, more.len);
    }
    *len += more.len;
    (*bytes)[*len] = '\0';
    return true;
}

static void request_ask(struct connection *connection)
{
    struct http_server *server = connection->request.server;
    timer_cancel(&connection->timer);
    connection->state = CONNECTION_ASKED;
    connection->request = (struct http_request){
        .server = server,
        .head = &connection->head,
        .body = {connection->body != NULL ? connection->body : "", connection->body_len},
        .peer = &connection->peer,
    };
    server->asked(&connection->request, server->owner);
    if (connection->state == CONNECTION_ASKED && connection->request.gone == NULL) {
        struct http_reply reply = {.status = 500};
        http_request_reply(&connection->request, &reply);
    }
}

// True when a head was taken and the body comes next.
static bool process_head(struct connection *connection)
{
    struct http_server *server = connection->request.server;
    if (connection->input_len == 0) {
        if (connection->peer_ended) {
            connection_close(connection);
        } else {
            connection->timing_header = false;
            timer_set(server->loop, &connection->timer, HTTP_SERVER_IDLE_TIMEOUT_MS);
        }
        return false;
    }
    if (!connection->timing_header) {
        connection->timing_header = true;
        timer_set(server->loop, &connection->timer, HTTP_SERVER_HEADER_TIMEOUT_MS);
    }
    struct http1_limits limits = http1_limits_default;
    limits.body_bytes = server->options.body_max;
    struct str input = {connection->input, connection->input_len};
    int len = http1_parse_request(&connection->head, input, &limits);
    if (len == 0) {
        if (connection->peer_ended) {
            connection_close(connection);
        }
        return false;
    }
    connection->keep_alive = connection->head.keep_alive;
    if (len > 0) {
        // The views must outlive the input, which moves: parse once more, over a copy.
        connection->head_bytes = str_copy((struct str){connection->input, (size_t)len});
        if (connection->head_bytes == NULL) {
            connection_close(connection);
            return false;
        }
        http1_head_init(&connection->head);
        len = http1_parse_request(&connection->head,
                                  (struct str){connection->head_bytes, (size_t)len}, &limits);
    }
    if (len < 0) {
        connection_refuse(connection, (unsigned)-len, connection->head.refusal);
        return false;
    }
    input_consume(connection, (size_t)len);
    connection->state = CONNECTION_BODY;
    connection->timing_header = false;
    http1_chunks_init(&connection->chunks);
    timer_set(server->loop, &connection->timer, HTTP_SERVER_BODY_TIMEOUT_MS);
    if (connection->head.expects_continue && connection->input_len == 0) {
        stream_send_copy(&connection->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    return true;
}

static bool body_append(struct connection *connection, struct str payload)
{
    return bytes_append(&connection->body, &connection->body_len, &connection->body_size, payload);
}

// 1: the body is whole; 0: more must come; < 0: refused already.
static int process_chunks(struct connection *connection)
{
    struct str input = {connection->input, connection->input_len};
    struct str payload;
    enum http1_chunks_step step;
    do {
        step = http1_chunks_next(&connection->chunks, &input, &payload);
        if (step == HTTP1_CHUNKS_PAYLOAD) {
            if (payload.len > connection->request.server->options.body_max - connection->body_len) {
                connection_refuse(connection, 413, "body_too_large");
                return -EMSGSIZE;
            }
            if (!body_append(connection, payload)) {
                connection_close(connection);
                return -ENOMEM;
            }
        }
    } while (step == HTTP1_CHUNKS_PAYLOAD || step == HTTP1_CHUNKS_TRAILERS);
    if (step == HTTP1_CHUNKS_REFUSED) {
        connection_refuse(connection, connection->chunks.refused_status,
                          connection->chunks.refusal);
        return -EINVAL;
    }
    input_consume(connection, connection->input_len - input.len);
    return step == HTTP1_CHUNKS_END;
}

static int process_body(struct connection *connection)
{
    int whole = 1;
    if (connection->head.body == HTTP1_BODY_CHUNKED) {
        whole = process_chunks(connection);
    } else if (connection->head.body == HTTP1_BODY_LENGTH) {
        uint64_t left = connection->head.content_length - connection->body_len;
        struct str part = {connection->input, (size_t)MIN(left, connection->input_len)};
        if (!body_append(connection, part)) {
            connection_close(connection);
            return -ENOMEM;
        }
        input_consume(connection, part.len);
        whole = part.len == left;
    }
    if (whole == 0 && connection->peer_ended) {
        connection_close(connection);
    }
    return whole;
}

// Takes from the input what can be taken.
static void connection_process(struct connection *connection)
{
    if (connection->state == CONNECTION_HEAD && !process_head(connection)) {
        return;
    }
    if (connection->state == CONNECTION_BODY && process_body(connection) == 1) {
        request_ask(connection);
    }
}

// ---- What the stream tells --------------------------------------------------------------------

static void stream_received(struct stream *stream, struct buf *taken)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    struct str bytes = buf_str(taken);
    if (connection->state == CONNECTION_LINGERING) {
        connection->lingered_bytes += bytes.len;
        if (connection->lingered_bytes > HTTP_SERVER_LINGER_BYTES) {
            connection_close(connection);
        }
    } else if (connection->state != CONNECTION_CLOSING) {
        if (!bytes_append(&connection->input, &connection->input_len, &connection->input_size,
                          bytes)) {
            connection_close(connection);
        } else if (connection->state <= CONNECTION_BODY) {
            connection_process(connection);
        } else if (connection->input_len > READ_AHEAD_MAX) {
            stream_pause(stream);
        }
    }
    buf_release(taken);
}

static void stream_peer_ended(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    connection->peer_ended = true;
    switch (connection->state) {
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        connection_process(connection);
        break;
    case CONNECTION_STREAMING:
        connection_close(connection);
        break;
    case CONNECTION_LINGERING:
        if (stream_queued(stream) == 0) {
            connection_close(connection);
        }
        break;
    default:
        break; // the answer still goes out
    }
}

static void stream_all_sent(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    if (connection->state == CONNECTION_STREAMING) {
        timer_cancel(&connection->timer);
    } else if (connection->state == CONNECTION_LINGERING && connection->peer_ended) {
        connection_close(connection);
    } else if (connection->state == CONNECTION_FLUSHING) {
        if (!connection->keep_alive) {
            connection_linger(connection);
            return;
        }
        request_forget(connection);
        connection->state = CONNECTION_HEAD;
        stream_resume(stream);
        connection_process(connection);
    }
}

static void stream_broke(struct stream *stream, int error)
{
    connection_close(CONTAINER_OF(stream, struct connection, stream));
}

static void stream_is_closed(struct stream *stream)
{
    struct connection *connection = CONTAINER_OF(stream, struct connection, stream);
    struct http_server *server = connection->request.server;
    connection_close(connection); // when the stream was aborted from inside
    request_forget(connection);
    free(connection->input);
    list_remove(&connection->link);
    server->connection_count--;
    free(connection);
    http_server_free_when_idle(server);
}

static const struct stream_ops connection_stream_ops = {
    .received = stream_received,
    .ended = stream_peer_ended,
    .sent = stream_all_sent,
    .failed = stream_broke,
    .closed = stream_is_closed,
};

static void connection_timed_out(struct timer *timer)
{
    struct connection *connection = CONTAINER_OF(timer, struct connection, timer);
    bool half_a_request = connection->state == CONNECTION_BODY ||
                          (connection->state == CONNECTION_HEAD && connection->timing_header);
    bool sending =
        connection->state == CONNECTION_FLUSHING || connection->state == CONNECTION_STREAMING;
    if (half_a_request) {
        connection_refuse(connection, 408, "request_timeout");
    } else if (sending && stream_queued(&connection->stream) < connection->queued_before) {
        start_send_timer(connection);
    } else {
        connection_close(connection);
    }
}

void connection_open(struct http_server *server, int fd, const struct http_peer *peer)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL ||
        stream_open(&connection->stream, server->loop, fd, &connection_stream_ops) < 0) {
        close_fd(&fd);
        free(connection);
        return;
    }
    connection->request.server = server;
    connection->peer = *peer;
    list_append(&server->connections, &connection->link);
    server->connection_count++;
    timer_init(&connection->timer, connection_timed_out);
    timer_set(server->loop, &connection->timer, HTTP_SERVER_IDLE_TIMEOUT_MS);
}
