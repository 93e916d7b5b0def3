// SPDX-License-Identifier: Apache-2.0
#include "proxy/backend_pool.h"

#include "proxy/limits.h"
#include "proxy/request.h"
#include "proxy/view.h"

struct backend_pool *backend_pool_get(struct worker *worker, struct target_state *target)
{
    struct backend_pool *pool = target->pools[worker->index];
    if (pool == NULL) {
        pool = calloc(1, sizeof(*pool));
        if (pool == NULL) {
            return NULL;
        }
        pool->worker = worker;
        pool->target = target_state_ref(target);
        list_init(&pool->idle);
        target->pools[worker->index] = pool;
    }
    pool->refs++;
    return pool;
}

void backend_pool_unref(struct backend_pool *pool)
{
    if (--pool->refs == 0) {
        pool->target->pools[pool->worker->index] = NULL;
        target_state_unref(pool->target);
        free(pool);
    }
}

void backend_pool_close_idle(struct backend_pool *pool)
{
    while (!list_empty(&pool->idle)) {
        backend_close(CONTAINER_OF(pool->idle.next, struct backend, link), false);
    }
}

static struct backend *backend_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct backend, stream);
}

static void backend_connected(struct stream *stream)
{
    request_backend_connected(backend_of(stream)->request);
}

static void backend_received(struct stream *stream, struct buf *taken)
{
    struct backend *backend = backend_of(stream);
    if (backend->request == NULL) {
        // An answer that nobody asked for would be taken for the next request's.
        buf_release(taken);
        backend_close(backend, false);
        return;
    }
    request_backend_received(backend->request, taken);
}

static void backend_ended(struct stream *stream)
{
    struct backend *backend = backend_of(stream);
    backend->ended = true;
    if (backend->request == NULL) {
        backend_close(backend, false);
    } else {
        request_backend_ended(backend->request);
    }
}

static void backend_sent(struct stream *stream)
{
    struct backend *backend = backend_of(stream);
    if (backend->request != NULL) {
        request_backend_sent(backend->request);
    }
}

static void backend_failed(struct stream *stream, int error)
{
    struct backend *backend = backend_of(stream);
    if (backend->request == NULL) {
        backend_close(backend, false);
    } else {
        request_backend_failed(backend->request, error);
    }
}

static void backend_closed(struct stream *stream)
{
    struct backend *backend = backend_of(stream);
    struct backend_pool *pool = backend->pool;
    pool_return(&pool->worker->backend_pool, backend);
    backend_pool_unref(pool);
}

static const struct stream_ops backend_ops = {
    .connected = backend_connected,
    .received = backend_received,
    .ended = backend_ended,
    .sent = backend_sent,
    .failed = backend_failed,
    .closed = backend_closed,
};

static void backend_timer_fired(struct timer *timer)
{
    struct backend *backend = CONTAINER_OF(timer, struct backend, deadline.timer);
    if (!deadline_reached(backend->stream.loop, &backend->deadline)) {
        return;
    }
    if (backend->request == NULL) {
        backend_close(backend, false);
    } else {
        request_backend_late(backend->request, (enum deadline_kind)backend->deadline.kind);
    }
}

struct backend *backend_take_idle(struct backend_pool *pool, struct request *request)
{
    if (list_empty(&pool->idle)) {
        return NULL;
    }
    struct backend *backend = CONTAINER_OF(pool->idle.next, struct backend, link);
    list_remove(&backend->link);
    pool->idle_count--;
    backend->request = request;
    deadline_clear(&backend->deadline);
    return backend;
}

int backend_connect(struct backend_pool *pool, struct request *request,
                    struct backend **ret_backend)
{
    struct worker *worker = pool->worker;
    struct backend *backend = pool_take(&worker->backend_pool);
    if (backend == NULL) {
        return -ENOMEM;
    }
    *backend = (struct backend){.pool = pool, .request = request};
    list_init(&backend->link);
    timer_init(&backend->deadline.timer, backend_timer_fired);
    int error =
        stream_connect(&backend->stream, worker->loop, &pool->target->address, NULL, &backend_ops);
    if (error < 0) {
        pool_return(&worker->backend_pool, backend);
        return error;
    }
    pool->refs++;
    COUNT(worker, connects);
    *ret_backend = backend;
    return 0;
}

void backend_keep(struct backend *backend)
{
    struct backend_pool *pool = backend->pool;
    backend->request = NULL;
    if (pool->current == NULL || pool->idle_count >= BACKEND_IDLE_MAX ||
        pool->current->compiled->targets[pool->current_index].member.draining) {
        backend_close(backend, false);
        return;
    }
    stream_resume(&backend->stream); // its end, or what it says unasked, must be seen
    list_prepend(&pool->idle, &backend->link);
    pool->idle_count++;
    deadline_set(pool->worker->loop, &backend->deadline, DEADLINE_POOL_IDLE, BACKEND_IDLE_MS);
}

void backend_close(struct backend *backend, bool abort)
{
    if (!list_empty(&backend->link)) {
        list_remove(&backend->link);
        backend->pool->idle_count--;
    }
    backend->request = NULL;
    timer_cancel(&backend->deadline.timer);
    buf_list_release(&backend->input);
    if (abort) {
        stream_abort(&backend->stream);
    } else {
        stream_close(&backend->stream);
    }
}

// One letter per target is on its way at most; it carries all failures until it is opened. It is
// opened by the health thread: health_thread.c.
void backend_report_failure(struct backend_pool *pool, int error)
{
    struct target_state *target = pool->target;
    atomic_store_explicit(&target->connect_reason, health_result_of_connect(error).reason,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&target->connect_failures, 1, memory_order_release);
    if (!atomic_exchange_explicit(&target->letter_sent, true, memory_order_acq_rel)) {
        target_state_ref(target);
        mailbox_send(pool->worker->health, &target->letter);
    }
}
