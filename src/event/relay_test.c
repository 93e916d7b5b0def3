// SPDX-License-Identifier: Apache-2.0
// Two ends talk through a relay of two streams, both ways at once, with tiny buffers, while each
// stream is paused and resumed at random:
//
//   left ══ near │ far ══ right
//
// Calm rounds must deliver every byte and both ends. In violent rounds one stream is closed or
// reset at a random moment: what arrived must be a prefix, and the rules of stream.h must hold.
#include "event/stream.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"
#include "event/acceptor.h"

enum { LEFT, NEAR, FAR, RIGHT, COUNT, QUEUE_MAX = 3000 };

struct end {
    struct stream stream;
    uint64_t to_write, written, read; // of LEFT and RIGHT
    bool ended, failed, closing, closed;
};

static struct loop *loop;
static struct end ends[COUNT];
static struct random_state chance;

static uint8_t pattern(size_t from, uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) + from * 31);
}

static struct end *end_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct end, stream);
}

static size_t index_of(const struct end *end)
{
    return (size_t)(end - ends);
}

// Whom the relay forwards to; NULL for the ends.
static struct end *forward_to(const struct end *end)
{
    return end == &ends[NEAR] ? &ends[FAR] : end == &ends[FAR] ? &ends[NEAR] : NULL;
}

static void close_end(struct end *end)
{
    if (!end->closing) {
        end->closing = true;
        stream_close(&end->stream);
    }
}

static void write_more(struct end *end)
{
    while (end->written < end->to_write && stream_queued(&end->stream) < QUEUE_MAX) {
        uint8_t bytes[500];
        size_t len = 1 + (size_t)random_below(&chance, sizeof(bytes));
        len = MIN(len, end->to_write - end->written);
        for (size_t i = 0; i < len; i++) {
            bytes[i] = pattern(index_of(end), end->written + i);
        }
        assert_int_equal(stream_send_copy(&end->stream, bytes, len), 0);
        end->written += len;
    }
    if (end->written == end->to_write) {
        stream_finish(&end->stream);
    }
}

static void check_quiet(struct end *end)
{
    assert_false(end->closing || end->failed);
}

static void on_connected(struct stream *stream)
{
    check_quiet(end_of(stream));
}

static void on_received(struct stream *stream, struct buf *taken)
{
    struct end *end = end_of(stream), *to = forward_to(end);
    check_quiet(end);
    assert_false(end->ended || stream_is_paused(stream));
    if (to != NULL && to->closing) {
        buf_release(taken);
        return;
    }
    if (to != NULL) {
        stream_send(&to->stream, taken);
        if (stream_queued(&to->stream) > QUEUE_MAX) {
            stream_pause(stream);
        }
        return;
    }
    size_t writer = RIGHT - index_of(end);
    for (uint32_t i = taken->start; i < taken->end; i++) {
        assert_int_equal(taken->data[i], pattern(writer, end->read));
        end->read++;
    }
    buf_release(taken);
}

static void on_ended(struct stream *stream)
{
    struct end *end = end_of(stream), *to = forward_to(end);
    check_quiet(end);
    assert_false(end->ended || stream_is_paused(stream));
    end->ended = true;
    if (to != NULL && !to->closing) {
        stream_finish(&to->stream);
    }
}

static void on_sent(struct stream *stream)
{
    struct end *end = end_of(stream), *to = forward_to(end);
    check_quiet(end);
    assert_int_equal(stream_queued(stream), 0);
    if (to != NULL && !to->closing) {
        stream_resume(&to->stream);
    } else if (to == NULL) {
        write_more(end);
    }
}

static void on_failed(struct stream *stream, int error)
{
    struct end *end = end_of(stream), *to = forward_to(end);
    check_quiet(end);
    assert_true(error == -ECONNRESET || error == -EPIPE);
    end->failed = true;
    close_end(end);
    if (to != NULL) {
        close_end(to);
    }
}

static void on_closed(struct stream *stream)
{
    struct end *end = end_of(stream);
    assert_true(end->closing);
    assert_false(end->closed);
    end->closed = true;
    // Ours again: the engine must not look at it.
    ASAN_POISON_MEMORY_REGION(stream, sizeof(*stream));
}

static const struct stream_ops ops = {on_connected, on_received, on_ended,
                                      on_sent,      on_failed,   on_closed};

static struct end *accept_to;
static void on_accepted(struct acceptor *acceptor, int fd, const struct addr *peer)
{
    assert_int_equal(stream_open_accepted(&accept_to->stream, loop, fd, &ops), 0);
    acceptor_close(acceptor);
}

static void join(struct end *a, struct end *b, bool tcp)
{
    int size = 4096;
    if (!tcp) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        assert_int_equal(stream_open(&a->stream, loop, fds[0], &ops), 0);
        assert_int_equal(stream_open(&b->stream, loop, fds[1], &ops), 0);
        return;
    }
    struct acceptor acceptor;
    struct addr at;
    assert_int_equal(addr_parse_ip(STR("127.0.0.1"), &at), 0);
    assert_int_equal(acceptor_open(&acceptor, loop, &at, NULL, on_accepted), 0);
    assert_int_equal(acceptor_local(&acceptor, &at), 0);
    accept_to = b;
    assert_int_equal(stream_connect(&a->stream, loop, &at, NULL, &ops), 0);
    while (!stream_is_open(&b->stream)) {
        assert_int_equal(loop_turn(loop, 1000), 0);
    }
    setsockopt(a->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(b->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static bool delivered(const struct end *end)
{
    return end->ended && end->read == ends[RIGHT - index_of(end)].to_write;
}

// Wakes what was paused at random; the relay's own back pressure is kept.
static void resume_some(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct end *to = forward_to(&ends[i]);
        if (!ends[i].closing && random_below(&chance, 2) == 0 &&
            (to == NULL || to->closing || stream_queued(&to->stream) == 0)) {
            stream_resume(&ends[i].stream);
        }
    }
}

static void round_of(uint64_t seed, uint64_t bytes, bool violent)
{
    random_seed(&chance, seed);
    struct loop_options options = {.buffer_size = 16 + (uint32_t)random_below(&chance, 500)};
    assert_int_equal(loop_new(&options, &loop), 0);
    ASAN_UNPOISON_MEMORY_REGION(ends, sizeof(ends));
    memset(ends, 0, sizeof(ends));
    join(&ends[LEFT], &ends[NEAR], random_below(&chance, 2));
    join(&ends[FAR], &ends[RIGHT], random_below(&chance, 2));
    ends[LEFT].to_write = random_below(&chance, bytes);
    ends[RIGHT].to_write = random_below(&chance, bytes);
    write_more(&ends[LEFT]);
    write_more(&ends[RIGHT]);
    uint64_t blow = violent ? random_below(&chance, 300) : UINT64_MAX;
    uint64_t give_up = monotonic_ns() + 20000000000u;
    for (uint64_t turn = 0;; turn++) {
        struct end *any = &ends[random_below(&chance, COUNT)];
        if (turn == blow && !any->closing) {
            any->closing = true;
            (random_below(&chance, 2) ? stream_close : stream_abort)(&any->stream);
        }
        if (!any->closing && random_below(&chance, 3) == 0) {
            stream_pause(&any->stream);
        }
        resume_some();
        assert_int_equal(loop_turn(loop, 1), 0);
        assert_true(monotonic_ns() < give_up);
        if (delivered(&ends[LEFT]) && delivered(&ends[RIGHT])) {
            break;
        }
        if (violent && turn > blow + 50) {
            break;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        close_end(&ends[i]);
    }
    assert_int_equal(loop_turn(loop, 0), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_true(ends[i].closed);
    }
    loop = loop_free(loop);
}

static void every_byte_and_both_ends_arrive(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        round_of(seed, 1 << 20, false);
    }
}

static void closing_anywhere_at_any_moment_keeps_the_rules(void **state)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        round_of(seed, 100000, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_and_both_ends_arrive),
        cmocka_unit_test(closing_anywhere_at_any_moment_keeps_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
