// SPDX-License-Identifier: Apache-2.0
#include "proxy/view.h"

static bool target_is_healthy(const void *context, uint32_t index)
{
    const struct compiled_group *group = context;
    return target_state_is_healthy(group->targets[index].state);
}

static void update_balancer(struct view_group *group, uint32_t epoch)
{
    group->epoch_seen = epoch;
    balancer_update(group->balancer, target_is_healthy, group->compiled);
}

static int view_group_init(struct view *view, uint32_t index)
{
    const struct compiled_group *compiled = &view->compiled->groups[index];
    struct view_group *group = &view->groups[index];
    struct worker *worker = view->worker;
    uint32_t count = compiled->target_count;
    cleanup(free_ptr) struct balancer_member *members = calloc(count + 1, sizeof(*members));
    group->compiled = compiled;
    group->pools = calloc(count + 1, sizeof(struct backend_pool *));
    if (group->pools == NULL || members == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        members[i] = compiled->targets[i].member;
        group->pools[i] = backend_pool_get(worker, compiled->targets[i].state);
        if (group->pools[i] == NULL) {
            return -ENOMEM;
        }
    }
    // Workers begin at different targets, and after a change anywhere: a listed-first target would
    // else get the first request of each worker and after each change.
    uint32_t start = count == 0             ? 0
                     : worker->view == NULL ? worker->index * count / worker->worker_count
                                            : (uint32_t)random_below(&worker->random, count);
    if (balancer_new(compiled->algorithm, members, count, start, &group->balancer) < 0) {
        return -ENOMEM;
    }
    update_balancer(group, atomic_load_explicit(worker->verdict_epoch, memory_order_acquire));
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < group->pools[i]->outstanding; j++) {
            balancer_count(group->balancer, i);
        }
    }
    return 0;
}

int view_new(struct worker *worker, struct compiled *compiled, struct view **ret_view)
{
    struct view *view =
        calloc(1, sizeof(*view) + compiled->group_count * sizeof(struct view_group));
    if (view == NULL) {
        return -ENOMEM;
    }
    view->refs = 1;
    view->worker = worker;
    view->compiled = compiled;
    for (; view->group_count < compiled->group_count;) {
        view->group_count++;
        if (view_group_init(view, view->group_count - 1) < 0) {
            compiled_ref(compiled); // the caller keeps its own
            view_unref(view);
            return -ENOMEM;
        }
    }
    *ret_view = view;
    return 0;
}

void view_make_current(struct view *view, struct view *before)
{
    for (uint32_t i = 0; i < view->group_count; i++) {
        struct view_group *group = &view->groups[i];
        for (uint32_t j = 0; j < group->compiled->target_count; j++) {
            group->pools[j]->current = group;
            group->pools[j]->current_index = j;
        }
    }
    for (uint32_t i = 0; before != NULL && i < before->group_count; i++) {
        struct view_group *group = &before->groups[i];
        for (uint32_t j = 0; j < group->compiled->target_count; j++) {
            if (group->pools[j]->current == group) {
                group->pools[j]->current = NULL;
                backend_pool_close_idle(group->pools[j]);
            }
        }
    }
}

struct view *view_unref(struct view *view)
{
    if (view == NULL || --view->refs > 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < view->group_count; i++) {
        struct view_group *group = &view->groups[i];
        for (uint32_t j = 0; group->pools != NULL && j < group->compiled->target_count; j++) {
            if (group->pools[j] != NULL) {
                if (group->pools[j]->current == group) {
                    group->pools[j]->current = NULL;
                    backend_pool_close_idle(group->pools[j]);
                }
                backend_pool_unref(group->pools[j]);
            }
        }
        free(group->pools);
        balancer_free(group->balancer);
    }
    compiled_unref(view->compiled);
    free(view);
    return NULL;
}

int64_t view_choose(struct view *view, uint32_t group_index, const uint32_t *tried,
                    uint32_t tried_count)
{
    struct view_group *group = &view->groups[group_index];
    uint32_t epoch = atomic_load_explicit(view->worker->verdict_epoch, memory_order_acquire);
    if (epoch != group->epoch_seen) {
        update_balancer(group, epoch);
    }
    int64_t chosen = balancer_choose(group->balancer, tried, tried_count);
    if (chosen < 0) {
        return -1;
    }
    if (balancer_fails_open(group->balancer)) {
        COUNT(view->worker, fail_open);
    }
    struct backend_pool *pool = group->pools[chosen];
    pool->outstanding++;
    // What an older view sends there is a load for the current one, too.
    if (pool->current != group && pool->current != NULL) {
        balancer_count(pool->current->balancer, pool->current_index);
    }
    return chosen;
}

void view_release(struct view *view, uint32_t group_index, uint32_t index)
{
    struct view_group *group = &view->groups[group_index];
    struct backend_pool *pool = group->pools[index];
    pool->outstanding--;
    balancer_release(group->balancer, index);
    if (pool->current != group && pool->current != NULL) {
        balancer_release(pool->current->balancer, pool->current_index);
    }
}
