// SPDX-License-Identifier: Apache-2.0
// Against a name server of one socket on loopback that answers by a script.
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/resolver.h"

enum answer { ANSWER_TWO, ANSWER_NONE, ANSWER_FAILURE, ANSWER_SILENCE };

struct world {
    struct loop *loop;
    struct resolver *resolver;
    struct watch server;
    int fd;
    enum answer answer;
    unsigned asked;
    struct resolver_query query;
    int told, status;
    struct addr addresses[RESOLVED_ADDRESSES_MAX];
    size_t count;
};

static void server_ready(struct watch *watch, unsigned events)
{
    struct world *world = CONTAINER_OF(watch, struct world, server);
    uint8_t packet[576];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof(peer);
    ssize_t n = recvfrom(world->fd, packet, 512, 0, (struct sockaddr *)&peer, &peer_len);
    if (n < 12) {
        return;
    }
    world->asked++;
    if (world->answer == ANSWER_SILENCE) {
        return;
    }
    size_t len = 12;
    while (len < (size_t)n && packet[len] != 0) {
        len += packet[len] + 1u;
    }
    len += 5; // the root label, type, class
    packet[2] = 0x84;
    packet[3] = world->answer == ANSWER_FAILURE ? 2 : world->answer == ANSWER_NONE ? 3 : 0;
    memset(packet + 6, 0, 6);
    if (world->answer == ANSWER_TWO) {
        // One of them twice, and one that no target can have.
        static const uint8_t ips[][4] = {{10, 1, 0, 9}, {10, 1, 0, 3}, {10, 1, 0, 9}, {0, 0, 0, 0}};
        packet[7] = ARRAY_LEN(ips);
        for (size_t i = 0; i < ARRAY_LEN(ips); i++) {
            const uint8_t *ip = ips[i];
            const uint8_t record[] = {0xc0, 12, 0, 1, 0,     1,     0,     0,
                                      0,    5,  0, 4, ip[0], ip[1], ip[2], ip[3]};
            memcpy(packet + len, record, sizeof(record));
            len += sizeof(record);
        }
    }
    sendto(world->fd, packet, len, 0, (struct sockaddr *)&peer, peer_len);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char servers[32];
    assert_int_equal(loop_new(NULL, &world->loop), 0);
    assert_int_equal(resolver_new(world->loop, &world->resolver, NULL), 0);
    world->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(world->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(world->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(resolver_set_servers(world->resolver, servers), 0);
    assert_int_equal(watch_open(&world->server, world->loop, world->fd, WATCH_READ, server_ready),
                     0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    resolver_free(world->resolver);
    watch_close(&world->server);
    close(world->fd);
    loop_free(world->loop);
    free(world);
    return 0;
}

static void done(struct resolver_query *query, int status, const struct addr *addresses,
                 size_t count)
{
    struct world *world = query->owner;
    world->told++;
    world->status = status;
    world->count = count;
    if (count > 0) { // without one, addresses is NULL
        memcpy(world->addresses, addresses, count * sizeof(*addresses));
    }
}

static void ask(struct world *world, const char *host, uint64_t timeout_ms)
{
    world->query.owner = world;
    assert_int_equal(resolver_start(world->resolver, &world->query, host, timeout_ms, done), 0);
    assert_int_equal(world->told, 0);
}

static void wait_told(struct world *world)
{
    while (world->told == 0) {
        loop_turn(world->loop, 1000);
    }
}

static void test_addresses_come_sorted_and_once(void **state)
{
    struct world *world = *state;
    ask(world, "api.example.net", 3000);
    wait_told(world);
    char text[ADDR_TEXT_LEN];
    assert_int_equal(world->status, 0);
    assert_int_equal(world->count, 2);
    assert_string_equal(addr_format(&world->addresses[0], text), "10.1.0.3");
    assert_string_equal(addr_format(&world->addresses[1], text), "10.1.0.9");
}

static void test_no_such_name(void **state)
{
    struct world *world = *state;
    world->answer = ANSWER_NONE;
    ask(world, "nothing.example.net", 3000);
    wait_told(world);
    assert_int_equal(world->status, -ENOENT);
}

static void test_a_failing_server_is_told_apart(void **state)
{
    struct world *world = *state;
    world->answer = ANSWER_FAILURE;
    ask(world, "api.example.net", 3000);
    wait_told(world);
    assert_int_equal(world->status, -EIO);
}

static void test_silence_ends_at_the_deadline(void **state)
{
    struct world *world = *state;
    world->answer = ANSWER_SILENCE;
    ask(world, "api.example.net", 50);
    wait_told(world);
    assert_int_equal(world->status, -ETIMEDOUT);
}

static void test_a_cancelled_query_is_never_told(void **state)
{
    struct world *world = *state;
    ask(world, "api.example.net", 3000);
    resolver_cancel(&world->query);
    world->query.owner = NULL; // a late answer would crash
    while (world->asked == 0) {
        loop_turn(world->loop, 1000);
    }
    loop_turn(world->loop, 20);
    assert_int_equal(world->told, 0);
}

static void test_freeing_the_resolver_with_queries_running(void **state)
{
    struct world *world = *state;
    world->answer = ANSWER_SILENCE;
    ask(world, "api.example.net", 3000);
    world->resolver = resolver_free(world->resolver);
    loop_turn(world->loop, 0);
    assert_int_equal(world->told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses_come_sorted_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failing_server_is_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_ends_at_the_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cancelled_query_is_never_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freeing_the_resolver_with_queries_running, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
