// SPDX-License-Identifier: Apache-2.0
// A checker against a target of the test's own, on a clock that moves when told to.
#include "health/checker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

static struct clock_fake clock_;
static struct loop *loop;
static struct random_state chance;
static struct checker checker;
static struct health_check check;
static struct health_result last;
static unsigned results;
static bool closed;
static int listening, target;

static void on_result(struct checker *from, struct health_result result)
{
    last = result;
    results++;
}

static void on_closed(struct checker *from)
{
    closed = true;
}

static const struct checker_ops ops = {on_result, on_closed};

static int set_up(void **state)
{
    clock_fake_init(&clock_, 1000000, 1000000);
    assert_int_equal(loop_new(&(struct loop_options){.clock = &clock_.clock}, &loop), 0);
    random_seed(&chance, 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listening, 16), 0);
    getsockname(listening, (struct sockaddr *)&at, &len);
    struct addr address;
    addr_from_sockaddr((struct sockaddr *)&at, &address);
    check = (struct health_check){
        .enabled = true,
        .path = "/up?x=1",
        .interval_s = 5,
        .timeout_s = 2,
        .codes = "200-299,418",
    };
    target = -1;
    results = 0;
    closed = false;
    checker_open(&checker, loop, &chance, &address, &check, 10, &ops);
    return 0;
}

static int tear_down(void **state)
{
    checker_close(&checker);
    loop_turn(loop, 0);
    assert_true(closed);
    loop_free(loop);
    close(listening);
    if (target >= 0) {
        close(target);
    }
    return 0;
}

static void turn(uint64_t ms)
{
    clock_fake_advance(&clock_, ms);
    for (int i = 0; i < 4; i++) {
        loop_turn(loop, 0);
    }
}

// The check that is under way now, at the target; what it asked.
static const char *accept_check(void)
{
    static char bytes[4096];
    if (target >= 0) {
        close(target);
    }
    target = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    assert_true(target >= 0);
    turn(0);
    ssize_t len = recv(target, bytes, sizeof(bytes) - 1, 0);
    bytes[len > 0 ? len : 0] = '\0';
    return bytes;
}

static void answer(const char *text)
{
    assert_int_equal(send(target, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(0);
}

static void assert_result(unsigned count, const char *reason)
{
    char text[HEALTH_REASON_TEXT_LEN];
    assert_int_equal(results, count);
    assert_string_equal(health_reason_format(last, text), reason);
}

static void test_asks_and_takes_the_status(void **state)
{
    turn(10);
    const char *asked = accept_check();
    assert_non_null(strstr(asked, "GET /up?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
    answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418 ");
    assert_int_equal(results, 0);
    answer("Teapot\r\nContent-Length: 1000\r\n\r\n"); // the body is not waited for
    assert_result(1, "");
    turn(5500);
    accept_check();
    answer("HTTP/1.0 301 Elsewhere\r\n\r\n");
    assert_result(2, "status_301");
}

static void test_checks_come_an_interval_apart(void **state)
{
    turn(10);
    accept_check();
    answer("HTTP/1.1 200 OK\r\n\r\n");
    turn(4400);
    assert_int_equal(accept4(listening, NULL, NULL, SOCK_NONBLOCK), -1);
    turn(1200);
    accept_check();
}

static void test_silence_is_a_response_timeout(void **state)
{
    turn(10);
    accept_check();
    turn(1999);
    assert_int_equal(results, 0);
    turn(2);
    assert_result(1, "response_timeout");
}

static void test_closing_and_garbage_are_bad(void **state)
{
    turn(10);
    accept_check();
    close(target);
    target = -1;
    turn(0);
    assert_result(1, "closed");
    turn(5500);
    accept_check();
    answer("220 mail.example ESMTP\r\n");
    assert_result(2, "bad_response");
}

static void test_refused_connection(void **state)
{
    close(listening);
    turn(10);
    turn(0);
    assert_result(1, "connect_refused");
    listening = socket(AF_INET, SOCK_STREAM, 0);
}

static void test_tcp_is_content_with_a_connection(void **state)
{
    struct health_check tcp = check;
    tcp.protocol = PROTOCOL_TCP;
    checker_change(&checker, &tcp); // at once
    turn(0);
    turn(0);
    assert_result(1, "");
    checker_change(&checker, &check);
}

static void test_a_check_asked_for_during_one_follows_it(void **state)
{
    turn(10);
    checker_check_soon(&checker);
    accept_check();
    answer("HTTP/1.1 200 OK\r\n\r\n");
    close(target); // the check is over with the whole answer
    target = -1;
    turn(0);
    accept_check();
    assert_int_equal(results, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_asks_and_takes_the_status),
        TEST(test_checks_come_an_interval_apart),
        TEST(test_silence_is_a_response_timeout),
        TEST(test_closing_and_garbage_are_bad),
        TEST(test_refused_connection),
        TEST(test_tcp_is_content_with_a_connection),
        TEST(test_a_check_asked_for_during_one_follows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
