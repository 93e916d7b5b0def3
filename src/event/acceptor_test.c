// SPDX-License-Identifier: Apache-2.0
#include "event/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"

static struct loop *loop;
static struct acceptor *acceptor;
static struct addr at;
static int accepted_fds[8];
static size_t accepted_count;
static bool closes_itself;

static void on_accepted(struct acceptor *from, int fd, const struct addr *peer)
{
    assert_int_equal(peer->family, at.family);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    accepted_fds[accepted_count++] = fd;
    if (closes_itself) {
        acceptor_close(from);
        free(from);
        acceptor = NULL;
    }
}

static int set_up(void **state)
{
    accepted_count = 0;
    closes_itself = false;
    acceptor = calloc(1, sizeof(*acceptor));
    addr_parse_ip(STR("127.0.0.1"), &at);
    return loop_new(NULL, &loop);
}

static int tear_down(void **state)
{
    while (accepted_count > 0) {
        close(accepted_fds[--accepted_count]);
    }
    if (acceptor != NULL) {
        acceptor_close(acceptor);
        acceptor_close(acceptor);
        free(acceptor);
    }
    loop = loop_free(loop);
    return 0;
}

static int connect_one(void)
{
    struct sockaddr_storage sockaddr;
    socklen_t len = addr_to_sockaddr(&at, &sockaddr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, len), 0);
    return fd;
}

static void listen_here(void)
{
    assert_int_equal(acceptor_open(acceptor, loop, &at, NULL, on_accepted), 0);
    assert_int_equal(acceptor_local(acceptor, &at), 0);
}

static void out_of_descriptors_pauses_and_recovers(void **state)
{
    listen_here();
    int client = connect_one();
    // No descriptor above the client's is free.
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)client + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t began = monotonic_ns();
    assert_int_equal(loop_turn(loop, 1000), 0);
    unsigned turns = 0;
    while (monotonic_ns() - began < 150000000u) {
        assert_int_equal(loop_turn(loop, 50), 0);
        turns++;
    }
    assert_in_range(acceptor->out_of_descriptors, 1, 3);
    assert_in_range(turns, 1, 20); // it did not spin
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (accepted_count == 0) {
        assert_int_equal(loop_turn(loop, 1000), 0);
    }
    close(client);
}

static void closed_inside_its_callback_it_accepts_no_more(void **state)
{
    closes_itself = true;
    listen_here();
    int clients[] = {connect_one(), connect_one(), connect_one()};
    assert_int_equal(loop_turn(loop, 1000), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(accepted_count, 1);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        close(clients[i]);
    }
}

static void address_in_use_and_absent_ones_are_told(void **state)
{
    struct acceptor other = {0};
    listen_here();
    assert_int_equal(acceptor_open(&other, loop, &at, NULL, on_accepted), -EADDRINUSE);
    struct addr absent;
    assert_int_equal(addr_parse_ip(STR("192.0.2.7"), &absent), 0);
    assert_int_equal(acceptor_open(&other, loop, &absent, NULL, on_accepted), -EADDRNOTAVAIL);
    const struct acceptor_options options = {.free_bind = true};
    assert_int_equal(acceptor_open(&other, loop, &absent, &options, on_accepted), 0);
    acceptor_close(&other);
}

static void workers_share_a_port(void **state)
{
    struct acceptor other = {0};
    const struct acceptor_options options = {.reuse_port = true};
    assert_int_equal(acceptor_open(acceptor, loop, &at, &options, on_accepted), 0);
    assert_int_equal(acceptor_local(acceptor, &at), 0);
    assert_int_equal(acceptor_open(&other, loop, &at, &options, on_accepted), 0);
    acceptor_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(out_of_descriptors_pauses_and_recovers),
        TEST(closed_inside_its_callback_it_accepts_no_more),
        TEST(address_in_use_and_absent_ones_are_told),
        TEST(workers_share_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
