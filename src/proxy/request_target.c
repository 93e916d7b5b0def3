// SPDX-License-Identifier: Apache-2.0
// The steps of a request that find a target and reach it.
#include "proxy/request.h"

enum request_state request_step_choose(struct request *request)
{
    struct worker *worker = request->worker;
    struct view_group *group = &request->view->groups[request->listener->group];
    int64_t chosen =
        view_choose(request->view, request->listener->group, request->tried, request->tried_count);
    if (chosen < 0) {
        if (request->own_status == 0) {
            COUNT(worker, no_target);
            return request_refuse(request, 503, "no_target");
        }
        return request_refuse(request, request->own_status, request->own_reason);
    }
    request->target = (uint32_t)chosen;
    request->chosen = true;
    struct backend_pool *pool = group->pools[chosen];
    if (!request->is_tcp && !request->fresh) {
        request->backend = backend_take_idle(pool, request);
        if (request->backend != NULL) {
            COUNT(worker, reuses);
            return REQUEST_SEND;
        }
    }
    if (backend_connect(pool, request, &request->backend) < 0) {
        // No descriptor or no memory: another target would not help.
        request->backend = NULL;
        return request_refuse(request, 503, "no_descriptor");
    }
    request->connected = false;
    deadline_set(worker->loop, &request->backend->deadline, DEADLINE_CONNECT,
                 request_timeouts(request)->connect_ms);
    return REQUEST_CONNECT;
}

enum request_state request_step_connect(struct request *request)
{
    if (!request->connected) {
        return REQUEST_PAUSE;
    }
    deadline_clear(&request->backend->deadline);
    return REQUEST_SEND;
}

enum request_state request_connect_failed(struct request *request, int error)
{
    struct worker *worker = request->worker;
    struct view_group *group = &request->view->groups[request->listener->group];
    COUNT(worker, connect_failures);
    backend_report_failure(group->pools[request->target], error);
    request->own_status = error == -ETIMEDOUT ? 504 : 502;
    request->own_reason = error == -ETIMEDOUT      ? "connect"
                          : error == -ECONNREFUSED ? "connect_refused"
                                                   : "connect_failed";
    request_leave_target(request, false);
    request->tried[request->tried_count++] = request->target;
    if (request->tried_count == ATTEMPTS_MAX) {
        return request_refuse(request, request->own_status, request->own_reason);
    }
    COUNT(worker, retries_connect);
    return REQUEST_CHOOSE;
}

enum request_state request_step_send(struct request *request)
{
    if (request->is_tcp) {
        return request_begin_tunnel(request);
    }
    struct backend *backend = request->backend;
    if (stream_send_copy(&backend->stream, request->room, request->room_len) < 0) {
        return request_refuse(request, 503, "no_memory");
    }
    if (request->body.ended) {
        deadline_set(request->worker->loop, &backend->deadline, DEADLINE_TARGET_RESPONSE,
                     request_timeouts(request)->target_response_ms);
    }
    return REQUEST_AWAIT;
}
