// SPDX-License-Identifier: Apache-2.0
// A worker without its thread: the test turns its loop, is its client over a socket pair and its
// targets over loopback. What a user sees on the wire is tested in tests/wire; here is what only
// the inside shows: pools, verdict letters, snapshots under way, memory out.
#include "proxy/request.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"
#include "proxy/health_thread.h"

enum { TARGETS = 2 };

static struct worker worker;
static struct mailbox health_mailbox;
static struct loop *health_loop;
static atomic_uint epoch;
static struct target_registry registry;
static struct worker_listener listener;
static int listening[TARGETS];
static uint16_t ports[TARGETS];
static int client; // the test's end

static void close_listening(int i)
{
    if (listening[i] >= 0) {
        close(listening[i]);
        listening[i] = -1;
    }
}

static void open_target(int i)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    listening[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listening[i], (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listening[i], 16), 0);
    getsockname(listening[i], (struct sockaddr *)&at, &len);
    ports[i] = ntohs(at.sin_port);
}

// A view of a snapshot with the first `count` targets.
static void take_snapshot(int count)
{
    char targets[256] = "", text[1024];
    for (int i = 0; i < count; i++) {
        char one[96];
        snprintf(one, sizeof(one), "%s{\"address\":\"127.0.0.1\",\"port\":%u}", i > 0 ? "," : "",
                 ports[i]);
        strcat(targets, one);
    }
    snprintf(text, sizeof(text),
             "{\"version\":1,\"unit_id\":1,\"address\":\"127.0.0.1\",\"status_port\":2,"
             "\"listeners\":[{\"id\":1,\"protocol\":\"http\",\"port\":1,\"target_group_id\":4}],"
             "\"target_groups\":[{\"id\":4,\"protocol\":\"http\",\"targets\":[%s]}]}",
             targets);
    struct compiled *compiled;
    struct error error = {0};
    if (compiled_new(str_of(text), &registry, &compiled, &error) < 0) {
        fail_msg("%s at %s", error.text, error.field);
    }
    struct view *view = NULL, *before = worker.view;
    assert_int_equal(view_new(&worker, compiled, &view), 0);
    worker.view = view;
    view_make_current(view, before);
    listener.compiled = &compiled->listeners[0];
    view_unref(before);
    target_registry_sweep(&registry);
}

static int open_client(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    client_accept(&listener, fds[0], &(struct addr){.family = 4, .ip = {192, 0, 2, 7}});
    return fds[1];
}

static int set_up(void **state)
{
    memset(&registry, 0, sizeof(registry));
    registry.worker_count = 1;
    atomic_store(&epoch, 1);
    assert_int_equal(loop_new(NULL, &health_loop), 0);
    assert_int_equal(mailbox_open(&health_mailbox, health_loop), 0);
    memset(&worker, 0, sizeof(worker));
    assert_int_equal(worker_init(&worker, 0, 1, &health_mailbox, &epoch, 1), 0);
    memset(&listener, 0, sizeof(listener));
    listener.worker = &worker;
    listener.clients = 1; // so that nobody frees it
    list_init(&listener.link);
    for (int i = 0; i < TARGETS; i++) {
        open_target(i);
    }
    take_snapshot(TARGETS);
    client = open_client();
    return 0;
}

static int tear_down(void **state)
{
    close(client);
    worker_free(&worker);
    for (int i = 0; i < TARGETS; i++) {
        close_listening(i);
    }
    // Letters that were not read keep their targets.
    mailbox_close(&health_mailbox);
    loop_turn(health_loop, 0);
    loop_free(health_loop);
    target_registry_sweep(&registry);
    for (int i = 0; i < TARGET_REGISTRY_BUCKETS; i++) {
        assert_null(registry.buckets[i]);
    }
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 6; i++) {
        loop_turn(worker.loop, 1);
    }
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn();
}

static const char *get(int fd)
{
    static char bytes[65536];
    ssize_t len = recv(fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT);
    bytes[len > 0 ? len : 0] = '\0';
    return bytes;
}

// The connection that one of the targets gets, and what came on it.
static int accept_target(int i)
{
    int fd = accept4(listening[i], NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    turn();
    return fd;
}

static const char *const request = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
static const char *const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void assert_answered(int fd, const char *status)
{
    const char *bytes = get(fd);
    assert_int_equal(strncmp(bytes, "HTTP/1.1 ", 9), 0);
    assert_int_equal(strncmp(bytes + 9, status, 3), 0);
}

static uint64_t counted(enum proxy_counter counter)
{
    return counter_read(&worker.counters, counter);
}

static void test_an_answered_connection_serves_the_next_request(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    assert_non_null(strstr(get(target), "X-Forwarded-For: 192.0.2.7\r\n"));
    put(target, answer);
    assert_answered(client, "200");
    put(client, request);
    assert_int_equal(strncmp(get(target), "GET /a", 6), 0);
    put(target, answer);
    assert_answered(client, "200");
    assert_int_equal(counted(COUNTER_connects), 1);
    assert_int_equal(counted(COUNTER_reuses), 1);
    assert_int_equal(worker.request_pool.taken, 0); // nothing is held between requests
    assert_int_equal(worker.head_pool.taken, 0);
    assert_int_equal(worker.room_pool.taken, 0);
    close(target);
    turn();
    assert_int_equal(worker.backend_pool.taken, 0); // its end was seen
}

static void test_bytes_past_the_answer_are_never_the_next_answer(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
    assert_answered(client, "200");
    put(client, request);
    int second = accept_target(0); // on a new connection
    put(second, answer);
    assert_answered(client, "200");
    close(target);
    close(second);
}

static void test_connect_failure_tries_the_next_and_is_told(void **state)
{
    close_listening(0);
    put(client, request);
    int target = accept_target(1);
    put(target, answer);
    assert_answered(client, "200");
    assert_int_equal(counted(COUNTER_retries_connect), 1);
    struct target_state *failed = worker.view->groups[0].compiled->targets[0].state;
    assert_int_equal(atomic_load(&failed->connect_failures), 1);
    assert_int_equal(atomic_load(&failed->connect_reason), HEALTH_CONNECT_REFUSED);
    assert_true(atomic_load(&failed->letter_sent));
    close(target);
}

static void test_all_targets_refuse_is_502_and_the_client_goes_on(void **state)
{
    close_listening(0);
    close_listening(1);
    put(client, request);
    assert_answered(client, "502");
    put(client, request);
    assert_answered(client, "502");
    for (uint32_t i = 0; i < TARGETS; i++) {
        assert_int_equal(worker.view->groups[0].pools[i]->outstanding, 0);
    }
}

static void test_idle_connection_closed_under_a_request_is_replaced(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    put(target, answer);
    assert_answered(client, "200");
    // The request is written before the worker can see the target's FIN.
    assert_int_equal(send(client, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    loop_turn(worker.loop, 1);
    close(target);
    turn();
    int second = accept_target(0);
    put(second, answer);
    assert_answered(client, "200");
    assert_int_equal(counted(COUNTER_retries_race), 1);
    close(second);
}

static void test_post_is_not_sent_twice(void **state)
{
    const char *post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    put(target, answer);
    assert_answered(client, "200");
    assert_int_equal(send(client, post, strlen(post), MSG_NOSIGNAL), strlen(post));
    loop_turn(worker.loop, 1);
    close(target);
    turn();
    assert_answered(client, "502");
    assert_int_equal(counted(COUNTER_retries_race), 0);
}

static void test_request_under_way_outlives_its_target_and_snapshot(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    take_snapshot(0); // the target is removed
    put(target, answer);
    assert_answered(client, "200");
    turn();
    assert_int_equal(worker.backend_pool.taken, 0); // not kept
    put(client, request);
    assert_answered(client, "503");
    close(target);
}

static void test_removed_target_loses_its_idle_connections_others_keep_theirs(void **state)
{
    take_snapshot(2);
    int targets[2];
    for (int i = 0; i < 2; i++) {
        put(client, request);
        for (int j = 0; j < 2; j++) {
            int fd = accept4(listening[j], NULL, NULL, SOCK_NONBLOCK);
            if (fd >= 0) {
                targets[j] = fd;
                put(fd, answer);
            }
        }
        assert_answered(client, "200");
    }
    assert_int_equal(worker.backend_pool.taken, 2);
    take_snapshot(1);
    turn();
    assert_int_equal(worker.backend_pool.taken, 1);
    get(targets[0]);
    put(client, request);
    assert_int_equal(strncmp(get(targets[0]), "GET", 3), 0);
    close(targets[0]);
    close(targets[1]);
}

static void test_client_that_leaves_aborts_the_target(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    get(target);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    close(client);
    put(target, "x"); // the answer goes on; nobody is there
    char byte;
    assert_int_equal(recv(target, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(worker.client_pool.taken, 0);
    assert_int_equal(worker.request_pool.taken, 0);
    close(target);
    client = open_client();
}

// Both arrive in one turn, before the answer can be sent.
static void test_client_that_ends_with_its_bad_request_gets_its_answer(void **state)
{
    assert_int_equal(send(client, "BAD\r\n\r\n", 7, MSG_NOSIGNAL), 7);
    shutdown(client, SHUT_WR);
    turn();
    assert_answered(client, "400");
    assert_int_equal(worker.client_pool.taken, 0);
}

static void test_slow_client_holds_a_bounded_queue(void **state)
{
    static char block[65536];
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    for (int i = 0; i < 400; i++) {
        send(target, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
        loop_turn(worker.loop, 0);
    }
    struct client *held = CONTAINER_OF(worker.clients.next, struct client, link);
    assert_true(stream_is_paused(&held->request->backend->stream));
    uint32_t held_bytes = stream_queued(&held->stream);
    for (struct buf *buf = held->request->backend->input; buf != NULL; buf = buf->next) {
        held_bytes += buf_len(buf);
    }
    assert_in_range(held_bytes, SEND_QUEUE_HIGH, 2 * SEND_QUEUE_HIGH);
    close(target);
}

static void test_idle_client_owns_no_buffer(void **state)
{
    take_snapshot(1);
    put(client, request);
    int target = accept_target(0);
    put(target, answer);
    assert_answered(client, "200");
    struct client *idle = CONTAINER_OF(worker.clients.next, struct client, link);
    assert_null(idle->input);
    assert_null(idle->request);
    assert_true(sizeof(struct client) <= 512);
    close(target);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_answered_connection_serves_the_next_request),
        TEST(test_bytes_past_the_answer_are_never_the_next_answer),
        TEST(test_connect_failure_tries_the_next_and_is_told),
        TEST(test_all_targets_refuse_is_502_and_the_client_goes_on),
        TEST(test_idle_connection_closed_under_a_request_is_replaced),
        TEST(test_post_is_not_sent_twice),
        TEST(test_request_under_way_outlives_its_target_and_snapshot),
        TEST(test_removed_target_loses_its_idle_connections_others_keep_theirs),
        TEST(test_client_that_leaves_aborts_the_target),
        TEST(test_client_that_ends_with_its_bad_request_gets_its_answer),
        TEST(test_slow_client_holds_a_bounded_queue),
        TEST(test_idle_client_owns_no_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
