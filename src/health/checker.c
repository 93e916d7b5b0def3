// SPDX-License-Identifier: Apache-2.0
#include "health/checker.h"

#include "codec/http1.h"

enum state { RESTING, CONNECTING, ASKING, LEAVING, CLOSING };

// What a target still sends once its status is known is read, so that no server fails in the middle
// of its answer at every check: so much, for so long.
enum { LEAVE_BYTES = 256 * 1024, LEAVE_MS = 500 };

// Of an answer's head. More than that is no answer to a health check.
static const struct http1_limits head_limits = {
    .line_bytes = 8192,
    .head_bytes = 16384,
    .fields = HTTP1_FIELDS_MAX,
};

static void rest(struct checker *checker)
{
    uint64_t interval_ms = (uint64_t)checker->check->interval_s * 1000;
    uint64_t tenth = interval_ms / 10;
    uint64_t next_ms =
        checker->began_ms + interval_ms - tenth + random_below(checker->random, 2 * tenth + 1);
    uint64_t now_ms = loop_now_ms(checker->loop);
    bool at_once = checker->again || next_ms < now_ms;
    checker->state = RESTING;
    checker->again = false;
    timer_set(checker->loop, &checker->timer, at_once ? 0 : next_ms - now_ms);
}

// The connection is closed now; the checker rests again in `closed`, when its memory is free.
static void end_check(struct checker *checker)
{
    checker->state = CLOSING;
    timer_cancel(&checker->timer);
    buf_list_release(&checker->head_bytes);
    free(checker->head);
    checker->head = NULL;
    // Nothing is owed to the peer, and a FIN would leave a TIME-WAIT for every check.
    stream_abort(&checker->stream);
}

static void finish(struct checker *checker, struct health_result result)
{
    end_check(checker);
    checker->ops->result(checker, result);
}

static void fail(struct checker *checker, enum health_reason reason)
{
    finish(checker, (struct health_result){.reason = (uint8_t)reason});
}

// The answer is known, but not all of it is here.
static void leave(struct checker *checker, struct health_result result)
{
    checker->state = LEAVING;
    checker->left_bytes = buf_len(checker->head_bytes);
    checker->head_bytes = buf_release(checker->head_bytes);
    timer_set(checker->loop, &checker->timer, LEAVE_MS);
    checker->ops->result(checker, result);
}

static void ask(struct checker *checker)
{
    char room[ADDR_TEXT_LEN + 32];
    char address[ADDR_TEXT_LEN];
    struct writer host;
    writer_init(&host, room, sizeof(room));
    writer_put(&host, str_of(addr_format(&checker->target, address)));

    char bytes[4096 + 256];
    struct writer writer;
    writer_init(&writer, bytes, sizeof(bytes));
    WRITER_PUT(&writer, "GET ");
    writer_put(&writer, str_of(checker->check->path));
    WRITER_PUT(&writer, " HTTP/1.1\r\nHost: ");
    writer_put(&writer, writer_str(&host));
    WRITER_PUT(&writer, "\r\nUser-Agent: weir-health-check\r\nAccept: */*\r\n"
                        "Connection: close\r\n\r\n");
    checker->state = ASKING;
    checker->head = malloc(sizeof(*checker->head));
    if (checker->head == NULL || writer.overflowed ||
        stream_send_copy(&checker->stream, writer.start, writer_len(&writer)) < 0) {
        end_check(checker); // ours to blame, no result
        return;
    }
    http1_head_init(checker->head);
}

static struct checker *checker_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct checker, stream);
}

static void check_connected(struct stream *stream)
{
    struct checker *checker = checker_of(stream);
    if (checker->check->protocol == PROTOCOL_TCP) {
        fail(checker, HEALTH_NONE);
    } else {
        ask(checker);
    }
}

static void check_received(struct stream *stream, struct buf *taken)
{
    struct checker *checker = checker_of(stream);
    if (checker->state == LEAVING) {
        checker->left_bytes += buf_len(taken);
        buf_release(taken);
        if (checker->left_bytes > LEAVE_BYTES) {
            end_check(checker);
        }
        return;
    }
    if (checker->state != ASKING) { // it speaks first: a protocol of its own
        buf_release(taken);
        fail(checker, HEALTH_BAD_RESPONSE);
        return;
    }
    buf_list_append(&checker->head_bytes, taken);
    if (buf_list_join(&checker->head_bytes) < 0) {
        end_check(checker);
        return;
    }
    for (;;) {
        int len = http1_parse_response(checker->head, buf_str(checker->head_bytes), &head_limits,
                                       HTTP1_GET);
        if (len == 0) {
            return;
        }
        if (len < 0 || checker->head->status == 101) {
            fail(checker, HEALTH_BAD_RESPONSE);
            return;
        }
        unsigned status = checker->head->status;
        if (status >= 200) {
            leave(checker, health_check_accepts(checker->check, status)
                               ? (struct health_result){0}
                               : (struct health_result){HEALTH_STATUS, (uint16_t)status});
            return;
        }
        checker->head_bytes->start += (uint32_t)len;
        http1_head_init(checker->head);
    }
}

static void check_ended(struct stream *stream)
{
    struct checker *checker = checker_of(stream);
    if (checker->state == LEAVING) {
        end_check(checker);
    } else {
        fail(checker, HEALTH_CLOSED);
    }
}

static void check_failed(struct stream *stream, int error)
{
    struct checker *checker = checker_of(stream);
    if (checker->state == LEAVING || error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
        error == -ENOBUFS) {
        end_check(checker);
    } else if (checker->state == CONNECTING) {
        finish(checker, health_result_of_connect(error));
    } else {
        fail(checker, HEALTH_CLOSED);
    }
}

static void check_closed(struct stream *stream)
{
    struct checker *checker = checker_of(stream);
    if (checker->closing) {
        checker->ops->closed(checker);
    } else {
        rest(checker);
    }
}

static const struct stream_ops check_ops = {
    .connected = check_connected,
    .received = check_received,
    .ended = check_ended,
    .failed = check_failed,
    .closed = check_closed,
};

static void begin(struct checker *checker)
{
    struct addr to = checker->target;
    if (checker->check->port != 0) {
        to.port = checker->check->port;
    }
    checker->began_ms = loop_now_ms(checker->loop);
    if (stream_connect(&checker->stream, checker->loop, &to, NULL, &check_ops) < 0) {
        rest(checker);
        return;
    }
    checker->state = CONNECTING;
    timer_set(checker->loop, &checker->timer, (uint64_t)checker->check->timeout_s * 1000);
}

static void checker_timer_fired(struct timer *timer)
{
    struct checker *checker = CONTAINER_OF(timer, struct checker, timer);
    if (checker->state == RESTING) {
        begin(checker);
    } else if (checker->state == LEAVING) {
        end_check(checker);
    } else {
        fail(checker,
             checker->state == CONNECTING ? HEALTH_CONNECT_TIMEOUT : HEALTH_RESPONSE_TIMEOUT);
    }
}

void checker_open(struct checker *checker, struct loop *loop, struct random_state *random,
                  const struct addr *target, const struct health_check *check, uint64_t first_ms,
                  const struct checker_ops *ops)
{
    *checker = (struct checker){
        .ops = ops,
        .loop = loop,
        .random = random,
        .check = check,
        .target = *target,
        .state = RESTING,
    };
    timer_init(&checker->timer, checker_timer_fired);
    timer_set(loop, &checker->timer, first_ms);
}

static bool settings_differ(const struct health_check *a, const struct health_check *b)
{
    return a->protocol != b->protocol || a->port != b->port || a->interval_s != b->interval_s ||
           a->timeout_s != b->timeout_s || strcmp(a->path, b->path) != 0 ||
           strcmp(a->codes, b->codes) != 0;
}

void checker_change(struct checker *checker, const struct health_check *check)
{
    bool differ = settings_differ(checker->check, check);
    checker->check = check;
    if (differ) {
        checker_check_soon(checker);
    }
}

void checker_check_soon(struct checker *checker)
{
    if (checker->state == RESTING) {
        timer_set(checker->loop, &checker->timer, 0);
    } else {
        checker->again = true;
    }
}

void checker_close(struct checker *checker)
{
    checker->closing = true;
    timer_cancel(&checker->timer);
    if (checker->state == RESTING) {
        checker->ops->closed(checker);
    } else if (checker->state != CLOSING) {
        end_check(checker);
    }
}
