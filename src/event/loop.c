// SPDX-License-Identifier: Apache-2.0
#include "event/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "event/engine.h"

atomic_bool engine_has_children;

int loop_new(const struct loop_options *options, struct loop **ret_loop)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return -ENOMEM;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        int error = -errno;
        free(loop);
        return error;
    }
    loop->clock = options != NULL && options->clock != NULL ? options->clock : &clock_system;
    loop->buffer_size = options != NULL && options->buffer_size > 0 ? options->buffer_size : 16384;
    loop->spare_max = options != NULL && options->buffers_spare > 0 ? options->buffers_spare : 64;
#ifdef __SANITIZE_ADDRESS__
    loop->spare_max = 0; // so that a use after the release is seen
#endif
    loop->now_ms = clock_now_ms(loop->clock);
    list_init(&loop->flush);
    list_init(&loop->ready);
    list_init(&loop->closing);
    list_init(&loop->tasks);
    list_init(&loop->registrations_closed);
    list_init(&loop->orphans);
    wheel_init(&loop->wheel, loop->now_ms);
    // A write to a pipe whose reader went away must be an error, not the end of the program.
    signal(SIGPIPE, SIG_IGN);
    *ret_loop = loop;
    return 0;
}

static void free_registrations(struct loop *loop)
{
    while (!list_empty(&loop->registrations_closed)) {
        struct list *link = loop->registrations_closed.next;
        list_remove(link);
        free(CONTAINER_OF(link, struct registration, link));
    }
}

// A `closed` callback may close other streams: they follow at once.
static void free_closed(struct loop *loop)
{
    while (!list_empty(&loop->closing)) {
        struct stream *stream = CONTAINER_OF(loop->closing.next, struct stream, flush_link);
        list_remove(&stream->flush_link);
        stream->ops->closed(stream);
    }
    if (!list_empty(&loop->registrations_closed)) {
        free_registrations(loop);
    }
}

struct loop *loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return NULL;
    }
    while (!list_empty(&loop->orphans)) {
        orphan_free(loop->orphans.next);
    }
    free_closed(loop);
    while (loop->spare != NULL) {
        struct buf *buf = loop->spare;
        loop->spare = buf->next;
        free(buf);
    }
    close(loop->epoll_fd);
    free(loop);
    return NULL;
}

static void watch_dispatch(struct registration *registration, uint32_t events)
{
    if (registration->watch == NULL) {
        return;
    }
    // An error or hang-up is told as what was asked for: the owner's next call gets the error.
    if (events & (EPOLLERR | EPOLLHUP)) {
        events |= EPOLLIN | EPOLLOUT;
    }
    events &= registration->interest;
    unsigned told = (events & EPOLLIN ? WATCH_READ : 0u) | (events & EPOLLOUT ? WATCH_WRITE : 0u);
    if (told != 0) {
        registration->watch->ready(registration->watch, told);
    }
}

static int wait_time_ms(struct loop *loop, int wait_ms)
{
    if (!list_empty(&loop->ready) || !list_empty(&loop->flush) || !list_empty(&loop->tasks) ||
        !list_empty(&loop->closing)) {
        return 0;
    }
    uint64_t next = wheel_next(&loop->wheel);
    if (next == UINT64_MAX) {
        return wait_ms;
    }
    uint64_t until = next > loop->now_ms ? next - loop->now_ms : 0;
    if (wait_ms >= 0 && (uint64_t)wait_ms < until) {
        return wait_ms;
    }
    return until > INT_MAX ? INT_MAX : (int)until;
}

int loop_turn(struct loop *loop, int wait_ms)
{
    // 1. wait
    int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_BATCH, wait_time_ms(loop, wait_ms));
    if (count < 0 && errno != EINTR) {
        return -errno;
    }
    loop->now_ms = clock_now_ms(loop->clock);

    // 2. deliver
    for (int i = 0; i < count; i++) {
        uintptr_t entry = (uintptr_t)loop->events[i].data.ptr;
        if (entry & 1) {
            watch_dispatch((struct registration *)(entry & ~(uintptr_t)1), loop->events[i].events);
        } else {
            stream_handle_events((struct stream *)entry, loop->events[i].events);
        }
    }
    struct list taken;
    list_init(&taken);
    if (!list_empty(&loop->ready)) {
        list_move_all(&loop->ready, &taken);
        while (!list_empty(&taken)) {
            struct stream *stream = CONTAINER_OF(taken.next, struct stream, ready_link);
            list_remove(&stream->ready_link);
            stream_handle_ready(stream);
        }
    }

    // 3. timers
    wheel_run(&loop->wheel, loop->now_ms);

    // 4. tasks; one deferred from here on runs in the next turn
    if (!list_empty(&loop->tasks)) {
        list_move_all(&loop->tasks, &taken);
        while (!list_empty(&taken)) {
            struct task *task = CONTAINER_OF(taken.next, struct task, link);
            list_remove(&task->link);
            task->run(task);
        }
    }

    // 5. flush; what a `sent` callback queues goes out in the next turn
    if (!list_empty(&loop->flush)) {
        list_move_all(&loop->flush, &taken);
        while (!list_empty(&taken)) {
            struct stream *stream = CONTAINER_OF(taken.next, struct stream, flush_link);
            list_remove(&stream->flush_link);
            stream_handle_flush(stream);
        }
    }

    // 6. free
    free_closed(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    int error = 0;
    while (!loop->stopping && error == 0) {
        error = loop_turn(loop, -1);
    }
    loop->stopping = false;
    return error;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void task_init(struct task *task, void (*run)(struct task *))
{
    list_init(&task->link);
    task->run = run;
}

void loop_defer(struct loop *loop, struct task *task)
{
    if (list_empty(&task->link)) {
        list_append(&loop->tasks, &task->link);
    }
}

void task_cancel(struct task *task)
{
    list_remove(&task->link);
}

static uint32_t interest_of(unsigned events)
{
    return (events & WATCH_READ ? (uint32_t)EPOLLIN : 0u) |
           (events & WATCH_WRITE ? (uint32_t)EPOLLOUT : 0u);
}

// Without interest there is no entry: epoll would go on reporting a hang-up that nobody wants.
static int registration_apply(struct registration *registration, struct loop *loop, int fd,
                              uint32_t interest)
{
    int operation = registration->interest == 0 ? EPOLL_CTL_ADD
                    : interest == 0             ? EPOLL_CTL_DEL
                                                : EPOLL_CTL_MOD;
    struct epoll_event event = {
        .events = interest,
        .data.ptr = (void *)((uintptr_t)registration | 1),
    };
    if (interest != registration->interest &&
        epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0) {
        return -errno;
    }
    registration->interest = interest;
    return 0;
}

int watch_open(struct watch *watch, struct loop *loop, int fd, unsigned events,
               void (*ready)(struct watch *, unsigned))
{
    struct registration *registration = calloc(1, sizeof(*registration));
    if (registration == NULL) {
        return -ENOMEM;
    }
    int error = registration_apply(registration, loop, fd, interest_of(events));
    if (error < 0) {
        free(registration);
        return error;
    }
    registration->watch = watch;
    watch->loop = loop;
    watch->fd = fd;
    watch->ready = ready;
    watch->engine = registration;
    return 0;
}

int watch_change(struct watch *watch, unsigned events)
{
    struct registration *registration = watch->engine;
    return registration == NULL
               ? -EBADF
               : registration_apply(registration, watch->loop, watch->fd, interest_of(events));
}

void watch_close(struct watch *watch)
{
    struct registration *registration = watch->engine;
    if (registration == NULL) {
        return;
    }
    registration_apply(registration, watch->loop, watch->fd, 0);
    registration->watch = NULL;
    list_append(&watch->loop->registrations_closed, &registration->link);
    watch->engine = NULL;
}
