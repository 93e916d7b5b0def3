// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/json.h"
#include "event/acceptor.h"
#include "proxy/control_socket.h"
#include "proxy/sandbox.h"

// ---- Changes of the snapshot ------------------------------------------------------------------

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

// ---- The state, for others --------------------------------------------------------------------

static void describe_target(const struct compiled_group *group,
                            const struct compiled_target *target, struct arena *arena,
                            struct target_report *ret_report)
{
    struct health_result reason;
    char text[HEALTH_REASON_TEXT_LEN] = "";
    enum verdict verdict = verdict_unpack(atomic_load(&target->state->verdict), &reason);
    if (target->member.draining) {
        verdict = VERDICT_DRAINING;
    } else if (!group->used) {
        verdict = VERDICT_UNUSED;
    } else if (verdict == VERDICT_UNHEALTHY) {
        health_reason_format(reason, text);
    }
    struct str copy = arena_copy(arena, str_of(text));
    *ret_report = (struct target_report){
        .target_group_id = group->id,
        .address = target->state->address,
        .verdict = verdict,
        .reason = copy.at != NULL ? copy.at : "",
    };
}

static int describe_targets(const struct compiled *compiled, struct arena *arena,
                            struct unit_control_answer *answer)
{
    size_t count = 0;
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        count += compiled->groups[i].target_count;
    }
    answer->targets = arena_array(arena, struct target_report, count + 1);
    answer->listeners =
        arena_array(arena, struct listener_report, compiled->snapshot->listener_count + 1);
    if (answer->targets == NULL || answer->listeners == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < compiled->group_count; i++) {
        const struct compiled_group *group = &compiled->groups[i];
        for (uint32_t j = 0; j < group->target_count; j++) {
            describe_target(group, &group->targets[j], arena,
                            &answer->targets[answer->target_count++]);
        }
    }
    for (size_t i = 0; i < compiled->snapshot->listener_count; i++) {
        answer->listeners[answer->listener_count++] = (struct listener_report){
            .id = compiled->snapshot->listeners[i].id,
            .state = LISTENER_LISTENING,
            .error = "",
        };
    }
    return 0;
}

int proxy_describe(struct proxy *proxy, struct arena *arena, struct unit_control_answer *ret_answer)
{
    struct unit_control_answer answer = {
        .has_state = true, .state = proxy->state, .error = "", .field = ""};
    if (proxy->current != NULL) {
        answer.version = proxy->current->snapshot->version;
        answer.unit_id = proxy->current->snapshot->unit_id;
        if (describe_targets(proxy->current, arena, &answer) < 0) {
            return -ENOMEM;
        }
    }
    answer.counters = arena_array(arena, struct counter, PROXY_COUNTER_COUNT);
    if (answer.counters == NULL) {
        return -ENOMEM;
    }
    answer.counter_count = PROXY_COUNTER_COUNT;
    for (int i = 0; i < PROXY_COUNTER_COUNT; i++) {
        answer.counters[i].name = proxy_counter_names[i];
        for (unsigned j = 0; j < proxy->worker_count; j++) {
            answer.counters[i].value +=
                counter_read(&proxy->workers[j].counters, (enum proxy_counter)i);
        }
    }
    answer.requests = answer.counters[COUNTER_requests].value;
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        answer.connections += atomic_load(&proxy->workers[i].connections);
    }
    *ret_answer = answer;
    return 0;
}

// ---- The end ----------------------------------------------------------------------------------

static void idle_here(struct letter *letter)
{
    struct proxy *proxy = CONTAINER_OF(letter, struct proxy, idle_letter);
    atomic_store(&proxy->idle_letter_sent, false);
    unsigned connections = 0;
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        connections += atomic_load(&proxy->workers[i].connections);
    }
    if (connections == 0) {
        log_info("drained");
        loop_stop(proxy->loop);
    }
}

// On a worker's thread.
static void worker_idle(struct worker *worker)
{
    struct proxy *proxy = worker->owner;
    if (!atomic_exchange(&proxy->idle_letter_sent, true)) {
        mailbox_send(&proxy->mailbox, &proxy->idle_letter);
    }
}

static void drain_deadline(struct timer *timer)
{
    struct proxy *proxy = CONTAINER_OF(timer, struct proxy, drain_timer);
    log_warning("the time to drain is over; the connections that are left are closed");
    loop_stop(proxy->loop);
}

void proxy_drain(struct proxy *proxy, uint64_t deadline_ms)
{
    bool first = proxy->state != PROXY_DRAINING;
    proxy->state = PROXY_DRAINING;
    timer_set(proxy->loop, &proxy->drain_timer, deadline_ms);
    for (unsigned i = 0; first && i < proxy->worker_count; i++) {
        worker_send_drain(&proxy->workers[i], &proxy->drain_letters[i]);
    }
    if (first) {
        log_info("draining, at most %llu ms", (unsigned long long)deadline_ms);
        control_socket_notify(proxy->control);
    }
}

static void signal_received(struct signal_watch *signals, int number)
{
    struct proxy *proxy = signals->owner;
    if (proxy->state == PROXY_DRAINING || number == SIGINT) {
        loop_stop(proxy->loop);
    } else {
        proxy_drain(proxy, DRAIN_DEFAULT_MS);
    }
}

// ---- The start --------------------------------------------------------------------------------

static void verdicts_changed_here(struct letter *letter)
{
    struct proxy *proxy = CONTAINER_OF(letter, struct proxy, verdict_letter);
    atomic_store(&proxy->verdict_letter_sent, false);
    control_socket_notify(proxy->control);
}

// On the health thread.
static void verdicts_changed(struct health_thread *health)
{
    struct proxy *proxy = health->owner;
    if (!atomic_exchange(&proxy->verdict_letter_sent, true)) {
        mailbox_send(&proxy->mailbox, &proxy->verdict_letter);
    }
}

// The whole file, ended by NUL; NULL with *ret_error set when it cannot be read.
static char *read_file(const char *path, int *ret_error)
{
    cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    cleanup(free_ptr) char *text = NULL;
    size_t len = 0, size = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0;) {
        if (size - len < 2) {
            size = size == 0 ? 65536 : 2 * size;
            char *larger = size <= 4 * (size_t)JSON_DOCUMENT_BYTES_MAX ? realloc(text, size) : NULL;
            if (larger == NULL) {
                *ret_error = -ENOMEM;
                return NULL;
            }
            text = larger;
        }
        got = read(fd, text + len, size - len - 1);
        if (got < 0) {
            break;
        }
        len += (size_t)got;
        text[len] = '\0';
        if (got == 0) {
            return TAKE_PTR(text);
        }
    }
    *ret_error = -errno;
    return NULL;
}

// A unit that cannot begin with its file waits for its agent to send a snapshot.
static void begin_with_file(struct proxy *proxy, const char *path)
{
    int r = 0;
    struct error error = {0};
    cleanup(free_ptr) char *text = read_file(path, &r);
    if (text == NULL) {
        log_warning("cannot read %s: %s; waiting for a snapshot", path, strerror(-r));
    } else if (proxy_apply(proxy, str_of(text), &error) < 0) {
        log_error("snapshot in %s refused: %s%s%s; waiting for another", path, error.text,
                  error.field[0] != '\0' ? ", at " : "", error.field);
    }
}

static unsigned count_cpus(void)
{
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
}

static int start_threads(struct proxy *proxy, unsigned workers)
{
    uint64_t seed[2];
    if (getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
        return -EIO;
    }
    proxy->health.owner = proxy;
    proxy->health.changed = verdicts_changed;
    int r = health_thread_start(&proxy->health, seed[0]);
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < workers; i++) {
        proxy->workers[i].idle = worker_idle;
        proxy->workers[i].owner = proxy;
        struct worker *worker = &proxy->workers[i];
        r = worker_init(worker, i, workers, &proxy->health.mailbox, &proxy->health.verdict_epoch,
                        seed[1] + i);
        if (r < 0) {
            break;
        }
        r = worker_start(worker);
        if (r < 0) {
            worker_free(worker);
            break;
        }
        proxy->worker_count++;
    }
    if (r < 0) {
        for (unsigned i = 0; i < proxy->worker_count; i++) {
            worker_stop(&proxy->workers[i]);
            worker_free(&proxy->workers[i]);
        }
        health_thread_stop(&proxy->health);
    }
    return r;
}

// Workers first: they send letters to the health thread until they end, and both to this one.
static void stop_threads(struct proxy *proxy)
{
    for (unsigned i = 0; i < proxy->worker_count; i++) {
        worker_stop(&proxy->workers[i]);
        worker_free(&proxy->workers[i]);
    }
    health_thread_stop(&proxy->health);
    proxy->control = control_socket_close(proxy->control);
    mailbox_close(&proxy->mailbox);
    proxy->current = compiled_unref(proxy->current);
    target_registry_sweep(&proxy->registry);
}

static int serve(struct proxy *proxy, const struct proxy_options *options)
{
    int r = 0;
    if (options->control_path != NULL) {
        r = control_socket_open(proxy, options->control_path, &proxy->control);
        if (r < 0) {
            log_error("cannot open the control socket %s: %s", options->control_path, strerror(-r));
            return r;
        }
    }
    if (options->snapshot_path != NULL) {
        begin_with_file(proxy, options->snapshot_path);
    }
    if (options->sandbox) {
        r = sandbox_enter();
        if (r < 0) {
            log_error("cannot enter the sandbox: %s", strerror(-r));
            return r;
        }
    }
    if (proxy->control == NULL && !proxy_is_applying(proxy)) {
        log_error("there is nothing to serve and no control socket to wait at");
        return -ENOENT;
    }
    r = loop_run(proxy->loop);
    if (r < 0) {
        log_error("the event loop failed: %s", strerror(-r));
    }
    return r;
}

int proxy_run(const struct proxy_options *options)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    unsigned workers = MIN(options->workers > 0 ? options->workers : count_cpus(), WORKERS_MAX);
    sandbox_prepare(workers + 2);
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    cleanup(free_ptr) struct worker *worker_array = calloc(workers, sizeof(struct worker));
    cleanup(free_ptr) struct worker_drain *drain_letters =
        calloc(workers, sizeof(struct worker_drain));
    int r = proxy == NULL || worker_array == NULL || drain_letters == NULL ? -ENOMEM : 0;
    if (r == 0) {
        proxy->workers = worker_array;
        proxy->drain_letters = drain_letters;
        proxy->registry.worker_count = workers;
        proxy->verdict_letter.deliver = verdicts_changed_here;
        proxy->idle_letter.deliver = idle_here;
        list_init(&proxy->verdict_letter.link);
        list_init(&proxy->idle_letter.link);
        for (unsigned i = 0; i < workers; i++) {
            list_init(&drain_letters[i].letter.link);
        }
        timer_init(&proxy->drain_timer, drain_deadline);
        r = loop_new(NULL, &proxy->loop);
    }
    if (r == 0) {
        proxy->signals.owner = proxy;
        r = mailbox_open(&proxy->mailbox, proxy->loop);
    }
    if (r == 0) { // before the threads, which inherit the mask
        r = signal_watch_open(&proxy->signals, proxy->loop, numbers, ARRAY_LEN(numbers),
                              signal_received);
    }
    if (r == 0) {
        r = start_threads(proxy, workers);
    }
    if (r < 0) {
        log_error("cannot start: %s", strerror(-r));
        free(proxy);
        return 1;
    }
    r = serve(proxy, options);
    stop_threads(proxy);
    signal_watch_close(&proxy->signals);
    timer_cancel(&proxy->drain_timer);
    loop_turn(proxy->loop, 0);
    loop_free(proxy->loop);
    free(proxy);
    return r < 0 ? 1 : 0;
}
