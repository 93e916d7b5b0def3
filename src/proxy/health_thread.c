// SPDX-License-Identifier: Apache-2.0
#include "proxy/health_thread.h"

#include <unistd.h>

#include "base/log.h"
#include "health/checker.h"

// First checks of one group begin so far apart, so that many targets are not all asked in one
// moment.
enum { FIRST_CHECK_SPACING_MS = 1 };

struct health_entry {
    struct checker checker;
    struct health_thread *health;
    struct target_state *target;
    const struct health_check *check; // of health->compiled
    struct verdict_state verdict;
    uint64_t round;
    struct list link;
    bool checking; // the checker is open
    bool closing;
    bool reopen; // the check was enabled again before its checker was closed
};

static void publish(struct health_entry *entry)
{
    struct health_thread *health = entry->health;
    uint32_t packed = verdict_pack(&entry->verdict);
    if (atomic_exchange_explicit(&entry->target->verdict, packed, memory_order_acq_rel) != packed) {
        atomic_fetch_add_explicit(&health->verdict_epoch, 1, memory_order_acq_rel);
        health->changed(health);
    }
}

static void judge(struct health_entry *entry, struct health_result result)
{
    enum verdict before = (enum verdict)entry->verdict.verdict;
    if (verdict_judge(&entry->verdict, entry->check, result)) {
        char address[ADDR_TEXT_LEN], reason[HEALTH_REASON_TEXT_LEN];
        log_info("target %s of group %llu: %s, was %s%s%s",
                 addr_format(&entry->target->address, address),
                 (unsigned long long)entry->target->group_id, verdict_names[entry->verdict.verdict],
                 verdict_names[before], result.reason != HEALTH_NONE ? ": " : "",
                 health_reason_format(result, reason));
    }
    publish(entry); // the reason may have changed
}

static struct health_entry *entry_of(struct checker *checker)
{
    return CONTAINER_OF(checker, struct health_entry, checker);
}

static void entry_result(struct checker *checker, struct health_result result)
{
    judge(entry_of(checker), result);
}

static void open_checker(struct health_entry *entry, uint64_t first_ms);

static void entry_closed(struct checker *checker)
{
    struct health_entry *entry = entry_of(checker);
    entry->checking = false;
    entry->closing = false;
    if (entry->target == NULL) {
        free(entry);
    } else if (entry->reopen) {
        entry->reopen = false;
        open_checker(entry, 0);
    }
}

static const struct checker_ops entry_ops = {.result = entry_result, .closed = entry_closed};

static void open_checker(struct health_entry *entry, uint64_t first_ms)
{
    struct health_thread *health = entry->health;
    entry->checking = true;
    checker_open(&entry->checker, health->loop, &health->random, &entry->target->address,
                 entry->check, first_ms, &entry_ops);
}

static void close_checker(struct health_entry *entry)
{
    if (entry->checking && !entry->closing) {
        entry->closing = true;
        checker_close(&entry->checker);
    }
}

static void remove_entry(struct health_entry *entry)
{
    struct target_state *target = entry->target;
    list_remove(&entry->link);
    target->entry = NULL;
    entry->target = NULL;
    entry->reopen = false;
    if (entry->checking) {
        if (!entry->closing) {
            close_checker(entry); // may free it
        }
    } else {
        free(entry);
    }
    target_state_unref(target);
}

static void follow_target(struct health_thread *health, const struct compiled_group *group,
                          struct target_state *target, uint32_t place)
{
    struct health_entry *entry = target->entry;
    bool enabled = group->health_check.enabled;
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        if (entry == NULL) {
            return; // stays initial, and gets requests when nobody is healthy
        }
        entry->health = health;
        entry->target = target_state_ref(target);
        list_append(&health->entries, &entry->link);
        target->entry = entry;
        publish(entry); // what was thought of it before it was removed is past
    }
    entry->round = health->round;
    entry->check = &group->health_check;
    if (!enabled) {
        close_checker(entry);
        entry->reopen = false;
        entry->verdict = (struct verdict_state){.verdict = VERDICT_HEALTHY};
        publish(entry);
    } else if (entry->checking && !entry->closing) {
        checker_change(&entry->checker, entry->check);
    } else if (entry->closing) {
        entry->reopen = true;
    } else {
        open_checker(entry, (uint64_t)place * FIRST_CHECK_SPACING_MS);
    }
}

static void follow_snapshot(struct letter *letter)
{
    struct health_snapshot *taken = CONTAINER_OF(letter, struct health_snapshot, letter);
    struct health_thread *health = taken->health;
    struct compiled *before = health->compiled;
    health->compiled = taken->compiled;
    health->round++;
    for (uint32_t i = 0; i < health->compiled->group_count; i++) {
        const struct compiled_group *group = &health->compiled->groups[i];
        for (uint32_t j = 0; group->used && j < group->target_count; j++) {
            follow_target(health, group, group->targets[j].state, j);
        }
    }
    LIST_FOREACH (&health->entries, link) {
        struct health_entry *entry = CONTAINER_OF(link, struct health_entry, link);
        if (entry->round != health->round) {
            remove_entry(entry);
        }
    }
    compiled_unref(before);
    free(taken);
}

void health_thread_send_snapshot(struct health_thread *health, struct health_snapshot *letter)
{
    letter->health = health;
    letter->letter.deliver = follow_snapshot;
    mailbox_send(&health->mailbox, &letter->letter);
}

void health_thread_deliver_failures(struct letter *letter)
{
    struct target_state *target = CONTAINER_OF(letter, struct target_state, letter);
    // From here on a new failure sends a new letter.
    atomic_store_explicit(&target->letter_sent, false, memory_order_release);
    unsigned count = atomic_exchange_explicit(&target->connect_failures, 0, memory_order_acq_rel);
    struct health_entry *entry = target->entry;
    if (count > 0 && entry != NULL && entry->check->enabled) {
        struct health_result result = {
            .reason = (uint8_t)atomic_load_explicit(&target->connect_reason, memory_order_relaxed),
        };
        // All that failed since the last look is one result: a burst of requests at one bad moment
        // should not weigh more than a check. But while requests go on failing each letter counts.
        judge(entry, result);
        if (entry->checking && !entry->closing && entry->verdict.verdict == VERDICT_HEALTHY) {
            checker_check_soon(&entry->checker);
        }
    }
    target_state_unref(target);
}

static void *health_main(void *argument)
{
    struct health_thread *health = argument;
    pthread_setname_np(pthread_self(), "health");
    sem_post(&health->started);
    int error = loop_run(health->loop);
    if (error < 0) {
        log_error("the event loop of the health checks failed: %s", strerror(-error));
        _exit(1);
    }
    return NULL;
}

int health_thread_start(struct health_thread *health, uint64_t seed)
{
    list_init(&health->entries);
    random_seed(&health->random, seed);
    atomic_init(&health->verdict_epoch, 1);
    int error = loop_new(&(struct loop_options){.buffer_size = 4096}, &health->loop);
    if (error < 0) {
        return error;
    }
    error = mailbox_open(&health->mailbox, health->loop);
    if (error == 0) {
        sem_init(&health->started, 0, 0);
        error = -pthread_create(&health->thread, NULL, health_main, health);
        if (error == 0) {
            sem_wait(&health->started);
        } else {
            mailbox_close(&health->mailbox);
        }
    }
    if (error < 0) {
        health->loop = loop_free(health->loop);
    }
    return error;
}

struct stop_letter {
    struct letter letter;
    struct health_thread *health;
};

static void stop(struct letter *letter)
{
    loop_stop(CONTAINER_OF(letter, struct stop_letter, letter)->health->loop);
}

void health_thread_stop(struct health_thread *health)
{
    struct stop_letter letter = {.letter.deliver = stop, .health = health};
    mailbox_send(&health->mailbox, &letter.letter);
    pthread_join(health->thread, NULL);
    while (!list_empty(&health->entries)) {
        remove_entry(CONTAINER_OF(health->entries.next, struct health_entry, link));
    }
    mailbox_close(&health->mailbox);
    loop_turn(health->loop, 0);
    health->loop = loop_free(health->loop);
    health->compiled = compiled_unref(health->compiled);
}
