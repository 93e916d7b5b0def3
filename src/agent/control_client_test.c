// SPDX-License-Identifier: Apache-2.0
// The agent's end of a control socket, against units that come late, go away, talk nonsense or put
// something else in their socket's place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/control_client.h"
#include "base/clock.h"

static const char STATE[] = "{\"status\":\"ok\",\"state\":\"serving\",\"version\":17,\"unit_id\":9,"
                            "\"connections\":3,\"requests\":5,\"targets\":[],\"counters\":{},"
                            "\"listeners\":[]}\n";

struct fixture {
    char directory[64], path[80];
    struct loop *loop;
    struct control_client *client;
    int listener, peer; // the unit's side
    unsigned told, lost;
    uint64_t version;
    bool close_when_told;
};

static void told(void *owner, struct unit_control_answer *answer, struct arena *arena)
{
    struct fixture *fixture = owner;
    fixture->told++;
    fixture->version = answer->version;
    if (fixture->close_when_told) {
        fixture->client = control_client_close(fixture->client);
    }
}

static void lost(void *owner)
{
    ((struct fixture *)owner)->lost++;
}

static const struct control_client_ops ops = {.told = told, .lost = lost};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->directory, "/tmp/weir-control-XXXXXX");
    if (mkdtemp(fixture->directory) == NULL || loop_new(NULL, &fixture->loop) < 0) {
        return -1;
    }
    snprintf(fixture->path, sizeof(fixture->path), "%s/control.sock", fixture->directory);
    fixture->listener = fixture->peer = -1;
    *state = fixture;
    return 0;
}

static void close_peer(struct fixture *fixture)
{
    if (fixture->peer >= 0) {
        close(fixture->peer);
        fixture->peer = -1;
    }
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fixture->client = control_client_close(fixture->client);
    loop_turn(fixture->loop, 0);
    loop_turn(fixture->loop, 0);
    loop_free(fixture->loop);
    close_peer(fixture);
    if (fixture->listener >= 0) {
        close(fixture->listener);
    }
    unlink(fixture->path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void client_open(struct fixture *fixture, uint32_t user)
{
    assert_int_equal(
        control_client_open(fixture->loop, fixture->path, user, &ops, fixture, &fixture->client),
        0);
}

static void unit_listen(struct fixture *fixture)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(at.sun_path, fixture->path);
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
}

// Turns the loop until the condition holds; the deadline is for a test that fails.
#define TURN_UNTIL(fixture, condition)                              \
    do {                                                            \
        uint64_t until_ns = monotonic_ns() + 5000000000u;           \
        bool met;                                                   \
        while (!(met = (condition)) && monotonic_ns() < until_ns) { \
            loop_turn((fixture)->loop, 5);                          \
        }                                                           \
        if (!met) {                                                 \
            fail_msg("never: %s", #condition);                      \
        }                                                           \
    } while (0)

static bool unit_accepts(struct fixture *fixture)
{
    fixture->peer = accept4(fixture->listener, NULL, NULL, SOCK_NONBLOCK);
    return fixture->peer >= 0;
}

static bool unit_hears(struct fixture *fixture, const char *words)
{
    char text[256];
    ssize_t length = read(fixture->peer, text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return strstr(text, words) != NULL;
}

static void unit_says(struct fixture *fixture, const char *text, size_t length)
{
    assert_int_equal(send(fixture->peer, text, length, MSG_NOSIGNAL), length);
}

static void connect_and_watch(struct fixture *fixture)
{
    TURN_UNTIL(fixture, unit_accepts(fixture));
    TURN_UNTIL(fixture, unit_hears(fixture, "\"watch\""));
}

static void test_it_connects_when_the_socket_comes_and_asks_to_be_told(void **state)
{
    struct fixture *fixture = *state;
    client_open(fixture, 0);
    for (int i = 0; i < 5; i++) {
        loop_turn(fixture->loop, 3);
    }
    assert_int_equal(control_client_beat(fixture->client), 0); // not there yet: owes nothing
    unit_listen(fixture);
    connect_and_watch(fixture);
    // In pieces, two answers in the last.
    unit_says(fixture, STATE, 20);
    loop_turn(fixture->loop, 0);
    assert_int_equal(fixture->told, 0);
    unit_says(fixture, STATE + 20, sizeof(STATE) - 1 - 20);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 2);
    assert_int_equal(fixture->version, 17);
}

static void test_it_comes_again_after_nonsense_or_an_end(void **state)
{
    struct fixture *fixture = *state;
    unit_listen(fixture);
    client_open(fixture, 0);
    connect_and_watch(fixture);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 1);
    unit_says(fixture, "nonsense\n", 9);
    TURN_UNTIL(fixture, fixture->lost == 1);
    close_peer(fixture);
    connect_and_watch(fixture);
    close_peer(fixture); // before it has told anything: nothing was there to be lost
    connect_and_watch(fixture);
    assert_int_equal(fixture->lost, 1);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 2);
    close_peer(fixture);
    TURN_UNTIL(fixture, fixture->lost == 2);
}

static void test_a_line_without_end_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    unit_listen(fixture);
    client_open(fixture, 0);
    connect_and_watch(fixture);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 1);
    static char spaces[65536];
    memset(spaces, ' ', sizeof(spaces));
    uint64_t sent = 0;
    while (fixture->lost == 0 && sent < 64u << 20) {
        ssize_t length = send(fixture->peer, spaces, sizeof(spaces), MSG_NOSIGNAL);
        sent += length > 0 ? (uint64_t)length : 0;
        loop_turn(fixture->loop, 0);
    }
    assert_int_equal(fixture->lost, 1);
    assert_true(sent < 32u << 20);
}

static void test_only_the_unit_s_own_socket_is_believed(void **state)
{
    struct fixture *fixture = *state;
    char other[96];
    // A link to a socket elsewhere.
    unit_listen(fixture);
    snprintf(other, sizeof(other), "%s/other.sock", fixture->directory);
    assert_int_equal(rename(fixture->path, other), 0);
    assert_int_equal(symlink(other, fixture->path), 0);
    client_open(fixture, 0);
    for (int i = 0; i < 10; i++) {
        loop_turn(fixture->loop, 3);
    }
    assert_false(unit_accepts(fixture));
    // A pipe: not waited for either.
    unlink(fixture->path);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    for (int i = 0; i < 10; i++) {
        loop_turn(fixture->loop, 3);
    }
    unlink(fixture->path);
    assert_int_equal(rename(other, fixture->path), 0);
    connect_and_watch(fixture);
    close_peer(fixture);
    // Of another user.
    fixture->client = control_client_close(fixture->client);
    client_open(fixture, geteuid() + 1);
    for (int i = 0; i < 10; i++) {
        loop_turn(fixture->loop, 3);
    }
    assert_false(unit_accepts(fixture));
}

static void test_what_it_owes_is_counted_and_a_new_connection_made(void **state)
{
    struct fixture *fixture = *state;
    unit_listen(fixture);
    client_open(fixture, 0);
    connect_and_watch(fixture);
    TURN_UNTIL(fixture, control_client_beat(fixture->client) >= 20);
    control_client_renew(fixture->client);
    close_peer(fixture);
    connect_and_watch(fixture);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 1);
    assert_int_equal(control_client_beat(fixture->client), 0); // asks anew
    TURN_UNTIL(fixture, unit_hears(fixture, "\"state\""));
}

static void test_it_may_be_closed_by_what_it_tells(void **state)
{
    struct fixture *fixture = *state;
    unit_listen(fixture);
    client_open(fixture, 0);
    connect_and_watch(fixture);
    fixture->close_when_told = true;
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    unit_says(fixture, STATE, sizeof(STATE) - 1);
    TURN_UNTIL(fixture, fixture->told == 1);
    for (int i = 0; i < 5; i++) {
        loop_turn(fixture->loop, 1);
    }
    assert_int_equal(fixture->told, 1);
    assert_int_equal(fixture->lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_connects_when_the_socket_comes_and_asks_to_be_told,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_comes_again_after_nonsense_or_an_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_line_without_end_is_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_the_unit_s_own_socket_is_believed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_it_owes_is_counted_and_a_new_connection_made,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_may_be_closed_by_what_it_tells, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
