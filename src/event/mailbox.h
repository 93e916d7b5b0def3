// SPDX-License-Identifier: Apache-2.0
// The only way across threads: a queue with many senders and one receiving loop.
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "event/loop.h"

struct letter {
    struct list link;
    void (*deliver)(struct letter *letter); // runs on the receiving loop's thread; owns the letter
};

struct mailbox {
    struct watch watch; // an eventfd
    pthread_mutex_t lock;
    struct list letters;
};

int mailbox_open(struct mailbox *mailbox, struct loop *loop);
// From any thread. Never fails: the letter's memory is the sender's to give.
void mailbox_send(struct mailbox *mailbox, struct letter *letter);
// On the receiving thread, after the last sender is gone. Undelivered letters are delivered first.
// Not from inside a delivery.
void mailbox_close(struct mailbox *mailbox);
