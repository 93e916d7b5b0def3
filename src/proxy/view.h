// SPDX-License-Identifier: Apache-2.0
// A worker's view of a compiled snapshot: a balancer and the connections for each of its groups. A
// request holds the view it began with, so that it ends by the rules it began by; the connections
// behind it (backend_pool.h) are the worker's and outlive any view.
#pragma once

#include "proxy/backend_pool.h"
#include "proxy/worker.h"

struct view_group {
    const struct compiled_group *compiled;
    struct balancer *balancer;
    uint32_t epoch_seen; // of the verdicts the balancer knows
    struct backend_pool **pools;
};

struct view {
    uint32_t refs;
    struct worker *worker;
    struct compiled *compiled;
    uint32_t group_count;
    struct view_group groups[];
};

// Takes the reference to compiled when it succeeds. -ENOMEM.
int view_new(struct worker *worker, struct compiled *compiled, struct view **ret_view);
// From now on the view's targets are the worker's current ones; the idle connections of those that
// only the view before had are closed.
void view_make_current(struct view *view, struct view *before);
static inline struct view *view_ref(struct view *view)
{
    view->refs++;
    return view;
}
// Accepts NULL, returns NULL.
struct view *view_unref(struct view *view);

// Chooses a target of the group, which has one more outstanding until view_release. -1: none.
int64_t view_choose(struct view *view, uint32_t group, const uint32_t *tried, uint32_t tried_count);
void view_release(struct view *view, uint32_t group, uint32_t index);
