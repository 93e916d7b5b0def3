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
