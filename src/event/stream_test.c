// SPDX-License-Identifier: Apache-2.0
#include "event/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"
#include "event/acceptor.h"

// What happened on a stream, in order: C(onnected) r(eceived) E(nded) s(ent) F(ailed) X(closed).
struct peer {
    struct stream stream;
    char trace[64];
    size_t traced, bytes;
    uint8_t last;
    int error;
    bool close_on_receive, close_on_failure;
};

static struct loop *loop;
static struct peer a, b;

static void trace(struct stream *stream, char what)
{
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    if (peer->traced + 1 < sizeof(peer->trace) &&
        (peer->traced == 0 || peer->trace[peer->traced - 1] != what)) {
        peer->trace[peer->traced++] = what;
    }
}

static void on_connected(struct stream *stream)
{
    trace(stream, 'C');
}

static void on_received(struct stream *stream, struct buf *taken)
{
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    trace(stream, 'r');
    assert_true(buf_len(taken) > 0);
    peer->bytes += buf_len(taken);
    peer->last = taken->data[taken->end - 1];
    buf_release(taken);
    if (peer->close_on_receive) {
        stream_close(stream);
    }
}

static void on_ended(struct stream *stream)
{
    trace(stream, 'E');
}

static void on_sent(struct stream *stream)
{
    trace(stream, 's');
}

static void on_failed(struct stream *stream, int error)
{
    trace(stream, 'F');
    struct peer *peer = CONTAINER_OF(stream, struct peer, stream);
    peer->error = error;
    if (peer->close_on_failure) {
        stream_close(stream);
    }
}

static void on_closed(struct stream *stream)
{
    trace(stream, 'X');
    // Ours again: the engine must not look at it.
    ASAN_POISON_MEMORY_REGION(stream, sizeof(*stream));
}

static void forget(struct peer *peer)
{
    ASAN_UNPOISON_MEMORY_REGION(peer, sizeof(*peer));
    memset(peer, 0, sizeof(*peer));
}

static const struct stream_ops ops = {on_connected, on_received, on_ended,
                                      on_sent,      on_failed,   on_closed};

static void turns(int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(loop_turn(loop, 0), 0);
    }
}

// Turns until the stream's trace ends in what.
static void until(struct peer *peer, char what)
{
    uint64_t give_up = monotonic_ns() + 5000000000u;
    while (peer->traced == 0 || peer->trace[peer->traced - 1] != what) {
        assert_int_equal(loop_turn(loop, 10), 0);
        assert_true(monotonic_ns() < give_up);
    }
}

static int set_up(void **state)
{
    forget(&a);
    forget(&b);
    struct loop_options options = {.buffer_size = 1024};
    return loop_new(&options, &loop);
}

static int tear_down(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct peer *peer = i == 0 ? &a : &b;
        if (strchr(peer->trace, 'X') == NULL) {
            stream_close(&peer->stream);
        }
    }
    turns(1);
    loop = loop_free(loop);
    return 0;
}

static void open_pair(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(stream_open(&a.stream, loop, fds[0], &ops), 0);
    assert_int_equal(stream_open(&b.stream, loop, fds[1], &ops), 0);
}

static struct acceptor acceptor;
static void on_accepted(struct acceptor *from, int fd, const struct addr *peer)
{
    assert_int_equal(stream_open_accepted(&b.stream, loop, fd, &ops), 0);
    struct addr seen;
    if (peer->family != 0) {
        assert_int_equal(stream_peer(&b.stream, &seen), 0);
        assert_true(addr_equal(&seen, peer));
    }
    acceptor_close(from);
}

// a connected to b over TCP.
static void open_tcp_pair(void)
{
    struct addr at;
    assert_int_equal(addr_parse_ip(STR("127.0.0.1"), &at), 0);
    assert_int_equal(acceptor_open(&acceptor, loop, &at, NULL, on_accepted), 0);
    assert_int_equal(acceptor_local(&acceptor, &at), 0);
    assert_int_equal(stream_connect(&a.stream, loop, &at, NULL, &ops), 0);
    until(&a, 'C');
    while (!stream_is_open(&b.stream)) {
        turns(1);
    }
}

static struct buf *bytes_of(uint32_t len)
{
    struct buf *buf = buf_new_sized(loop, len);
    memset(buf->data, 'x', len);
    buf->end = len;
    return buf;
}

static void bytes_go_both_ways_and_sent_follows(void **state)
{
    open_pair();
    stream_send(&a.stream, bytes_of(10));
    assert_int_equal(stream_send_copy(&b.stream, "hello", 5), 0);
    assert_string_equal(a.trace, ""); // never from inside the call
    turns(2);
    assert_int_equal(b.bytes, 10);
    assert_int_equal(a.bytes, 5);
    assert_string_equal(a.trace, "sr");
    assert_int_equal(stream_queued(&a.stream), 0);
}

static void end_comes_after_all_bytes_and_leaves_the_other_way_open(void **state)
{
    open_tcp_pair();
    for (int i = 0; i < 20; i++) {
        stream_send(&a.stream, bytes_of(3000));
    }
    stream_finish(&a.stream);
    until(&b, 'E');
    assert_int_equal(b.bytes, 60000);
    assert_string_equal(b.trace, "rE");
    stream_send(&b.stream, bytes_of(7));
    until(&a, 'r');
    assert_int_equal(a.bytes, 7);
}

static void end_waits_while_paused(void **state)
{
    open_tcp_pair();
    stream_pause(&b.stream);
    stream_send(&a.stream, bytes_of(5000));
    stream_finish(&a.stream);
    until(&a, 's');
    turns(3);
    assert_string_equal(b.trace, "");
    stream_resume(&b.stream);
    until(&b, 'E');
    assert_int_equal(b.bytes, 5000);
}

static void one_turn_reads_a_bounded_amount(void **state)
{
    open_pair();
    stream_pause(&b.stream);
    stream_send(&a.stream, bytes_of(60000));
    turns(1);
    stream_resume(&b.stream);
    turns(1);
    assert_in_range(b.bytes, 1, 8 * 1024);
    turns(40);
    assert_int_equal(b.bytes, 60000);
}

static void more_than_the_kernel_takes_is_sent_when_there_is_room(void **state)
{
    open_tcp_pair();
    stream_pause(&b.stream);
    enum { LOTS = 16 << 20 };
    for (uint32_t sent = 0; sent < LOTS; sent += 65536) {
        stream_send(&a.stream, bytes_of(65536));
    }
    turns(5);
    assert_true(stream_queued(&a.stream) > 0);
    stream_finish(&a.stream);
    stream_resume(&b.stream);
    until(&b, 'E');
    assert_int_equal(b.bytes, LOTS);
    assert_string_equal(a.trace, "Cs");
}

static void close_inside_received_is_the_last_but_closed(void **state)
{
    open_pair();
    b.close_on_receive = true;
    stream_send(&a.stream, bytes_of(60000));
    until(&b, 'X');
    turns(3);
    assert_string_equal(b.trace, "rX");
}

static void bytes_before_a_reset_arrive_and_then_the_failure(void **state)
{
    open_tcp_pair();
    stream_send(&a.stream, bytes_of(5000));
    turns(1);
    stream_pause(&b.stream);
    b.bytes = 0;
    stream_send(&a.stream, bytes_of(5000));
    until(&a, 's');
    turns(1);
    stream_abort(&a.stream);
    until(&a, 'X');
    turns(2);
    assert_int_equal(b.error, 0);
    stream_resume(&b.stream);
    until(&b, 'F');
    assert_true(b.bytes >= 5000);
    assert_int_equal(b.error, -ECONNRESET);
}

static void reset_is_told_while_paused_when_no_bytes_wait(void **state)
{
    open_tcp_pair();
    stream_pause(&b.stream);
    stream_abort(&a.stream);
    until(&b, 'F');
    assert_int_equal(b.error, -ECONNRESET);
}

static void reset_after_the_end_is_told(void **state)
{
    open_tcp_pair();
    stream_finish(&a.stream);
    until(&b, 'E');
    stream_abort(&a.stream);
    stream_send(&b.stream, bytes_of(1));
    until(&b, 'F');
    assert_true(b.error == -ECONNRESET || b.error == -EPIPE);
}

// A server that answers early and closes without reading the rest: its answer must not be lost to
// the failure of the upload.
static void early_answer_survives_the_failure_to_send(void **state)
{
    open_tcp_pair();
    stream_pause(&b.stream);
    stream_send(&a.stream, bytes_of(100)); // unread by b: its close becomes a reset
    until(&a, 's');
    stream_pause(&a.stream);
    stream_send(&b.stream, bytes_of(3000));
    until(&b, 's');
    stream_close(&b.stream);
    until(&b, 'X');
    assert_false(stream_is_broken(&a.stream));
    a.traced = 0;
    stream_send(&a.stream, bytes_of(100));
    // It is paused, perhaps because its owner waits for the queue to empty: that must not be for ever.
    until(&a, 's');
    turns(3);
    assert_int_equal(a.error, 0);
    assert_true(stream_is_broken(&a.stream));
    stream_resume(&a.stream);
    until(&a, 'F');
    assert_int_equal(a.bytes, 3000);
    assert_true(a.error == -ECONNRESET || a.error == -EPIPE);
}

static void send_failure_is_told_while_paused_when_no_bytes_wait(void **state)
{
    open_pair();
    stream_pause(&a.stream);
    stream_close(&b.stream);
    stream_send(&a.stream, bytes_of(100));
    until(&a, 'F');
    assert_int_equal(a.error, -EPIPE);
    stream_send(&a.stream, bytes_of(100)); // released
    assert_int_equal(stream_queued(&a.stream), 0);
}

// Between the events of a turn and its sending: so that sending is what fails.
static void reset_then_send(struct task *task)
{
    stream_abort(&b.stream);
    stream_send(&a.stream, bytes_of(100));
}

static void closing_inside_failed_is_safe_whatever_failed(void **state)
{
    for (int paused = 0; paused <= 1; paused++) {
        for (int sending = 0; sending <= 1; sending++) {
            forget(&a);
            forget(&b);
            open_tcp_pair();
            a.close_on_failure = true;
            if (paused) {
                stream_pause(&a.stream);
            }
            struct task task;
            task_init(&task, reset_then_send);
            if (sending) {
                loop_defer(loop, &task);
            } else {
                stream_abort(&b.stream);
            }
            until(&a, 'X');
            turns(2);
            assert_string_equal(a.trace, "CFX");
        }
    }
}

static void refused_connection_fails_from_the_loop(void **state)
{
    struct addr at;
    assert_int_equal(addr_parse_ip(STR("127.0.0.1"), &at), 0);
    assert_int_equal(acceptor_open(&acceptor, loop, &at, NULL, on_accepted), 0);
    assert_int_equal(acceptor_local(&acceptor, &at), 0);
    acceptor_close(&acceptor);
    assert_int_equal(stream_connect(&a.stream, loop, &at, NULL, &ops), 0);
    stream_send(&a.stream, bytes_of(100));
    assert_string_equal(a.trace, "");
    until(&a, 'F');
    assert_int_equal(a.error, -ECONNREFUSED);
    stream_close(&a.stream);
    stream_close(&a.stream); // nothing more happens
    until(&a, 'X');
    assert_string_equal(a.trace, "FX");
}

static void impossible_source_fails_from_the_loop(void **state)
{
    struct addr at, source;
    assert_int_equal(addr_parse(STR("127.0.0.1:9"), &at), 0);
    assert_int_equal(addr_parse_ip(STR("192.0.2.1"), &source), 0);
    assert_int_equal(stream_connect(&a.stream, loop, &at, &source, &ops), 0);
    until(&a, 'F');
    assert_int_equal(a.error, -EADDRNOTAVAIL);
}

static void closed_while_connecting_is_silent(void **state)
{
    struct addr at;
    assert_int_equal(addr_parse(STR("127.0.0.1:9"), &at), 0);
    assert_int_equal(stream_connect(&a.stream, loop, &at, NULL, &ops), 0);
    stream_close(&a.stream);
    until(&a, 'X');
    assert_string_equal(a.trace, "X");
}

static void queued_while_connecting_is_sent_with_the_end(void **state)
{
    struct addr at;
    assert_int_equal(addr_parse_ip(STR("::1"), &at), 0);
    if (acceptor_open(&acceptor, loop, &at, NULL, on_accepted) < 0) {
        skip(); // a machine without IPv6
    }
    assert_int_equal(acceptor_local(&acceptor, &at), 0);
    assert_int_equal(stream_connect(&a.stream, loop, &at, NULL, &ops), 0);
    stream_send(&a.stream, bytes_of(100));
    assert_int_equal(stream_send_copy(&a.stream, "y", 1), 0);
    stream_finish(&a.stream);
    until(&b, 'E');
    assert_int_equal(b.bytes, 101);
    assert_int_equal(b.last, 'y');
    assert_string_equal(a.trace, "Cs");
}

static void accepted_sockets_inherit_no_delay(void **state)
{
    open_tcp_pair();
    int on = 0;
    socklen_t len = sizeof(on);
    assert_int_equal(getsockopt(b.stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
}

static void unix_acceptor_replaces_a_stale_file_and_no_living_one(void **state)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/weir-stream-test-%d.sock", getpid());
    struct acceptor second;
    assert_int_equal(acceptor_open_unix(&acceptor, loop, path, 0600, on_accepted), 0);
    assert_int_equal(acceptor_open_unix(&second, loop, path, 0600, on_accepted), -EADDRINUSE);
    // Left behind as by a killed process: the descriptor gone, the file still there.
    struct watch dead = acceptor.watch;
    watch_close(&dead);
    close(dead.fd);
    free(acceptor.path);
    assert_int_equal(acceptor_open_unix(&acceptor, loop, path, 0600, on_accepted), 0);
    assert_int_equal(stream_connect_unix(&a.stream, loop, path, &ops), 0);
    until(&a, 'C');
    while (!stream_is_open(&b.stream)) {
        turns(1);
    }
    assert_int_equal(access(path, F_OK), -1);
}

static void small_pieces_for_a_peer_that_does_not_read_share_buffers(void **state)
{
    enum { BLOCK = 4 << 20, PIECES = 5000 };
    open_pair();
    stream_pause(&b.stream);
    stream_send(&a.stream, bytes_of(BLOCK));
    turns(2);
    assert_true(stream_queued(&a.stream) > 0);
    for (int i = 0; i < PIECES; i++) {
        struct buf *piece = buf_new(loop);
        buf_append(piece, "y", 1);
        stream_send(&a.stream, piece);
    }
    size_t held = 0;
    for (const struct buf *buf = a.stream.queue_head->next; buf != NULL; buf = buf->next) {
        held += buf->size;
    }
    assert_in_range(held, PIECES, 2 * PIECES);
    stream_resume(&b.stream);
    until(&a, 's');
    stream_finish(&a.stream);
    until(&b, 'E');
    assert_int_equal(b.bytes, BLOCK + PIECES);
    assert_int_equal(b.last, 'y');
}

static void send_copy_fills_the_last_buffer_first(void **state)
{
    open_pair();
    char text[700];
    memset(text, 'z', sizeof(text));
    assert_int_equal(stream_send_copy(&a.stream, text, sizeof(text)), 0);
    assert_int_equal(stream_send_copy(&a.stream, text, sizeof(text)), 0);
    assert_int_equal(stream_queued(&a.stream), 1400);
    assert_int_equal(buf_room(a.stream.queue_head), 0);
    turns(3);
    assert_int_equal(b.bytes, 1400);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways_and_sent_follows),
        TEST(end_comes_after_all_bytes_and_leaves_the_other_way_open),
        TEST(end_waits_while_paused),
        TEST(one_turn_reads_a_bounded_amount),
        TEST(more_than_the_kernel_takes_is_sent_when_there_is_room),
        TEST(close_inside_received_is_the_last_but_closed),
        TEST(bytes_before_a_reset_arrive_and_then_the_failure),
        TEST(reset_is_told_while_paused_when_no_bytes_wait),
        TEST(reset_after_the_end_is_told),
        TEST(early_answer_survives_the_failure_to_send),
        TEST(send_failure_is_told_while_paused_when_no_bytes_wait),
        TEST(closing_inside_failed_is_safe_whatever_failed),
        TEST(refused_connection_fails_from_the_loop),
        TEST(impossible_source_fails_from_the_loop),
        TEST(closed_while_connecting_is_silent),
        TEST(queued_while_connecting_is_sent_with_the_end),
        TEST(accepted_sockets_inherit_no_delay),
        TEST(unix_acceptor_replaces_a_stale_file_and_no_living_one),
        TEST(small_pieces_for_a_peer_that_does_not_read_share_buffers),
        TEST(send_copy_fills_the_last_buffer_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
