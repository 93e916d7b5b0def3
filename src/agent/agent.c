// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/netns.h"

enum { REMOVE_ALL_MS = 60000 };

struct agent_network *agent_find_network(struct agent *agent, uint64_t project_id)
{
    LIST_FOREACH (&agent->networks, link) {
        struct agent_network *network = CONTAINER_OF(link, struct agent_network, link);
        if (network->actual.project_id == project_id) {
            return network;
        }
    }
    return NULL;
}

struct agent_network *agent_get_network(struct agent *agent, uint64_t project_id)
{
    struct agent_network *network = agent_find_network(agent, project_id);
    if (network == NULL && (network = calloc(1, sizeof(*network))) != NULL) {
        network->actual.project_id = project_id;
        list_append(&agent->networks, &network->link);
    }
    return network;
}

struct agent_unit *agent_find_unit(struct agent *agent, uint64_t unit_id)
{
    LIST_FOREACH (&agent->units, link) {
        struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        if (unit->actual.id == unit_id) {
            return unit;
        }
    }
    return NULL;
}

struct agent_unit *agent_get_unit(struct agent *agent, uint64_t unit_id)
{
    struct agent_unit *unit = agent_find_unit(agent, unit_id);
    if (unit == NULL && (unit = calloc(1, sizeof(*unit))) != NULL) {
        unit->agent = agent;
        unit->actual.id = unit_id;
        arena_init(&unit->told_arena, 4096);
        list_append(&agent->units, &unit->link);
    }
    return unit;
}

const struct desired_unit *agent_find_desired(const struct agent *agent, uint64_t unit_id)
{
    const struct desired *desired = agent->document != NULL ? agent->document->desired : NULL;
    for (size_t i = 0; desired != NULL && i < desired->unit_count; i++) {
        if (desired->units[i].id == unit_id) {
            return &desired->units[i];
        }
    }
    return NULL;
}

static struct agent_document *document_free(struct agent_document *document)
{
    if (document != NULL) {
        arena_reset(&document->arena);
        free(document);
    }
    return NULL;
}

// FNV-1a: tells whether a document is the one that is known already.
static uint64_t text_digest(struct str text)
{
    uint64_t digest = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.len; i++) {
        digest = (digest ^ (uint8_t)text.at[i]) * 0x100000001b3u;
    }
    return digest;
}

int agent_take_document(struct agent *agent, struct str text, bool keep, struct error *error)
{
    uint64_t digest = text_digest(text);
    if (agent->document != NULL && agent->document->digest == digest) {
        return 0;
    }
    struct agent_document *document = calloc(1, sizeof(*document));
    if (document == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    document->digest = digest;
    arena_init(&document->arena, 65536);
    int result = desired_parse(text, &document->arena, &document->desired, error);
    if (result == 0 && strcmp(document->desired->node, agent->config->node) != 0) {
        result = error_set(error, -EINVAL, "it is for node %.63s, this is %.63s",
                           document->desired->node, agent->config->node);
    }
    if (result < 0) {
        document_free(document);
        return result;
    }
    const struct agent_document *before = agent->document;
    if (before != NULL && before->desired->generation > document->desired->generation) {
        log_warning("the desired document goes back from generation %" PRIu64 " to %" PRIu64,
                    before->desired->generation, document->desired->generation);
    }
    log_info("desired: generation %" PRIu64 ", %zu networks, %zu units",
             document->desired->generation, document->desired->network_count,
             document->desired->unit_count);
    document_free(agent->document);
    agent->document = document;
    char *copy = keep ? str_copy(text) : NULL;
    if (copy != NULL) {
        desired_store_keep(agent->store, copy);
    }
    agent_plan_soon(agent);
    return 0;
}

void agent_plan_soon(struct agent *agent)
{
    loop_defer(agent->loop, &agent->plan_task);
}

// The records as the plan wants them.
static int actual_collect(struct agent *agent, struct arena *arena, struct actual *ret_actual)
{
    size_t networks = 0, units = 0;
    LIST_FOREACH (&agent->networks, link) {
        networks++;
    }
    LIST_FOREACH (&agent->units, link) {
        units++;
    }
    struct actual actual = {
        .networked = agent->networked,
        .front = agent->front,
        .outside = agent->outside,
        .networks = arena_array(arena, struct actual_network, networks + 1),
        .units = arena_array(arena, struct actual_unit, units + 1),
        .routes = agent->routes,
        .route_count = agent->route_count,
    };
    if (actual.networks == NULL || actual.units == NULL) {
        return -ENOMEM;
    }
    LIST_FOREACH (&agent->networks, link) {
        actual.networks[actual.network_count++] =
            CONTAINER_OF(link, struct agent_network, link)->actual;
    }
    LIST_FOREACH (&agent->units, link) {
        actual.units[actual.unit_count++] = CONTAINER_OF(link, struct agent_unit, link)->actual;
    }
    *ret_actual = actual;
    return 0;
}

static bool is_desired_network(const struct agent *agent, uint64_t project_id)
{
    const struct desired *desired = agent->document != NULL ? agent->document->desired : NULL;
    for (size_t i = 0; desired != NULL && i < desired->network_count; i++) {
        if (desired->networks[i].project_id == project_id) {
            return true;
        }
    }
    return false;
}

// Records of what is neither wanted nor there any more.
static void forget_gone(struct agent *agent)
{
    LIST_FOREACH (&agent->units, link) {
        struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        if (!unit->actual.busy && unit->actual.process == UNIT_PROCESS_NONE &&
            (unit->actual.network == PRESENCE_NONE || !agent->networked) &&
            agent_find_desired(agent, unit->actual.id) == NULL) {
            unit_forget(unit);
        }
    }
    LIST_FOREACH (&agent->networks, link) {
        struct agent_network *network = CONTAINER_OF(link, struct agent_network, link);
        if (!network->actual.busy && network->actual.presence == PRESENCE_NONE &&
            !is_desired_network(agent, network->actual.project_id)) {
            list_remove(&network->link);
            free(network);
        }
    }
}

static void take_refusals(struct agent *agent, const struct plan *plan)
{
    bool same = plan->refusal_count == agent->refusal_count;
    for (size_t i = 0; same && i < plan->refusal_count; i++) {
        same = plan->refusals[i].project_id == agent->refusals[i].project_id &&
               strcmp(plan->refusals[i].text, agent->refusals[i].text) == 0;
    }
    if (same) {
        return;
    }
    struct refusal *refusals = calloc(plan->refusal_count + 1, sizeof(*refusals));
    if (refusals == NULL) {
        return;
    }
    for (size_t i = 0; i < plan->refusal_count; i++) {
        refusals[i] = plan->refusals[i];
        log_error("network refused: %s", refusals[i].text);
    }
    free(agent->refusals);
    agent->refusals = refusals;
    agent->refusal_count = plan->refusal_count;
    agent_report_soon(agent);
}

// Everything is as the document says: that is worth telling.
static void take_settled(struct agent *agent, bool settled)
{
    uint64_t generation = agent->document != NULL ? agent->document->desired->generation : 0;
    agent->settled = settled && agent->jobs == 0;
    if (settled && agent->applied_generation != generation) {
        agent->applied_generation = generation;
        agent_report_soon(agent);
    }
    if (agent->settled && agent->config->remove_all) {
        loop_stop(agent->loop);
    }
}

static void agent_plan(struct agent *agent)
{
    // Without a document nothing is known of what should be: what runs is left alone.
    if (agent->ending || (agent->document == NULL && !agent->config->remove_all)) {
        return;
    }
    struct arena arena;
    arena_init(&arena, 65536);
    struct actual actual;
    struct plan plan;
    bool outside = agent->document != NULL && agent->networked && outside_update(agent);
    const struct desired *desired = agent->document != NULL ? agent->document->desired : NULL;
    int result = actual_collect(agent, &arena, &actual);
    if (result == 0) {
        result = plan_make(desired, outside, &actual, loop_now_ms(agent->loop), &arena, &plan);
    }
    if (result < 0) {
        log_error("cannot plan: out of memory; trying again in 1 s");
        timer_set(agent->loop, &agent->plan_timer, BEAT_MS);
    } else {
        for (size_t i = 0; i < plan.action_count; i++) {
            agent_apply(agent, &plan.actions[i]);
        }
        take_refusals(agent, &plan);
        take_settled(agent, plan.settled);
        forget_gone(agent);
        if (plan.wake_at_ms != 0) {
            uint64_t now_ms = loop_now_ms(agent->loop);
            timer_set(agent->loop, &agent->plan_timer,
                      plan.wake_at_ms > now_ms ? plan.wake_at_ms - now_ms : 1);
        }
    }
    arena_reset(&arena);
}

static void plan_task_run(struct task *task)
{
    agent_plan(CONTAINER_OF(task, struct agent, plan_task));
}

static void plan_timer_fired(struct timer *timer)
{
    agent_plan(CONTAINER_OF(timer, struct agent, plan_timer));
}

static void report_task_run(struct task *task)
{
    struct agent *agent = CONTAINER_OF(task, struct agent, report_task);
    uint64_t now_ms = loop_now_ms(agent->loop);
    if (agent->ending) {
        return;
    }
    if (now_ms < agent->reported_at_ms + REPORT_GAP_MS) {
        // A timer that is set already must not be put off by the next change.
        if (!timer_is_set(&agent->report_timer)) {
            timer_set(agent->loop, &agent->report_timer,
                      agent->reported_at_ms + REPORT_GAP_MS - now_ms);
        }
        return;
    }
    agent_report(agent);
}

static void report_timer_fired(struct timer *timer)
{
    agent_report(CONTAINER_OF(timer, struct agent, report_timer));
}

static void beat(struct timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, beat_timer);
    timer_set(agent->loop, timer, BEAT_MS);
    agent->beats++;
    LIST_FOREACH (&agent->units, link) {
        struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        unit_beat(unit);
        if (agent->beats % LOG_CUT_BEATS == 0) {
            unit_log_cut(agent->config->run_dir, unit->actual.id);
        }
    }
    if (agent->beats % LOOK_BEATS == 0 || agent->look_soon) {
        agent_look(agent);
    }
    desired_store_beat(agent->store);
    agent_report(agent);
    if (agent->config->remove_all && agent->beats >= REMOVE_ALL_MS / BEAT_MS) {
        loop_stop(agent->loop);
    }
}

static void signal_received(struct signal_watch *signals, int number)
{
    struct agent *agent = CONTAINER_OF(signals, struct agent, signals);
    log_info("ends on signal %d; its units go on", number);
    loop_stop(agent->loop);
}

// One agent for a node and instance; the lock goes with the process, however it ends.
static int lock_take(const struct agent_config *config, int *ret_fd, struct error *error)
{
    char path[UNIT_PATH_LEN];
    int result = directory_make(config->run_dir, 0755);
    static const struct {
        const char *name;
        mode_t mode;
    } directories[] = {{"units", 0755}, {"logs", 0700}};
    for (size_t i = 0; result == 0 && i < ARRAY_LEN(directories); i++) {
        snprintf(path, sizeof(path), "%.200s/%s", config->run_dir, directories[i].name);
        result = directory_make(path, directories[i].mode);
    }
    if (result < 0) {
        return error_set(error, result, "cannot create %s: %s", config->run_dir, strerror(-result));
    }
    snprintf(path, sizeof(path), "%.240s/lock", config->run_dir);
    cleanup(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return error_set(error, -errno, "cannot open %s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return error_set(error, -EBUSY, "another agent runs for this node and instance (%s)", path);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

// Takes over what exists.
static int agent_adopt_networks(struct agent *agent, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct sighting sighting = {0};
    int result = agent->networked
                     ? observe_networks(agent->config->instance, &arena, &sighting, error)
                     : observe_routes(NULL, &arena, &sighting, error);
    if (result == 0) {
        agent->front = sighting.front;
        agent_take_routes(agent, &sighting);
    }
    for (size_t i = 0; result == 0 && i < sighting.network_count; i++) {
        struct agent_network *network = agent_get_network(agent, sighting.networks[i].project_id);
        if (network != NULL) {
            network->actual = sighting.networks[i];
        }
    }
    for (size_t i = 0; result == 0 && i < sighting.unit_count; i++) {
        struct agent_unit *unit = agent_get_unit(agent, sighting.units[i].id);
        if (unit != NULL) {
            unit->actual = sighting.units[i];
        }
    }
    if (access(agent->outside_record, F_OK) == 0) {
        agent->outside.presence = PRESENCE_BROKEN;
    }
    arena_reset(&arena);
    return result;
}

// A directory whose unit is gone, or was never started, has a record too, so that it goes the way
// of all records.
static int agent_adopt_directories(struct agent *agent, struct error *error)
{
    cleanup(free_ptr) uint64_t *ids = NULL;
    size_t count = 0;
    int result = unit_directories_read(agent->config->run_dir, &ids, &count);
    for (size_t i = 0; result == 0 && i < count; i++) {
        result = agent_get_unit(agent, ids[i]) == NULL ? -ENOMEM : 0;
    }
    return result < 0 ? error_set(error, result, "cannot read %s/units: %s", agent->config->run_dir,
                                  strerror(-result))
                      : 0;
}

static int agent_adopt_units(struct agent *agent, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct runtime_found *found;
    size_t count = 0;
    int result = agent->runtime_ops->find(agent->runtime, &arena, &found, &count, error);
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct agent_unit *unit = agent_get_unit(agent, found[i].unit_id);
        if (unit == NULL) {
            result = error_set(error, -ENOMEM, "out of memory");
            break;
        }
        unit->starts = unit_starts_read(agent->config->run_dir, unit->actual.id);
        if (found[i].pid != 0) {
            log_info("unit %" PRIu64 ": runs already (pid %d), taken over", unit->actual.id,
                     (int)found[i].pid);
            unit_attach(unit, found[i].pid, found[i].start_time);
        } else {
            unit->actual.process = UNIT_PROCESS_LEFT;
        }
    }
    arena_reset(&arena);
    return result;
}

static int agent_open(struct agent *agent, struct error *error)
{
    const struct agent_config *config = agent->config;
    int result = 0;
    if (agent->networked && (result = netns_prepare(error)) < 0) {
        return result;
    }
    agent->runtime_ops = config->runtime == RUNTIME_OCI ? &runtime_oci : &runtime_process;
    agent->runtime_config = (struct runtime_config){agent->loop, config->instance, config->run_dir,
                                                    config->proxy, config->command};
    result = agent->runtime_ops->open(&agent->runtime_config, &agent->runtime, error);
    if (result < 0) {
        return result;
    }
    result = mailbox_open(&agent->mailbox, agent->loop);
    agent->mailbox_open = result == 0;
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    if (result < 0 ||
        (result = signal_watch_open(&agent->signals, agent->loop, numbers, ARRAY_LEN(numbers),
                                    signal_received)) < 0 ||
        (result = worker_open(&agent->make, "make", &agent->mailbox)) < 0 ||
        (result = worker_open(&agent->remove, "remove", &agent->mailbox)) < 0 ||
        (result = worker_open(&agent->disk, "disk", &agent->mailbox)) < 0) {
        return error_set(error, result, "cannot start: %s", strerror(-result));
    }
    // Before the look at what exists, so that nothing is missed in between.
    if (agent->networked && agent_monitor_open(agent) < 0) {
        log_warning("cannot watch the machine's links; looking every %d s", LOOK_BEATS);
    }
    if ((result = agent_adopt_networks(agent, error)) < 0 ||
        (result = agent_adopt_units(agent, error)) < 0 ||
        (result = agent_adopt_directories(agent, error)) < 0) {
        return result;
    }
    if (config->remove_all) {
        agent_plan_soon(agent);
        return desired_store_open(agent, &agent->store, error);
    }
    result = desired_store_open(agent, &agent->store, error);
    if (result == 0 && config->controller != NULL) {
        result = controller_link_open(agent, &agent->link, error);
    }
    return result;
}

static void agent_close(struct agent *agent)
{
    agent->ending = true;
    agent->link = controller_link_close(agent->link);
    timer_cancel(&agent->beat_timer);
    timer_cancel(&agent->report_timer);
    if (agent->runtime != NULL) {
        agent->runtime_ops->abandon(agent->runtime);
    }
    worker_close(&agent->make);
    worker_close(&agent->remove);
    worker_close(&agent->disk);
    if (agent->mailbox_open) {
        mailbox_close(&agent->mailbox); // delivers what the workers finished
    }
    worker_close(&agent->disk);
    agent->store = desired_store_close(agent->store);
    LIST_FOREACH (&agent->units, link) {
        unit_leave(CONTAINER_OF(link, struct agent_unit, link));
    }
    LIST_FOREACH (&agent->networks, link) {
        free(CONTAINER_OF(link, struct agent_network, link));
    }
    if (agent->runtime != NULL) {
        agent->runtime_ops->close(agent->runtime);
    }
    signal_watch_close(&agent->signals);
    agent_monitor_close(agent);
    timer_cancel(&agent->plan_timer);
    task_cancel(&agent->plan_task);
    task_cancel(&agent->report_task);
    document_free(agent->document);
    free(agent->routes);
    free(agent->closed);
    free(agent->refusals);
    loop_turn(agent->loop, 0); // lets closed streams go
    loop_free(agent->loop);
}

// After everything else is gone: files, and what all units shared.
static int remove_rest(struct agent *agent, struct error *error)
{
    const struct agent_config *config = agent->config;
    if (!agent->settled) {
        return error_set(error, -ETIMEDOUT, "not everything could be removed within %d s%s%s",
                         REMOVE_ALL_MS / 1000, agent->front_attempts.error[0] != '\0' ? ": " : "",
                         agent->front_attempts.error);
    }
    if (agent->runtime_ops->clean != NULL) {
        agent->runtime_ops->clean(agent->runtime);
    }
    int result = directory_remove(config->run_dir);
    if (result == 0) {
        result = directory_remove(config->state_dir);
    }
    return result < 0 ? error_set(error, result, "cannot remove %s and %s: %s", config->run_dir,
                                  config->state_dir, strerror(-result))
                      : 0;
}

// Two descriptors a unit; the ordinary limit of 1,024 is for programs that use select.
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int agent_run(const struct agent_config *config, struct error *error)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    cleanup(close_fd) int lock = -1;
    int result = agent == NULL ? error_set(error, -ENOMEM, "out of memory")
                               : lock_take(config, &lock, error);
    if (result == 0 && (result = loop_new(NULL, &agent->loop)) < 0) {
        error_set(error, result, "cannot create the event loop: %s", strerror(-result));
    }
    if (result < 0) {
        free(agent);
        return result;
    }
    raise_descriptor_limit();
    agent->config = config;
    agent->networked = config->runtime == RUNTIME_OCI;
    agent->monitor_fd = -1;
    agent->started_at_ms = clock_system.wall_ms(&clock_system);
    snprintf(agent->outside_record, sizeof(agent->outside_record), "%.200s/outside",
             config->run_dir);
    list_init(&agent->networks);
    list_init(&agent->units);
    task_init(&agent->plan_task, plan_task_run);
    task_init(&agent->report_task, report_task_run);
    timer_init(&agent->plan_timer, plan_timer_fired);
    timer_init(&agent->beat_timer, beat);
    timer_init(&agent->report_timer, report_timer_fired);
    result = agent_open(agent, error);
    if (result == 0) {
        log_info("node %s%s%s: ready, runtime %s", config->node,
                 config->instance[0] != '\0' ? ", instance " : "", config->instance,
                 agent->runtime_ops->name);
        timer_set(agent->loop, &agent->beat_timer, 1);
        result = loop_run(agent->loop);
        if (result < 0) {
            error_set(error, result, "the event loop failed: %s", strerror(-result));
        }
    }
    if (result == 0 && config->remove_all) {
        result = remove_rest(agent, error);
    }
    agent_close(agent);
    free(agent);
    return result;
}
