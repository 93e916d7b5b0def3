// SPDX-License-Identifier: Apache-2.0
// The server on loopback sockets: questions by UDP and TCP, the zone swapped under it.
#include "dns/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct dns_server *server;

// id 0x1092, RD, one question: a.weir.internal. A IN
static const char question[] = "\x10\x92\x01\0\0\1\0\0\0\0\0\0\1a\4weir\10internal\0\0\1\0\1";
enum { QUESTION_LEN = sizeof(question) - 1 };

static struct zone *zone_with(const char *name)
{
    struct addr address;
    struct zone *zone = NULL;
    addr_parse_ip(STR("10.90.0.16"), &address);
    struct zone_name names[] = {{str_of(name), &address, 1}};
    struct zone_source source = {STR("weir.internal"), 1, &address, 1, names, 1};
    assert_int_equal(zone_build(&source, &zone, NULL), 0);
    return zone;
}

static int set_up(void **state)
{
    struct loop_options options = {0};
    struct addr at;
    addr_parse_ip(STR("127.0.0.1"), &at);
    return loop_new(&options, &loop) < 0 ||
           dns_server_open(loop, &at, 1, zone_with("a"), &server, NULL) < 0;
}

static int tear_down(void **state)
{
    dns_server_close(server);
    for (int i = 0; i < 5; i++) {
        loop_turn(loop, 0);
    }
    loop = loop_free(loop);
    return 0;
}

static int open_socket(int type)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(dns_server_address(server, 0), &to);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

// Returns the bytes that came, at least `least`, or 0 on EOF.
static size_t receive(int fd, uint8_t *out, size_t size, size_t least)
{
    size_t have = 0;
    for (int turns = 0; turns < 5000 && have < least; turns++) {
        loop_turn(loop, 1);
        ssize_t len = recv(fd, out + have, size - have, MSG_DONTWAIT);
        if (len == 0) {
            return 0;
        }
        have += len > 0 ? (size_t)len : 0;
    }
    assert_true(have >= least);
    return have;
}

static unsigned rcode_by_udp(void)
{
    uint8_t out[512];
    int fd = open_socket(SOCK_DGRAM);
    assert_int_equal(send(fd, question, QUESTION_LEN, 0), QUESTION_LEN);
    receive(fd, out, sizeof(out), 12);
    assert_int_equal(out[0], 0x10);
    close(fd);
    return out[3] & 0x0f;
}

static void a_datagram_is_answered_from_the_newest_zone(void **state)
{
    assert_int_equal(rcode_by_udp(), 0);
    dns_server_set_zone(server, zone_with("b"));
    assert_int_equal(rcode_by_udp(), 3);
    assert_int_equal(dns_server_counters(server)->questions_udp, 2);
}

static void questions_on_a_stream_may_come_in_any_pieces(void **state)
{
    uint8_t frame[2 + QUESTION_LEN] = {0, QUESTION_LEN}, out[4096];
    memcpy(frame + 2, question, QUESTION_LEN);
    int fd = open_socket(SOCK_STREAM);
    for (size_t i = 0; i < sizeof(frame); i++) {
        assert_int_equal(send(fd, frame + i, 1, MSG_NOSIGNAL), 1);
        loop_turn(loop, 0);
    }
    size_t one = receive(fd, out, sizeof(out), 2 + QUESTION_LEN + 16);
    assert_int_equal(one, 2u + ((size_t)out[0] << 8 | out[1]));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    }
    receive(fd, out, sizeof(out), 20 * one);
    close(fd);
}

static void a_client_that_never_reads_is_not_kept_in_memory(void **state)
{
    static uint8_t frames[1000 * (2 + QUESTION_LEN)];
    for (size_t i = 0; i < 1000; i++) {
        uint8_t *frame = frames + i * (2 + QUESTION_LEN);
        frame[1] = QUESTION_LEN;
        memcpy(frame + 2, question, QUESTION_LEN);
    }
    int fd = open_socket(SOCK_STREAM);
    size_t at = 0;
    uint64_t before;
    int still = 0;
    // Goes on until the server stops taking questions because nobody takes the answers.
    do {
        before = dns_server_counters(server)->questions_tcp;
        ssize_t sent = send(fd, frames + at, sizeof(frames) - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at = sent > 0 ? (at + (size_t)sent) % sizeof(frames) : at;
        loop_turn(loop, 1);
        still = dns_server_counters(server)->questions_tcp == before ? still + 1 : 0;
    } while (still < 20);
    assert_true(dns_server_counters(server)->questions_tcp > 1000);
    assert_int_equal(rcode_by_udp(), 0); // others are served
    close(fd);
}

static void a_frame_too_long_or_empty_closes_its_stream(void **state)
{
    const char *bad[] = {"\x08\x01xx", "\0\0xx"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t out[16];
        int fd = open_socket(SOCK_STREAM);
        assert_int_equal(send(fd, bad[i], 2, MSG_NOSIGNAL), 2);
        assert_int_equal(receive(fd, out, sizeof(out), 1), 0);
        close(fd);
    }
}

static void one_stream_too_many_closes_the_longest_idle(void **state)
{
    int fds[DNS_STREAMS_MAX + 1];
    uint8_t out[16];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = open_socket(SOCK_STREAM);
        loop_turn(loop, 10);
    }
    assert_int_equal(receive(fds[0], out, sizeof(out), 1), 0);
    assert_int_equal(recv(fds[1], out, sizeof(out), MSG_DONTWAIT), -1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        close(fds[i]);
    }
}

static void an_address_in_use_is_said_so(void **state)
{
    struct dns_server *second = NULL;
    struct error error = {0};
    struct zone *zone = zone_with("a");
    assert_int_equal(dns_server_open(loop, dns_server_address(server, 0), 1, zone, &second, &error),
                     -EADDRINUSE);
    assert_non_null(strstr(error.text, "127.0.0.1:"));
    zone_free(zone);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_datagram_is_answered_from_the_newest_zone),
        TEST(questions_on_a_stream_may_come_in_any_pieces),
        TEST(a_client_that_never_reads_is_not_kept_in_memory),
        TEST(a_frame_too_long_or_empty_closes_its_stream),
        TEST(one_stream_too_many_closes_the_longest_idle),
        TEST(an_address_in_use_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
