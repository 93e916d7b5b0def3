// SPDX-License-Identifier: Apache-2.0
// Connections to targets, one pool for each target and worker. Idle ones are kept, the last used
// first, and closed when the target closes them, says something unasked, or nobody needed them for
// BACKEND_IDLE_MS; what a request uses reports to that request.
#pragma once

#include "event/stream.h"
#include "proxy/deadline.h"
#include "proxy/worker.h"

struct request;
struct view_group;

struct backend_pool {
    uint32_t refs; // of views and connections
    struct worker *worker;
    struct target_state *target;
    struct view_group *current; // where the worker's view has it; NULL: no more a target
    uint32_t current_index;
    uint32_t outstanding; // requests and tunnels
    uint32_t idle_count;
    struct list idle;
};

struct backend {
    struct stream stream;
    struct backend_pool *pool;
    struct request *request; // NULL: idle, or being closed
    struct buf *input;       // received and not yet taken
    struct deadline deadline;
    struct list link; // of the pool's idle ones
    uint32_t served;  // answers so far
    bool ended;       // the target will send no more
};

// Finds or makes the worker's pool of a target, with a reference. NULL: memory is out.
struct backend_pool *backend_pool_get(struct worker *worker, struct target_state *target);
void backend_pool_unref(struct backend_pool *pool);
void backend_pool_close_idle(struct backend_pool *pool);

// An idle connection, now the request's; NULL when there is none.
struct backend *backend_take_idle(struct backend_pool *pool, struct request *request);
// Begins a new one. Negative only for what fails here: -EMFILE, -ENOMEM.
int backend_connect(struct backend_pool *pool, struct request *request,
                    struct backend **ret_backend);
// A connection that waits for the next request from now on.
void backend_keep(struct backend *backend);
// Ends it; an answer under way is cut off (RST) when abort is set.
void backend_close(struct backend *backend, bool abort);
// Tells the health thread that the target could not be connected to.
void backend_report_failure(struct backend_pool *pool, int error);
