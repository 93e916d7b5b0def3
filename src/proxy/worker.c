// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/frontend.h"
#include "proxy/request.h"
#include "proxy/view.h"

struct str worker_date(struct worker *worker)
{
    uint64_t now_ms = loop_now_ms(worker->loop);
    if (now_ms >= worker->date_due_ms) {
        struct timespec now;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        // RFC 9110 §5.6.7. strftime would depend on a locale and might look for a time zone's file.
        int len = snprintf(worker->date, sizeof(worker->date),
                           "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                           &"SunMonTueWedThuFriSat"[3 * utc.tm_wday], utc.tm_mday,
                           &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * utc.tm_mon],
                           utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
        worker->date_len = len > 0 && len < (int)sizeof(worker->date) ? (uint32_t)len : 0;
        worker->date_due_ms = now_ms + 1000 - (uint64_t)now.tv_nsec / 1000000;
    }
    return (struct str){worker->date, worker->date_len};
}

// ---- Listeners --------------------------------------------------------------------------------

static void listener_accepted(struct acceptor *acceptor, int fd, const struct addr *peer)
{
    struct worker_listener *listener = CONTAINER_OF(acceptor, struct worker_listener, acceptor);
    if (listener->pauses_seen != acceptor->out_of_descriptors) {
        counter_add(&listener->worker->counters, COUNTER_acceptor_paused,
                    acceptor->out_of_descriptors - listener->pauses_seen);
        listener->pauses_seen = acceptor->out_of_descriptors;
    }
    client_accept(listener, fd, peer);
}

static struct worker_listener *find_listener(struct worker *worker, const struct addr *at)
{
    LIST_FOREACH (&worker->listeners, link) {
        struct worker_listener *listener = CONTAINER_OF(link, struct worker_listener, link);
        if (listener->open && addr_equal(&listener->at, at)) {
            return listener;
        }
    }
    return NULL;
}

static void free_listener(struct worker_listener *listener)
{
    if (!listener->open && listener->clients == 0) {
        list_remove(&listener->link);
        free(listener);
    }
}

// Clients that wait in its backlog are still accepted. It is freed with its last client.
static void close_listener(struct worker_listener *listener)
{
    if (listener->open) {
        acceptor_accept_backlog(&listener->acceptor);
        acceptor_close(&listener->acceptor);
        listener->open = false;
    }
}

static int open_listener(struct worker *worker, const struct addr *at, int fd)
{
    struct worker_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        return -ENOMEM;
    }
    int error = acceptor_adopt(&listener->acceptor, worker->loop, fd, listener_accepted);
    if (error < 0) {
        free(listener);
        return error;
    }
    listener->worker = worker;
    listener->at = *at;
    listener->open = true;
    list_append(&worker->listeners, &listener->link);
    return 0;
}

static void check_idle(struct worker *worker)
{
    if (worker->draining && atomic_load_explicit(&worker->connections, memory_order_relaxed) == 0 &&
        worker->idle != NULL) {
        worker->idle(worker);
    }
}

void worker_forget_client(struct worker *worker, struct worker_listener *listener)
{
    if (!listener->is_status) {
        atomic_fetch_sub_explicit(&worker->connections, 1, memory_order_relaxed);
    }
    listener->clients--;
    free_listener(listener);
    check_idle(worker);
}

// ---- Letters ----------------------------------------------------------------------------------

static void release_clients(struct worker *worker)
{
    LIST_FOREACH (&worker->clients, link) {
        struct client *client = CONTAINER_OF(link, struct client, link);
        const struct compiled_listener *compiled = client->listener->compiled;
        if (compiled == NULL || compiled->protocol != PROTOCOL_HTTP) {
            client_release_listener(client);
        }
    }
}

// Listeners by difference: one whose address stays keeps its socket, and with it its backlog.
static void take_listeners(struct worker *worker, const struct compiled *compiled, const int *fds)
{
    for (uint32_t i = 0; i < compiled->listener_count; i++) {
        if (fds[i] >= 0 && open_listener(worker, &compiled->listeners[i].at, fds[i]) < 0) {
            int fd = fds[i];
            close_fd(&fd); // the other workers listen there
        }
    }
    LIST_FOREACH (&worker->listeners, link) {
        CONTAINER_OF(link, struct worker_listener, link)->compiled = NULL;
    }
    for (uint32_t i = 0; i < compiled->listener_count; i++) {
        struct worker_listener *listener = find_listener(worker, &compiled->listeners[i].at);
        if (listener != NULL) {
            listener->compiled = &compiled->listeners[i];
            listener->is_status = compiled->listeners[i].is_status;
        }
    }
    LIST_FOREACH (&worker->listeners, link) {
        struct worker_listener *listener = CONTAINER_OF(link, struct worker_listener, link);
        if (listener->compiled == NULL && listener->open) {
            close_listener(listener);
            free_listener(listener);
        }
    }
    release_clients(worker);
}

static void take_snapshot(struct letter *letter)
{
    struct worker_snapshot *change = CONTAINER_OF(letter, struct worker_snapshot, letter);
    struct worker *worker = change->worker;
    struct view *view = NULL, *before = worker->view;
    change->result = worker->stopping ? -ESHUTDOWN : view_new(worker, change->compiled, &view);
    if (change->result < 0) {
        for (uint32_t i = 0; i < change->compiled->listener_count; i++) {
            close_fd(&change->fds[i]);
        }
        compiled_unref(change->compiled);
        change->taken(change);
        return;
    }
    worker->view = view;
    view_make_current(view, before);
    take_listeners(worker, view->compiled, change->fds);
    view_unref(before);
    COUNT(worker, snapshots_taken);
    change->taken(change);
}

void worker_send_snapshot(struct worker *worker, struct worker_snapshot *change)
{
    change->worker = worker;
    change->letter.deliver = take_snapshot;
    mailbox_send(&worker->mailbox, &change->letter);
}

static void drain(struct letter *letter)
{
    struct worker *worker = CONTAINER_OF(letter, struct worker_drain, letter)->worker;
    worker->draining = true;
    LIST_FOREACH (&worker->listeners, link) {
        struct worker_listener *listener = CONTAINER_OF(link, struct worker_listener, link);
        if (!listener->is_status) { // that one tells on what goes on until the end
            close_listener(listener);
            free_listener(listener);
        }
    }
    LIST_FOREACH (&worker->clients, link) {
        struct client *client = CONTAINER_OF(link, struct client, link);
        if (!client->listener->is_status) {
            client_drain(client);
        }
    }
    check_idle(worker);
}

void worker_send_drain(struct worker *worker, struct worker_drain *letter)
{
    letter->worker = worker;
    letter->letter.deliver = drain;
    mailbox_send(&worker->mailbox, &letter->letter);
}

// ---- The thread -------------------------------------------------------------------------------

static uint32_t share_of_descriptors(unsigned worker_count)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY) {
        return UINT32_MAX;
    }
    rlim_t usable =
        files.rlim_cur > DESCRIPTORS_RESERVED ? files.rlim_cur - DESCRIPTORS_RESERVED : 0;
    return (uint32_t)MAX(usable / 2 / worker_count, (rlim_t)8);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    char name[16];
    snprintf(name, sizeof(name), "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    sem_post(&worker->started);
    int error = loop_run(worker->loop);
    if (error < 0) { // nothing can be served any more: whoever started the unit starts it anew
        log_error("worker %u: the event loop failed: %s", worker->index, strerror(-error));
        _exit(1);
    }
    return NULL;
}

int worker_init(struct worker *worker, unsigned index, unsigned worker_count,
                struct mailbox *health, const atomic_uint *verdict_epoch, uint64_t seed)
{
    *worker = (struct worker){
        .index = index,
        .worker_count = worker_count,
        .health = health,
        .verdict_epoch = verdict_epoch,
        .idle = worker->idle,
        .owner = worker->owner,
    };
    list_init(&worker->listeners);
    list_init(&worker->clients);
    pool_init(&worker->client_pool, sizeof(struct client));
    pool_init(&worker->request_pool, sizeof(struct request));
    pool_init(&worker->head_pool, sizeof(struct http1_head));
    pool_init(&worker->room_pool, HEAD_ROOM);
    pool_init(&worker->backend_pool, sizeof(struct backend));
    random_seed(&worker->random, seed);
    worker->connections_max = share_of_descriptors(worker_count);
    int error = loop_new(NULL, &worker->loop);
    if (error < 0) {
        return error;
    }
    error = mailbox_open(&worker->mailbox, worker->loop);
    if (error < 0) {
        worker->loop = loop_free(worker->loop);
    }
    return error;
}

int worker_start(struct worker *worker)
{
    sem_init(&worker->started, 0, 0);
    int error = -pthread_create(&worker->thread, NULL, worker_main, worker);
    if (error == 0) {
        sem_wait(&worker->started);
    }
    return error;
}

struct stop_letter {
    struct letter letter;
    struct worker *worker;
};

static void stop(struct letter *letter)
{
    loop_stop(CONTAINER_OF(letter, struct stop_letter, letter)->worker->loop);
}

void worker_stop(struct worker *worker)
{
    struct stop_letter letter = {.letter.deliver = stop, .worker = worker};
    mailbox_send(&worker->mailbox, &letter.letter);
    pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
    worker->idle = NULL;
    worker->stopping = true;
    LIST_FOREACH (&worker->listeners, link) {
        struct worker_listener *listener = CONTAINER_OF(link, struct worker_listener, link);
        if (listener->open) {
            acceptor_close(&listener->acceptor);
            listener->open = false;
        }
        free_listener(listener);
    }
    LIST_FOREACH (&worker->clients, link) {
        struct client *client = CONTAINER_OF(link, struct client, link);
        if (client->request != NULL) {
            request_client_gone(client->request);
        }
        client_abort(client);
    }
    worker->view = view_unref(worker->view);
    mailbox_close(&worker->mailbox);
    loop_turn(worker->loop, 0); // frees what was closed
    worker->loop = loop_free(worker->loop);
    pool_free(&worker->client_pool);
    pool_free(&worker->request_pool);
    pool_free(&worker->head_pool);
    pool_free(&worker->room_pool);
    pool_free(&worker->backend_pool);
}
