// SPDX-License-Identifier: Apache-2.0
#include "agent/control_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/stream.h"
#include "event/timer.h"

enum {
    LINE_MAX_BYTES = 16 << 20, // a document's limit
    FIRST_TRIES = 1000,        // at FIRST_RETRY_MS; then it is not a start that is waited for
    FIRST_RETRY_MS = 2,
    LATER_RETRY_MS = 100,
};

struct control_client {
    struct stream stream;
    struct timer retry;
    struct loop *loop;
    const struct control_client_ops *ops;
    void *owner;
    char *line; // what came of the line that is not complete
    size_t line_len, line_room;
    uint64_t asked_at_ms; // the oldest question without an answer; 0: none
    unsigned tries;
    uint32_t user;
    bool connected, streaming; // streaming: stream_close has not been followed by closed yet
    bool told, closing;
    char path[];
};

static void client_try(struct control_client *client);

static void client_free(struct control_client *client)
{
    timer_cancel(&client->retry);
    free(client->line);
    free(client);
}

static void client_retry_later(struct control_client *client)
{
    client->tries++;
    timer_set(client->loop, &client->retry,
              client->tries < FIRST_TRIES ? FIRST_RETRY_MS : LATER_RETRY_MS);
}

static void client_retry(struct timer *timer)
{
    client_try(CONTAINER_OF(timer, struct control_client, retry));
}

static void client_drop(struct control_client *client)
{
    client->connected = false;
    client->asked_at_ms = 0;
    client->line_len = 0;
    stream_close(&client->stream);
}

static void client_lose(struct control_client *client)
{
    client_drop(client);
    if (client->told) {
        client->told = false;
        client->ops->lost(client->owner);
    }
}

static void client_connected(struct stream *stream)
{
    struct control_client *client = CONTAINER_OF(stream, struct control_client, stream);
    client->connected = true;
    client->asked_at_ms = loop_now_ms(client->loop);
    const struct unit_control_request request = {.command = UNIT_COMMAND_WATCH, .snapshot = ""};
    if (control_client_send(client, &request) < 0) {
        client_lose(client);
    }
}

// False when the connection is no longer worth keeping, or the client is closing.
static bool client_line(struct control_client *client, struct str line)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct unit_control_answer *answer;
    int result = unit_control_answer_parse(line, &arena, &answer, NULL);
    if (result == 0) {
        client->asked_at_ms = 0;
        client->tries = 0;
        client->told = true;
        client->ops->told(client->owner, answer, &arena);
    }
    arena_reset(&arena);
    return result == 0 && !client->closing && client->connected;
}

static int line_append(struct control_client *client, struct str bytes)
{
    if (client->line_len + bytes.len > LINE_MAX_BYTES) {
        return -EMSGSIZE;
    }
    if (client->line_len + bytes.len > client->line_room) {
        size_t room = MAX(2 * client->line_room, client->line_len + bytes.len);
        char *line = realloc(client->line, room);
        if (line == NULL) {
            return -ENOMEM;
        }
        client->line = line;
        client->line_room = room;
    }
    memcpy(client->line + client->line_len, bytes.at, bytes.len);
    client->line_len += bytes.len;
    return 0;
}

static bool client_bytes(struct control_client *client, struct str bytes)
{
    while (bytes.len > 0) {
        const char *end = memchr(bytes.at, '\n', bytes.len);
        struct str part = {bytes.at, end != NULL ? (size_t)(end - bytes.at) : bytes.len};
        if (line_append(client, part) < 0) {
            return false;
        }
        if (end == NULL) {
            return true;
        }
        struct str line = {client->line, client->line_len};
        client->line_len = 0;
        if (!client_line(client, line)) {
            return false;
        }
        bytes = (struct str){end + 1, bytes.len - part.len - 1};
    }
    return true;
}

static void client_received(struct stream *stream, struct buf *taken)
{
    struct control_client *client = CONTAINER_OF(stream, struct control_client, stream);
    bool good = client_bytes(client, buf_str(taken));
    buf_release(taken);
    if (!good && !client->closing) {
        client_lose(client);
    }
}

static void client_ended(struct stream *stream)
{
    client_lose(CONTAINER_OF(stream, struct control_client, stream));
}

static void client_failed(struct stream *stream, int error)
{
    client_lose(CONTAINER_OF(stream, struct control_client, stream));
}

static void client_closed(struct stream *stream)
{
    struct control_client *client = CONTAINER_OF(stream, struct control_client, stream);
    client->streaming = false;
    if (client->closing) {
        client_free(client);
    } else {
        client_retry_later(client);
    }
}

static const struct stream_ops client_stream_ops = {
    .connected = client_connected,
    .received = client_received,
    .ended = client_ended,
    .failed = client_failed,
    .closed = client_closed,
};

// Connects to the socket itself, not to what a link of its name leads to.
static int client_connect(struct control_client *client)
{
    cleanup(close_fd) int fd = open(client->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISSOCK(status.st_mode) || (client->user != 0 && status.st_uid != client->user)) {
        return -ENOTSOCK;
    }
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return stream_connect_unix(&client->stream, client->loop, path, &client_stream_ops);
}

static void client_try(struct control_client *client)
{
    if (client_connect(client) < 0) {
        client_retry_later(client);
    } else {
        client->streaming = true;
    }
}

int control_client_open(struct loop *loop, const char *path, uint32_t user,
                        const struct control_client_ops *ops, void *owner,
                        struct control_client **ret_client)
{
    size_t length = strlen(path) + 1;
    struct control_client *client = calloc(1, sizeof(*client) + length);
    if (client == NULL) {
        return -ENOMEM;
    }
    client->loop = loop;
    client->ops = ops;
    client->owner = owner;
    client->user = user;
    memcpy(client->path, path, length);
    timer_init(&client->retry, client_retry);
    timer_set(loop, &client->retry, 1);
    *ret_client = client;
    return 0;
}

struct control_client *control_client_close(struct control_client *client)
{
    if (client == NULL) {
        return NULL;
    }
    client->closing = true;
    timer_cancel(&client->retry);
    if (client->streaming) {
        client_drop(client);
    } else {
        client_free(client);
    }
    return NULL;
}

int control_client_send(struct control_client *client, const struct unit_control_request *request)
{
    if (!client->connected) {
        return -ENOTCONN;
    }
    cleanup(free_ptr) char *line = unit_control_request_print(request);
    if (line == NULL) {
        return -ENOMEM;
    }
    int result = stream_send_copy(&client->stream, line, strlen(line));
    return result < 0 ? result : stream_send_copy(&client->stream, "\n", 1);
}

uint64_t control_client_beat(struct control_client *client)
{
    if (!client->connected) {
        return 0;
    }
    uint64_t now_ms = loop_now_ms(client->loop);
    if (client->asked_at_ms != 0) {
        return now_ms - client->asked_at_ms;
    }
    const struct unit_control_request request = {.command = UNIT_COMMAND_STATE, .snapshot = ""};
    if (control_client_send(client, &request) == 0) {
        client->asked_at_ms = now_ms;
    }
    return 0;
}

void control_client_renew(struct control_client *client)
{
    if (client->connected) {
        client_lose(client);
    }
}
