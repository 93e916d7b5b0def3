// SPDX-License-Identifier: Apache-2.0
// Changes of the snapshot:
//
//   compile ──▶ bind its new ports ──▶ a letter to each worker ──▶ all have answered: live
//      └────────────┴──▶ refused: nothing has changed
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/control_socket.h"
#include "proxy/proxy.h"

static bool is_bound(const struct compiled *compiled, const struct addr *at)
{
    for (uint32_t i = 0; compiled != NULL && i < compiled->listener_count; i++) {
        if (addr_equal(&compiled->listeners[i].at, at)) {
            return true;
        }
    }
    return false;
}

// With SO_REUSEPORT another program of the same user could share the port with us unnoticed; so the
// first attempt does without.
static int check_port_is_free(const struct addr *at)
{
    int fd;
    int error = acceptor_bind(at, NULL, &fd);
    if (error == 0) {
        close(fd);
    }
    return error;
}

static void free_changes(struct worker_snapshot **changes, unsigned count, uint32_t listeners)
{
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t j = 0; changes[i] != NULL && j < listeners; j++) {
            close_fd(&changes[i]->fds[j]);
        }
        free(changes[i]);
    }
}

static int bind_listener(struct proxy *proxy, const struct compiled *compiled, uint32_t index,
                         struct worker_snapshot **changes, struct error *error)
{
    const struct compiled_listener *listener = &compiled->listeners[index];
    if (is_bound(proxy->current, &listener->at)) {
        return 0;
    }
    const struct acceptor_options options = {.reuse_port = true};
    int r = check_port_is_free(&listener->at);
    for (unsigned i = 0; r == 0 && i < proxy->worker_count; i++) {
        r = acceptor_bind(&listener->at, &options, &changes[i]->fds[index]);
    }
    if (r == 0) {
        return 0;
    }
    char field[32] = "status_port", address[ADDR_TEXT_LEN];
    if (!listener->is_status) {
        snprintf(field, sizeof(field), "listeners[%u].port", index);
    }
    const char *reason = r == -EADDRINUSE      ? "port_in_use"
                         : r == -EADDRNOTAVAIL ? "address_not_here"
                         : r == -EACCES        ? "port_not_permitted"
                                               : "cannot_listen";
    return error_set_field(error, r, reason, field, "cannot listen on %s: %s",
                           addr_format(&listener->at, address), strerror(-r));
}

static void change_taken_here(struct letter *letter);

// On the worker's thread: the letter goes back.
static void change_taken(struct worker_snapshot *change)
{
    struct proxy *proxy = change->worker->owner;
    change->letter.deliver = change_taken_here;
    mailbox_send(&proxy->mailbox, &change->letter);
}

static int prepare_changes(struct proxy *proxy, struct compiled *compiled,
                           struct worker_snapshot **changes, struct error *error)
{
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        changes[i] = calloc(1, sizeof(*changes[i]) + compiled->listener_count * sizeof(int));
        if (changes[i] == NULL) {
            return error_set(error, -ENOMEM, "out of memory");
        }
        list_init(&changes[i]->letter.link);
        changes[i]->taken = change_taken;
        for (uint32_t j = 0; j < compiled->listener_count; j++) {
            changes[i]->fds[j] = -1;
        }
    }
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < compiled->listener_count; i++) {
        r = bind_listener(proxy, compiled, i, changes, error);
    }
    return r;
}

int proxy_apply(struct proxy *proxy, struct str text, struct error *error)
{
    if (proxy_is_applying(proxy)) {
        return error_set(error, -EBUSY, "another snapshot is being taken");
    }
    if (proxy->state == PROXY_DRAINING) {
        return error_set(error, -ESHUTDOWN, "the unit is draining");
    }
    struct compiled *compiled;
    int r = compiled_new(text, &proxy->registry, &compiled, error);
    if (r < 0) {
        target_registry_sweep(&proxy->registry);
        return r;
    }
    struct worker_snapshot *changes[WORKERS_MAX] = {NULL};
    struct health_snapshot *for_health = calloc(1, sizeof(*for_health));
    r = for_health == NULL ? error_set(error, -ENOMEM, "out of memory")
                           : prepare_changes(proxy, compiled, changes, error);
    if (r < 0) {
        free_changes(changes, proxy->worker_count, compiled->listener_count);
        free(for_health);
        compiled_unref(compiled);
        target_registry_sweep(&proxy->registry);
        return r;
    }
    proxy->next = compiled;
    proxy->worker_failed = false;
    proxy->answers_due = proxy->worker_count;
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        changes[i]->compiled = compiled_ref(compiled);
        worker_send_snapshot(&proxy->workers[i], changes[i]);
    }
    list_init(&for_health->letter.link);
    for_health->compiled = compiled_ref(compiled);
    health_thread_send_snapshot(&proxy->health, for_health);
    return 0;
}

static void change_taken_here(struct letter *letter)
{
    struct worker_snapshot *change = CONTAINER_OF(letter, struct worker_snapshot, letter);
    struct proxy *proxy = change->worker->owner;
    if (change->result < 0) {
        log_error("worker %u cannot take the snapshot: %s", change->worker->index,
                  strerror(-change->result));
        proxy->worker_failed = true;
    }
    free(change);
    if (--proxy->answers_due > 0) {
        return;
    }
    compiled_unref(proxy->current);
    proxy->current = proxy->next;
    proxy->next = NULL;
    if (proxy->state == PROXY_STARTING) {
        proxy->state = PROXY_SERVING;
    }
    target_registry_sweep(&proxy->registry);
    const struct snapshot *snapshot = proxy->current->snapshot;
    log_info("serving snapshot %llu of load balancer %s: %zu listeners, %zu target groups",
             (unsigned long long)snapshot->version, snapshot->load_balancer,
             snapshot->listener_count, snapshot->target_group_count);
    control_socket_applied(proxy->control, proxy->worker_failed ? -ENOMEM : 0);
    control_socket_notify(proxy->control);
}
