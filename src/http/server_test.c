// SPDX-License-Identifier: Apache-2.0
// The server over real sockets of one loop, asked by plain sockets and by the client.
#include "http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/client.h"

static struct loop *loop;
static struct http_server *server;
static struct http_request *waiting; // of /later and /stream
static unsigned gone_count;

static void request_gone(struct http_request *request)
{
    if (waiting == request) {
        waiting = NULL;
    }
    gone_count++;
}

static void asked(struct http_request *request, void *owner)
{
    struct str path = request->head->path;
    if (str_equal(path, STR("/later")) || str_equal(path, STR("/stream"))) {
        waiting = request;
        request->gone = request_gone;
        if (str_equal(path, STR("/stream"))) {
            struct http_reply reply = {.status = 200, .content_type = STR("text/event-stream")};
            http_request_stream_begin(request, &reply);
            assert_true(http_request_stream_send(request, STR("one")));
        }
        return;
    }
    if (str_equal(path, STR("/ignored"))) {
        return;
    }
    char text[128];
    int len = snprintf(text, sizeof(text), "%.*s %.*s %zu", STR_ARG(request->head->method_text),
                       STR_ARG(path), request->body.len);
    struct http_reply reply = {
        .status = 200,
        .content_type = STR("text/plain"),
        .body = {text, (size_t)len},
        .headers = {{STR("X-Ok"), STR("yes")}, {STR("X-Bad"), STR("a\r\nSet-Cookie: b")}}};
    http_request_reply(request, &reply);
}

static int set_up(void **state)
{
    struct addr at;
    waiting = NULL;
    gone_count = 0;
    struct loop_options loop_options = {0};
    struct http_server_options options = {
        .body_max = 1000, .connections_max = 4, .stream_queue_max = 4096};
    return loop_new(&loop_options, &loop) < 0 ||
           http_server_new(loop, &options, asked, NULL, &server) < 0 ||
           addr_parse_ip(STR("127.0.0.1"), &at) < 0 || http_server_listen(server, &at, NULL) < 0;
}

static int tear_down(void **state)
{
    http_server_close(server);
    for (int i = 0; i < 3; i++) {
        loop_turn(loop, 0);
    }
    loop = loop_free(loop);
    return 0;
}

static int open_socket(void)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(http_server_address(server, 0), &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

// Reads until the text has come `times` times (or, with times 0, until EOF).
static void read_until(int fd, const char *text, unsigned times, char *out, size_t size)
{
    size_t have = 0;
    for (int turns = 0; turns < 2000; turns++) {
        loop_turn(loop, 1);
        ssize_t len = recv(fd, out + have, size - 1 - have, MSG_DONTWAIT);
        if (len == 0 && times == 0) {
            return;
        }
        have += len > 0 ? (size_t)len : 0;
        out[have] = '\0';
        unsigned seen = 0;
        for (char *at = out; times > 0 && (at = strstr(at, text)) != NULL; at++) {
            seen++;
        }
        if (times > 0 && seen >= times) {
            return;
        }
    }
    fail_msg("no '%s' in: %s", text, out);
}

static void exchange(const char *request, const char *want)
{
    char out[8192] = "";
    int fd = open_socket();
    send_all(fd, request, strlen(request));
    read_until(fd, "", 0, out, sizeof(out));
    if (strstr(out, want) == NULL) {
        fail_msg("wanted '%s', got: %s", want, out);
    }
    close(fd);
}

static void requests_are_answered_in_order_on_one_connection(void **state)
{
    char out[8192] = "";
    int fd = open_socket();
    const char *two = "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for (const char *at = two; *at != '\0'; at++) {
        send_all(fd, at, 1);
        loop_turn(loop, 0);
    }
    read_until(fd, "POST /b 5", 1, out, sizeof(out));
    assert_non_null(strstr(out, "GET /a 0"));
    assert_true(strstr(out, "GET /a 0") < strstr(out, "POST /b 5"));
    assert_non_null(strstr(out, "X-Ok: yes\r\n"));
    assert_null(strstr(out, "Set-Cookie"));
    close(fd);
}

static void many_pipelined_requests_all_get_their_answer(void **state)
{
    static char out[65536];
    int fd = open_socket();
    for (int i = 0; i < 100; i++) {
        send_all(fd, "GET /n HTTP/1.1\r\nHost: h\r\n\r\n", 28);
    }
    read_until(fd, "GET /n 0", 100, out, sizeof(out));
    close(fd);
}

static void what_cannot_be_read_is_refused_with_words_and_a_close(void **state)
{
    exchange("GET / HTTP/1.1\r\n\r\n", "400 Bad Request");
    exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", " 413 ");
    char chunked[1200] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n";
    size_t head_len = strlen(chunked);
    memset(chunked + head_len, 'x', 1001);
    exchange(chunked, "413");
    exchange("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", " 400 ");
    exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET / 0");
    exchange("GET / HTTP/1.0\r\n\r\n", "Connection: close");
    exchange("GET /ignored HTTP/1.0\r\n\r\n", " 500 ");
}

static void an_early_refusal_reaches_a_client_that_goes_on_sending(void **state)
{
    char out[8192] = "";
    int fd = open_socket();
    static char body[200000];
    memset(body, 'x', sizeof(body));
    const char *head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n";
    send_all(fd, head, strlen(head));
    for (int i = 0; i < 50; i++) {
        ssize_t sent = send(fd, body, sizeof(body), MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(sent > 0 || errno == EAGAIN);
        loop_turn(loop, 0);
    }
    read_until(fd, "body_too_large\"", 1, out, sizeof(out));
    assert_non_null(strstr(out, " 413 "));
    close(fd);
}

static void a_continue_is_sent_when_it_is_waited_for(void **state)
{
    char out[8192] = "";
    int fd = open_socket();
    const char *head =
        "POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    send_all(fd, head, strlen(head));
    read_until(fd, "100 Continue\r\n\r\n", 1, out, sizeof(out));
    send_all(fd, "ab", 2);
    read_until(fd, "POST /c 2", 1, out, sizeof(out));
    close(fd);
}

static void a_late_answer_comes_and_a_client_that_leaves_is_noticed(void **state)
{
    char out[8192] = "";
    int fd = open_socket();
    send_all(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", 32);
    while (waiting == NULL) {
        loop_turn(loop, 100);
    }
    struct http_reply reply = {.status = 204};
    http_request_reply(waiting, &reply);
    read_until(fd, "204 No Content", 1, out, sizeof(out));
    assert_null(strstr(out, "Content-Length"));

    waiting = NULL;
    send_all(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n", 32);
    while (waiting == NULL) {
        loop_turn(loop, 100);
    }
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    while (gone_count == 0) {
        loop_turn(loop, 100);
    }
}

static void a_stream_flows_and_one_that_is_not_read_is_given_up(void **state)
{
    char out[8192] = "";
    int fd = open_socket();
    send_all(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 33);
    read_until(fd, "3\r\none\r\n", 1, out, sizeof(out));
    assert_true(http_request_stream_send(waiting, STR("two")));
    read_until(fd, "two", 1, out, sizeof(out));
    static char piece[4000];
    memset(piece, 'p', sizeof(piece));
    for (int i = 0; i < 100000 && gone_count == 0; i++) {
        if (http_request_stream_send(waiting, (struct str){piece, sizeof(piece)})) {
            loop_turn(loop, 0);
        }
    }
    assert_int_equal(gone_count, 1);
    close(fd);
}

static void past_the_limit_the_longest_silent_connection_gives_way(void **state)
{
    int fds[6];
    char byte;
    for (int i = 0; i < 6; i++) {
        fds[i] = open_socket();
    }
    for (int i = 0; i < 10; i++) {
        loop_turn(loop, 10);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), i < 2 ? 0 : -1);
    }
    for (int i = 0; i < 6; i++) {
        close(fds[i]);
    }
}

static unsigned answers_done;
static struct http_answer last_answer;
static char last_body[4096];

static void answer_came(struct http_call *call, const struct http_answer *answer)
{
    answers_done++;
    last_answer = *answer;
    snprintf(last_body, sizeof(last_body), "%.*s", STR_ARG(answer->body));
}

static void call(struct http_client *client, struct http_ask *ask, struct http_call *call)
{
    unsigned before = answers_done;
    assert_int_equal(http_client_call(client, ask, call, answer_came), 0);
    while (answers_done == before) {
        loop_turn(loop, 100);
    }
    assert_false(http_call_is_active(call));
}

static void the_client_asks_the_server_also_by_unix_socket(void **state)
{
    struct http_client *client;
    struct http_call first = {0};
    char path[] = "/tmp/weir-http-test-XXXXXX";
    assert_int_equal(http_client_new(loop, &client), 0);
    assert_non_null(mkdtemp(path));
    char socket_path[64];
    snprintf(socket_path, sizeof(socket_path), "%s/s", path);
    assert_int_equal(http_server_listen_unix(server, socket_path, 0600, NULL), 0);

    struct http_ask ask = {.method = "PUT",
                           .url = "http://weir/put",
                           .unix_socket = socket_path,
                           .body = STR("12345"),
                           .headers = {"If-Match: 1"}};
    call(client, &ask, &first);
    assert_int_equal(last_answer.status, 200);
    assert_string_equal(last_body, "PUT /put 5");
    ask.answer_max = 3;
    call(client, &ask, &first);
    assert_int_equal(last_answer.error, -EMSGSIZE);

    ask = (struct http_ask){
        .method = "GET", .url = "http://weir/later", .unix_socket = socket_path, .timeout_ms = 20};
    call(client, &ask, &first);
    assert_int_equal(last_answer.error, -ETIMEDOUT);
    assert_true(strlen(last_answer.text) > 0);

    ask = (struct http_ask){.method = "GET", .url = "http://127.0.0.1:1/"};
    call(client, &ask, &first);
    assert_int_equal(last_answer.error, -ECONNREFUSED);

    ask =
        (struct http_ask){.method = "GET", .url = "http://weir/later", .unix_socket = socket_path};
    assert_int_equal(http_client_call(client, &ask, &first, answer_came), 0);
    unsigned before = answers_done;
    loop_turn(loop, 10);
    http_call_cancel(&first);
    for (int i = 0; i < 5; i++) {
        loop_turn(loop, 1);
    }
    assert_int_equal(answers_done, before);
    http_client_free(client);
    unlink(socket_path);
    rmdir(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_answered_in_order_on_one_connection),
        TEST(many_pipelined_requests_all_get_their_answer),
        TEST(what_cannot_be_read_is_refused_with_words_and_a_close),
        TEST(an_early_refusal_reaches_a_client_that_goes_on_sending),
        TEST(a_continue_is_sent_when_it_is_waited_for),
        TEST(a_late_answer_comes_and_a_client_that_leaves_is_noticed),
        TEST(a_stream_flows_and_one_that_is_not_read_is_given_up),
        TEST(past_the_limit_the_longest_silent_connection_gives_way),
        TEST(the_client_asks_the_server_also_by_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
