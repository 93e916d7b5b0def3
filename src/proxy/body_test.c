// SPDX-License-Identifier: Apache-2.0
// Bodies moved into a real stream over a socket pair, cut at every place.
#include "proxy/body.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"
#include "proxy/limits.h"

static struct loop *loop;
static struct stream to;
static int far; // the other end

static void on_received(struct stream *stream, struct buf *taken)
{
    buf_release(taken);
}
static void on_event(struct stream *stream)
{
}
static void on_failed(struct stream *stream, int error)
{
}
static const struct stream_ops ops = {
    .received = on_received, .ended = on_event, .failed = on_failed, .closed = on_event};

static int set_up(void **state)
{
    int fds[2];
    assert_int_equal(loop_new(NULL, &loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(stream_open(&to, loop, fds[0], &ops), 0);
    far = fds[1];
    return 0;
}

static int tear_down(void **state)
{
    stream_close(&to);
    loop_turn(loop, 0);
    loop_free(loop);
    close(far);
    return 0;
}

static struct buf *buf_of(const void *bytes, size_t len)
{
    struct buf *buf = buf_new_sized(loop, (uint32_t)len);
    buf_append(buf, bytes, (uint32_t)len);
    return buf;
}

// What arrived at the other end, ended by NUL.
static const char *arrived(void)
{
    static char bytes[65536];
    loop_turn(loop, 0);
    ssize_t len = recv(far, bytes, sizeof(bytes) - 1, MSG_DONTWAIT);
    bytes[len > 0 ? len : 0] = '\0';
    return bytes;
}

// Moves text, cut after `cut` bytes; returns the last step.
static enum body_step move(struct body *body, const char *text, size_t cut, struct buf **ret_left)
{
    struct buf *input = cut > 0 ? buf_of(text, cut) : NULL;
    enum body_step step = BODY_MORE;
    if (input != NULL) {
        step = body_move(body, &input, &to);
    }
    if (cut < strlen(text)) {
        struct buf **at = &input;
        while (*at != NULL) {
            at = &(*at)->next;
        }
        *at = buf_of(text + cut, strlen(text) - cut);
        if (step == BODY_MORE) {
            step = body_move(body, &input, &to);
        }
    }
    *ret_left = input;
    return step;
}

static size_t release_all(struct buf *list)
{
    size_t len = 0;
    while (list != NULL) {
        struct buf *next = list->next;
        len += buf_len(list);
        buf_release(list);
        list = next;
    }
    return len;
}

static void test_length_ends_where_the_next_message_begins(void **state)
{
    const char *text = "0123456789GET /next";
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct body body;
        struct buf *left;
        body_init(&body, HTTP1_BODY_LENGTH, 10, HTTP1_BODY_LENGTH);
        assert_int_equal(move(&body, text, cut, &left), BODY_ENDED);
        assert_true(body.ended);
        assert_string_equal(arrived(), "0123456789");
        assert_int_equal(release_all(left), 9);
        body_free(&body);
    }
}

static void test_chunks_are_built_anew_with_their_trailers(void **state)
{
    const char *text = "5;ext=1\r\nhello\r\n006\r\n world\r\n0\r\nX-T: 1\r\n\r\nNEXT";
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct body body;
        struct buf *left;
        body_init(&body, HTTP1_BODY_CHUNKED, 0, HTTP1_BODY_CHUNKED);
        assert_int_equal(move(&body, text, cut, &left), BODY_ENDED);
        const char *out = arrived();
        assert_null(strstr(out, "ext"));
        assert_non_null(strstr(out, "\r\n0\r\nX-T: 1\r\n\r\n"));
        assert_int_equal(body.passed, 11);
        assert_int_equal(release_all(left), 4);
        body_free(&body);
    }
}

static void test_chunks_for_http10_are_the_bare_payload(void **state)
{
    struct body body;
    struct buf *left;
    body_init(&body, HTTP1_BODY_CHUNKED, 0, HTTP1_BODY_UNTIL_CLOSE);
    assert_false(body_end_is_visible(&body));
    assert_int_equal(move(&body, "5\r\nhello\r\n0\r\nX: y\r\n\r\n", 7, &left), BODY_ENDED);
    assert_string_equal(arrived(), "hello");
    assert_null(left);
    body_free(&body);
}

static void test_until_close_becomes_chunks(void **state)
{
    struct body body;
    struct buf *left;
    body_init(&body, HTTP1_BODY_UNTIL_CLOSE, 0, HTTP1_BODY_CHUNKED);
    assert_int_equal(move(&body, "hello", 5, &left), BODY_MORE);
    assert_true(body_end(&body, &to));
    assert_string_equal(arrived(), "5\r\nhello\r\n0\r\n\r\n");
    body_free(&body);
}

static void test_bad_chunk_is_refused(void **state)
{
    struct body body;
    struct buf *left;
    body_init(&body, HTTP1_BODY_CHUNKED, 0, HTTP1_BODY_CHUNKED);
    assert_int_equal(move(&body, "5\r\nhelloX\r\n", 4, &left), BODY_REFUSED);
    release_all(left);
    body_free(&body);
}

static void test_a_full_queue_stops_the_source(void **state)
{
    static char block[16384];
    struct body body;
    struct buf *input = NULL, **at = &input;
    body_init(&body, HTTP1_BODY_LENGTH, 100 * sizeof(block), HTTP1_BODY_LENGTH);
    for (int i = 0; i < 6; i++) {
        *at = buf_of(block, sizeof(block));
        at = &(*at)->next;
    }
    assert_int_equal(body_move(&body, &input, &to), BODY_FULL);
    assert_in_range(stream_queued(&to), SEND_QUEUE_HIGH, SEND_QUEUE_HIGH + sizeof(block));
    assert_int_equal(release_all(input), 2 * sizeof(block));
    body_free(&body);
}

static void test_empty_bodies_have_ended_at_once(void **state)
{
    struct body body;
    body_init(&body, HTTP1_BODY_NONE, 0, HTTP1_BODY_NONE);
    assert_true(body.ended);
    body_init(&body, HTTP1_BODY_LENGTH, 0, HTTP1_BODY_LENGTH);
    assert_true(body.ended);
    body_init(&body, HTTP1_BODY_CHUNKED, 0, HTTP1_BODY_CHUNKED);
    assert_false(body.ended);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_length_ends_where_the_next_message_begins),
        TEST(test_chunks_are_built_anew_with_their_trailers),
        TEST(test_chunks_for_http10_are_the_bare_payload),
        TEST(test_until_close_becomes_chunks),
        TEST(test_bad_chunk_is_refused),
        TEST(test_a_full_queue_stops_the_source),
        TEST(test_empty_bodies_have_ended_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
