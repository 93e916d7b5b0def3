// SPDX-License-Identifier: Apache-2.0
#include "event/dgram.h"

#include "base/test.h"

static struct loop *loop;
static struct dgram server, client;
static struct addr seen_peer, seen_local;
static char answer[64];
static size_t answered;
static bool server_closes;

static void on_question(struct dgram *dgram, struct str bytes, const struct addr *peer,
                        const struct addr *local)
{
    seen_local = *local;
    seen_peer = *peer;
    assert_int_equal(dgram_send(dgram, bytes, peer, local), 0);
    if (server_closes) {
        dgram_close(dgram);
    }
}

static void on_answer(struct dgram *dgram, struct str bytes, const struct addr *peer,
                      const struct addr *local)
{
    memcpy(answer, bytes.at, bytes.len);
    answered = bytes.len + 1;
    seen_peer = *peer;
}

static void ask(const char *any, const char *through, struct str question)
{
    struct addr at, server_at;
    assert_int_equal(addr_parse_ip(str_of(any), &at), 0);
    if (dgram_open(&server, loop, &at, true, on_question) < 0) {
        skip(); // a machine without IPv6
    }
    assert_int_equal(dgram_local(&server, &server_at), 0);
    assert_int_equal(addr_parse_ip(str_of(through), &at), 0);
    at.port = server_at.port;
    struct addr client_at = at;
    client_at.port = 0;
    assert_int_equal(dgram_open(&client, loop, &client_at, false, on_answer), 0);
    answered = 0;
    assert_int_equal(dgram_send(&client, question, &at, NULL), 0);
    while (answered == 0) {
        assert_int_equal(loop_turn(loop, 1000), 0);
    }
    assert_int_equal(answered - 1, question.len);
    assert_true(addr_equal(&seen_local, &at));
    assert_true(addr_equal(&seen_peer, &at));
    dgram_close(&client);
    dgram_close(&server);
}

static int set_up(void **state)
{
    server_closes = false;
    return loop_new(NULL, &loop);
}

static int tear_down(void **state)
{
    loop = loop_free(loop);
    return 0;
}

static void answers_leave_from_the_address_asked(void **state)
{
    ask("0.0.0.0", "127.0.0.2", STR("ping"));
}

static void answers_leave_from_the_address_asked_v6(void **state)
{
    ask("::", "::1", STR("ping"));
}

static void empty_datagrams_arrive(void **state)
{
    ask("127.0.0.1", "127.0.0.1", STR(""));
}

static void closing_inside_the_callback_is_safe(void **state)
{
    server_closes = true;
    ask("127.0.0.1", "127.0.0.1", STR("last"));
    assert_int_equal(loop_turn(loop, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers_leave_from_the_address_asked),
        TEST(answers_leave_from_the_address_asked_v6),
        TEST(empty_datagrams_arrive),
        TEST(closing_inside_the_callback_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
