// SPDX-License-Identifier: Apache-2.0
#include "event/mailbox.h"

#include "base/test.h"

enum { SENDERS = 4, LETTERS = 5000 };

struct note {
    struct letter letter;
    int sender, number;
};

static struct loop *loop;
static struct mailbox mailbox;
static int next_number[SENDERS];
static int delivered;

static void deliver(struct letter *letter)
{
    struct note *note = CONTAINER_OF(letter, struct note, letter);
    assert_int_equal(note->number, next_number[note->sender]);
    next_number[note->sender]++;
    delivered++;
    free(note);
}

static void *send_all(void *argument)
{
    int sender = (int)(intptr_t)argument;
    for (int number = 0; number < LETTERS; number++) {
        struct note *note = malloc(sizeof(*note));
        *note = (struct note){{.deliver = deliver}, sender, number};
        mailbox_send(&mailbox, &note->letter);
    }
    return NULL;
}

static void letters_of_many_threads_all_arrive_in_each_senders_order(void **state)
{
    pthread_t threads[SENDERS];
    assert_int_equal(loop_new(NULL, &loop), 0);
    assert_int_equal(mailbox_open(&mailbox, loop), 0);
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, (void *)(intptr_t)i), 0);
    }
    while (delivered < SENDERS * LETTERS) {
        assert_int_equal(loop_turn(loop, 1000), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    mailbox_close(&mailbox);
    loop_free(loop);
}

static void closing_delivers_what_is_left(void **state)
{
    delivered = 0;
    next_number[0] = 0;
    assert_int_equal(loop_new(NULL, &loop), 0);
    assert_int_equal(mailbox_open(&mailbox, loop), 0);
    send_all(0);
    mailbox_close(&mailbox);
    assert_int_equal(delivered, LETTERS);
    assert_int_equal(loop_turn(loop, 0), 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_many_threads_all_arrive_in_each_senders_order),
        cmocka_unit_test(closing_delivers_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
