// SPDX-License-Identifier: Apache-2.0
#include "event/mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "event/engine.h"

static void deliver_all(struct mailbox *mailbox)
{
    struct list taken;
    list_init(&taken);
    pthread_mutex_lock(&mailbox->lock);
    list_move_all(&mailbox->letters, &taken);
    pthread_mutex_unlock(&mailbox->lock);
    while (!list_empty(&taken)) {
        struct letter *letter = CONTAINER_OF(taken.next, struct letter, link);
        list_remove(&letter->link);
        letter->deliver(letter);
    }
}

static void mailbox_ready(struct watch *watch, unsigned events)
{
    // Read before the letters are taken: one that comes after makes a new event.
    uint64_t count;
    ssize_t ignored = read(watch->fd, &count, sizeof(count));
    (void)ignored;
    deliver_all(CONTAINER_OF(watch, struct mailbox, watch));
}

int mailbox_open(struct mailbox *mailbox, struct loop *loop)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = watch_open(&mailbox->watch, loop, fd, WATCH_READ, mailbox_ready);
    if (error < 0) {
        close(fd);
        return error;
    }
    list_init(&mailbox->letters);
    pthread_mutex_init(&mailbox->lock, NULL);
    return 0;
}

void mailbox_send(struct mailbox *mailbox, struct letter *letter)
{
    pthread_mutex_lock(&mailbox->lock);
    bool first = list_empty(&mailbox->letters);
    list_append(&mailbox->letters, &letter->link);
    // Inside the lock, so that the mailbox cannot be closed between. Only the first letter of a
    // batch needs to wake the loop.
    if (first) {
        uint64_t one = 1;
        ssize_t ignored = write(mailbox->watch.fd, &one, sizeof(one));
        (void)ignored;
    }
    pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox->watch.engine == NULL) {
        return;
    }
    while (!list_empty(&mailbox->letters)) {
        deliver_all(mailbox);
    }
    watch_close(&mailbox->watch);
    close(mailbox->watch.fd);
    pthread_mutex_destroy(&mailbox->lock);
}
