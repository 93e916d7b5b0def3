// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include "balance/algorithm.h"
#include "base/err.h"

int balancer_new(const struct balancer_ops *ops, const struct balancer_member *members,
                 uint32_t count, uint32_t start, struct balancer **ret_balancer)
{
    size_t targets_size = sizeof(struct balancer_target) * count;
    struct balancer *balancer =
        calloc(1, sizeof(*balancer) + targets_size + sizeof(uint32_t) * count);
    if (balancer == NULL) {
        return -ENOMEM;
    }
    balancer->ops = ops;
    balancer->count = count;
    balancer->turn = count;
    balancer->heap = (uint32_t *)((char *)balancer->targets + targets_size);
    for (uint32_t i = 0; i < count; i++) {
        balancer->targets[i] = (struct balancer_target){
            .turn = (i + count - start % count) % count,
            .weight = members[i].weight,
            .place = OUTSIDE,
            .usable = members[i].weight > 0 && !members[i].draining,
        };
    }
    *ret_balancer = balancer;
    return 0;
}

struct balancer *balancer_free(struct balancer *balancer)
{
    free(balancer);
    return NULL;
}

// ---- The heap ---------------------------------------------------------------------------------

static bool is_before(const struct balancer *balancer, uint32_t a, uint32_t b)
{
    const struct balancer_target *x = &balancer->targets[a], *y = &balancer->targets[b];
    return x->key != y->key ? x->key < y->key : x->turn < y->turn;
}

static void put(struct balancer *balancer, uint32_t place, uint32_t index)
{
    balancer->heap[place] = index;
    balancer->targets[index].place = place;
}

static void sift_up(struct balancer *balancer, uint32_t place)
{
    uint32_t index = balancer->heap[place];
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (!is_before(balancer, index, balancer->heap[parent])) {
            break;
        }
        put(balancer, place, balancer->heap[parent]);
        place = parent;
    }
    put(balancer, place, index);
}

static void sift_down(struct balancer *balancer, uint32_t place)
{
    uint32_t index = balancer->heap[place];
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= balancer->candidates) {
            break;
        }
        if (child + 1 < balancer->candidates &&
            is_before(balancer, balancer->heap[child + 1], balancer->heap[child])) {
            child++;
        }
        if (!is_before(balancer, balancer->heap[child], index)) {
            break;
        }
        put(balancer, place, balancer->heap[child]);
        place = child;
    }
    put(balancer, place, index);
}

static void restore_order(struct balancer *balancer, uint32_t index)
{
    sift_up(balancer, balancer->targets[index].place);
    sift_down(balancer, balancer->targets[index].place);
}

static void insert(struct balancer *balancer, uint32_t index)
{
    put(balancer, balancer->candidates++, index);
    sift_up(balancer, balancer->candidates - 1);
}

static uint32_t remove_first(struct balancer *balancer)
{
    uint32_t first = balancer->heap[0];
    balancer->targets[first].place = OUTSIDE;
    if (--balancer->candidates > 0) {
        put(balancer, 0, balancer->heap[balancer->candidates]);
        sift_down(balancer, 0);
    }
    return first;
}

// ---- The verbs --------------------------------------------------------------------------------

void balancer_update(struct balancer *balancer,
                     bool (*is_healthy)(const void *context, uint32_t index), const void *context)
{
    bool any_healthy = false;
    for (uint32_t i = 0; i < balancer->count && !any_healthy; i++) {
        any_healthy = balancer->targets[i].usable && is_healthy(context, i);
    }
    balancer->fails_open = !any_healthy;
    balancer->candidates = 0;
    for (uint32_t i = 0; i < balancer->count; i++) {
        struct balancer_target *target = &balancer->targets[i];
        bool was_candidate = target->place != OUTSIDE;
        target->place = OUTSIDE;
        if (target->usable && (!any_healthy || is_healthy(context, i))) {
            if (!was_candidate) {
                balancer->ops->enter(balancer, target);
            }
            insert(balancer, i);
        }
    }
}

static bool is_tried(const uint32_t *tried, uint32_t tried_count, uint32_t index)
{
    for (uint32_t i = 0; i < tried_count; i++) {
        if (tried[i] == index) {
            return true;
        }
    }
    return false;
}

int64_t balancer_choose(struct balancer *balancer, const uint32_t *tried, uint32_t tried_count)
{
    uint32_t put_aside[BALANCER_TRIED_MAX], aside_count = 0;
    int64_t chosen = -1;
    while (balancer->candidates > 0) {
        uint32_t first = balancer->heap[0];
        if (aside_count < BALANCER_TRIED_MAX && is_tried(tried, tried_count, first)) {
            put_aside[aside_count++] = remove_first(balancer);
            continue;
        }
        struct balancer_target *target = &balancer->targets[first];
        target->turn = ++balancer->turn;
        target->outstanding++;
        balancer->ops->chosen(balancer, target);
        sift_down(balancer, 0);
        chosen = first;
        break;
    }
    while (aside_count > 0) {
        insert(balancer, put_aside[--aside_count]);
    }
    return chosen;
}

static void change_outstanding(struct balancer *balancer, uint32_t index, int by)
{
    struct balancer_target *target = &balancer->targets[index];
    target->outstanding += (uint32_t)by;
    if (balancer->ops->counted != NULL && target->place != OUTSIDE) {
        balancer->ops->counted(balancer, target);
        restore_order(balancer, index);
    }
}

void balancer_count(struct balancer *balancer, uint32_t index)
{
    change_outstanding(balancer, index, 1);
}

void balancer_release(struct balancer *balancer, uint32_t index)
{
    if (balancer->targets[index].outstanding > 0) {
        change_outstanding(balancer, index, -1);
    }
}

uint32_t balancer_outstanding(const struct balancer *balancer, uint32_t index)
{
    return balancer->targets[index].outstanding;
}

bool balancer_fails_open(const struct balancer *balancer)
{
    return balancer->fails_open;
}
