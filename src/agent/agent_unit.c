// SPDX-License-Identifier: Apache-2.0
// The life of one unit's process: started, watched, restarted after a crash, stopped.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "agent/agent_state.h"
#include "base/clock.h"
#include "base/log.h"

void attempts_fail(struct agent *agent, struct attempts *attempts, uint64_t *retry_at_ms,
                   const char *what, uint64_t id, const struct error *error)
{
    attempts->failures++;
    uint64_t delay_ms = plan_retry_delay_ms(attempts->failures);
    *retry_at_ms = loop_now_ms(agent->loop) + delay_ms;
    // The same complaint is said once, and again when it changes.
    if (strcmp(attempts->error, error->text) != 0) {
        snprintf(attempts->error, sizeof(attempts->error), "%s", error->text);
        log_error("cannot %s %" PRIu64 ": %s; trying again in %" PRIu64 " ms", what, id,
                  error->text, delay_ms);
    }
    agent_report_soon(agent);
    agent_plan_soon(agent);
}

void attempts_succeed(struct attempts *attempts, uint64_t *retry_at_ms)
{
    *attempts = (struct attempts){0};
    *retry_at_ms = 0;
}

static void unit_detach(struct agent_unit *unit)
{
    process_watch_close(&unit->process);
    unit->control = control_client_close(unit->control);
    arena_reset(&unit->told_arena);
    unit->told = NULL;
    unit->silent = false;
    unit->actual.control_open = false;
    unit->actual.drain_sent = false;
    unit->actual.snapshot_version = 0;
    unit->actual.serving_version = 0;
}

// Words for the report: the pidfd of a process that is not our child tells no exit code.
static void unit_explain_end(struct agent_unit *unit)
{
    struct agent *agent = unit->agent;
    const struct runtime_ops *runtime = agent->runtime_ops;
    char last[160];
    unit_log_last(agent->config->run_dir, unit->actual.id, last, sizeof(last));
    if (runtime->out_of_memory != NULL && runtime->out_of_memory(agent->runtime, unit->actual.id)) {
        snprintf(unit->crash, sizeof(unit->crash),
                 "its process was ended by the kernel: it reached its memory limit");
    } else {
        snprintf(unit->crash, sizeof(unit->crash), "its process ended%s%s",
                 last[0] != '\0' ? "; its log's last line: " : "", last);
    }
}

// Its process has ended: by our doing, after a drain, or by itself.
static void unit_ended(struct agent_unit *unit)
{
    struct agent *agent = unit->agent;
    uint64_t served_ms = loop_now_ms(agent->loop) - unit->started_at_ms;
    unit_detach(unit);
    unit->actual.process = agent->networked ? UNIT_PROCESS_LEFT : UNIT_PROCESS_NONE;
    unit->pid = 0;
    if (unit->stopping) {
        return;
    }
    if (unit->drained) {
        log_info("unit %" PRIu64 ": drained", unit->actual.id);
    } else {
        if (served_ms >= STEADY_MS) {
            unit->crashes = 0;
        }
        uint64_t delay_ms = plan_restart_delay_ms(++unit->crashes);
        unit->actual.retry_at_ms = loop_now_ms(agent->loop) + delay_ms;
        unit_explain_end(unit);
        log_error("unit %" PRIu64 ": %s; starting it again in %" PRIu64 " ms", unit->actual.id,
                  unit->crash, delay_ms);
    }
    agent_report_soon(agent);
    agent_plan_soon(agent);
}

static void unit_exited(struct process_watch *process)
{
    unit_ended(CONTAINER_OF(process, struct agent_unit, process));
}

// True when nothing but its numbers differs, which the beat reports early enough.
static bool answer_same(const struct unit_control_answer *a, const struct unit_control_answer *b)
{
    if (a->state != b->state || a->version != b->version || a->target_count != b->target_count ||
        a->listener_count != b->listener_count) {
        return false;
    }
    for (size_t i = 0; i < a->target_count; i++) {
        const struct target_report *left = &a->targets[i], *right = &b->targets[i];
        if (left->target_group_id != right->target_group_id || left->verdict != right->verdict ||
            !addr_equal(&left->address, &right->address) ||
            strcmp(left->reason, right->reason) != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct listener_report *left = &a->listeners[i], *right = &b->listeners[i];
        if (left->id != right->id || left->state != right->state ||
            strcmp(left->error, right->error) != 0) {
            return false;
        }
    }
    return true;
}

// What the unit says about its own state is taken for the report; about others it says nothing.
static void unit_state_told(struct agent_unit *unit, struct unit_control_answer *answer,
                            struct arena *arena)
{
    bool first = !unit->actual.control_open;
    bool served = unit->told != NULL && unit->told->state == PROXY_SERVING;
    if (unit->told == NULL || !answer_same(unit->told, answer)) {
        agent_report_soon(unit->agent);
    }
    arena_reset(&unit->told_arena);
    unit->told_arena = *arena;
    arena_init(arena, 4096);
    unit->told = answer;
    if (first) {
        unit->actual.control_open = true;
        unit->actual.snapshot_version = answer->version;
    }
    if (first || unit->actual.serving_version != answer->version) {
        unit->actual.serving_version = answer->version;
        agent_plan_soon(unit->agent);
    }
    if (!served && answer->state == PROXY_SERVING) {
        log_info(
            "unit %" PRIu64 ": serves snapshot %" PRIu64 ", %" PRIu64 " ms after it was started",
            unit->actual.id, answer->version, loop_now_ms(unit->agent->loop) - unit->started_at_ms);
        unit->crash[0] = '\0';
    }
}

static void unit_told(void *owner, struct unit_control_answer *answer, struct arena *arena)
{
    struct agent_unit *unit = owner;
    if (unit->silent) {
        unit->silent = false;
        agent_report_soon(unit->agent);
    }
    if (answer->has_state) {
        // One whose first snapshot did not compile does not know who it is yet.
        if (answer->unit_id == unit->actual.id || answer->unit_id == 0) {
            unit_state_told(unit, answer, arena);
        }
    } else if (answer->status == UNIT_CONTROL_OK) {
        unit->snapshot_error[0] = '\0';
    } else {
        char before[sizeof(unit->snapshot_error)];
        memcpy(before, unit->snapshot_error, sizeof(before));
        snprintf(unit->snapshot_error, sizeof(unit->snapshot_error), "%s%s%s", answer->field,
                 answer->field[0] != '\0' ? ": " : "", answer->error);
        // A unit that serves goes on with the snapshot it has; one that does not may have met
        // something that passes (a port still taken by its predecessor), so it gets it again.
        unit->push_failed = answer->status == UNIT_CONTROL_FAILED || unit->told == NULL ||
                            unit->told->state == PROXY_STARTING;
        if (strcmp(unit->snapshot_error, before) != 0) {
            log_warning("unit %" PRIu64 ": did not take its snapshot: %s", unit->actual.id,
                        unit->snapshot_error);
        }
    }
    if (!answer->has_state) {
        agent_report_soon(unit->agent);
    }
}

static void unit_lost(void *owner)
{
    struct agent_unit *unit = owner;
    // What it told last stays in the report until it speaks again, its process ends (known at once)
    // or it stays silent.
    unit->actual.control_open = false;
    unit->actual.drain_sent = false;
}

static const struct control_client_ops control_ops = {.told = unit_told, .lost = unit_lost};

void unit_attach(struct agent_unit *unit, pid_t pid, uint64_t start_time)
{
    struct agent *agent = unit->agent;
    unit->pid = pid;
    unit->start_time = start_time;
    unit->started_at_ms = loop_now_ms(agent->loop);
    unit->actual.process = UNIT_PROCESS_RUNNING;
    char path[UNIT_PATH_LEN];
    if (process_watch_open(&unit->process, agent->loop, pid, start_time, unit_exited) < 0) {
        unit_ended(unit);
        return;
    }
    unit_path(agent->config->run_dir, unit->actual.id, "control.sock", path);
    uint32_t user = agent->networked ? unit_user(unit->actual.id) : 0;
    if (control_client_open(agent->loop, path, user, &control_ops, unit, &unit->control) < 0) {
        log_error("unit %" PRIu64 ": out of memory", unit->actual.id);
    }
}

static void unit_started(struct runtime_op *op)
{
    struct agent_unit *unit = CONTAINER_OF(op, struct agent_unit, op);
    unit->actual.busy = false;
    if (op->error.code < 0) {
        unit->actual.process = unit->agent->networked ? UNIT_PROCESS_LEFT : UNIT_PROCESS_NONE;
        attempts_fail(unit->agent, &unit->attempts, &unit->actual.retry_at_ms, "start the unit",
                      unit->actual.id, &op->error);
        return;
    }
    attempts_succeed(&unit->attempts, &unit->actual.retry_at_ms);
    unit->starts++;
    unit_starts_write(unit->agent->config->run_dir, unit->actual.id, unit->starts);
    uint64_t begun_at_ms = unit->started_at_ms;
    unit_attach(unit, op->pid, op->start_time);
    unit->started_at_ms = begun_at_ms;
    agent_report_soon(unit->agent);
    agent_plan_soon(unit->agent);
}

void unit_start(struct agent_unit *unit, const struct desired_unit *desired)
{
    struct agent *agent = unit->agent;
    const char *run_dir = agent->config->run_dir;
    uint64_t id = unit->actual.id;
    uint32_t user = agent->networked ? unit_user(id) : 0;
    struct error error = {0};
    unit->stopping = unit->drained = false;
    unit->snapshot_error[0] = '\0';
    unit->started_at_ms = loop_now_ms(agent->loop);
    if (unit->starts == 0) {
        unit->starts = unit_starts_read(run_dir, id);
    }
    if (unit_directory_make(run_dir, id, user, &error) < 0 ||
        unit_snapshot_write(run_dir, id, user, desired->snapshot, &error) < 0) {
        attempts_fail(agent, &unit->attempts, &unit->actual.retry_at_ms, "start the unit",
                      unit->actual.id, &error);
        return;
    }
    unit_starts_write(run_dir, id, unit->starts);
    unit->op = (struct runtime_op){
        .unit_id = unit->actual.id,
        .limits = desired->limits,
        .left = unit->actual.process == UNIT_PROCESS_LEFT,
        .done = unit_started,
    };
    unit->actual.busy = true;
    agent->runtime_ops->start(agent->runtime, &unit->op);
}

static void unit_stopped(struct runtime_op *op)
{
    struct agent_unit *unit = CONTAINER_OF(op, struct agent_unit, op);
    struct agent *agent = unit->agent;
    unit->actual.busy = false;
    unit_detach(unit);
    unit->pid = 0;
    if (op->error.code < 0) {
        unit->actual.process = UNIT_PROCESS_LEFT;
        attempts_fail(agent, &unit->attempts, &unit->actual.retry_at_ms, "stop the unit",
                      unit->actual.id, &op->error);
        return;
    }
    unit->actual.process = UNIT_PROCESS_NONE;
    attempts_succeed(&unit->attempts, &unit->actual.retry_at_ms);
    agent_report_soon(agent);
    agent_plan_soon(agent);
}

void unit_stop(struct agent_unit *unit)
{
    unit->stopping = true;
    unit->actual.busy = true;
    unit->op = (struct runtime_op){
        .unit_id = unit->actual.id,
        .pid = unit->pid,
        .start_time = unit->start_time,
        .done = unit_stopped,
    };
    unit->agent->runtime_ops->stop(unit->agent->runtime, &unit->op);
}

void unit_push(struct agent_unit *unit, const struct desired_unit *desired)
{
    const struct unit_control_request request = {.command = UNIT_COMMAND_SNAPSHOT,
                                                 .snapshot = desired->snapshot};
    // The file first: if the unit dies in between, it starts from the newer one.
    struct error error = {0};
    struct agent *agent = unit->agent;
    if (unit_snapshot_write(agent->config->run_dir, unit->actual.id,
                            agent->networked ? unit_user(unit->actual.id) : 0, desired->snapshot,
                            &error) < 0) {
        log_error("unit %" PRIu64 ": %s", unit->actual.id, error.text);
    }
    unit->push_failed = control_client_send(unit->control, &request) < 0;
    unit->actual.snapshot_version = desired->snapshot_version;
}

void unit_drain(struct agent_unit *unit)
{
    const struct unit_control_request request = {
        .command = UNIT_COMMAND_DRAIN, .snapshot = "", .deadline_ms = DRAIN_DEADLINE_MS};
    if (control_client_send(unit->control, &request) == 0) {
        unit->actual.drain_sent = true;
        unit->drained = true;
        log_info("unit %" PRIu64 ": draining", unit->actual.id);
    }
}

void unit_beat(struct agent_unit *unit)
{
    if (unit->control != NULL) {
        uint64_t owed_ms = control_client_beat(unit->control);
        if (owed_ms >= SILENCE_MS) {
            if (!unit->silent) {
                log_error("unit %" PRIu64 ": does not answer on its control socket",
                          unit->actual.id);
            }
            unit->silent = true; // until it says something
            control_client_renew(unit->control);
        }
    }
    if (unit->push_failed) {
        unit->push_failed = false;
        unit->actual.snapshot_version = 0;
        agent_plan_soon(unit->agent);
    }
    if (unit->crashes > 0 && unit->told != NULL && unit->told->state == PROXY_SERVING &&
        loop_now_ms(unit->agent->loop) - unit->started_at_ms >= STEADY_MS) {
        unit->crashes = 0;
    }
}

void unit_leave(struct agent_unit *unit)
{
    unit_detach(unit);
    list_remove(&unit->link);
    free(unit->outside);
    free(unit);
}

void unit_forget(struct agent_unit *unit)
{
    unit_directory_remove(unit->agent->config->run_dir, unit->actual.id);
    log_info("unit %" PRIu64 ": removed", unit->actual.id);
    unit_leave(unit);
}
