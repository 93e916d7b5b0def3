// SPDX-License-Identifier: Apache-2.0
// A doubly linked ring whose links live inside its members. A head is a link of its own; an
// unlinked link points to itself. Not safe across threads.
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *head)
{
    head->prev = head->next = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_prepend(struct list *head, struct list *link)
{
    list_append(head->next, link);
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

// Puts all members of from at the end of to; from is empty afterwards.
static inline void list_move_all(struct list *from, struct list *to)
{
    if (!list_empty(from)) {
        from->next->prev = to->prev;
        from->prev->next = to;
        to->prev->next = from->next;
        to->prev = from->prev;
        list_init(from);
    }
}

// The current member may be removed inside the loop; others must not be.
#define LIST_FOREACH(head, name)                                                      \
    for (struct list *name = (head)->next, *name##_next = name->next; name != (head); \
         name = name##_next, name##_next = name->next)
