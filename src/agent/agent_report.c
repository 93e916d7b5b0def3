// SPDX-License-Identifier: Apache-2.0
// The observed document: the whole of what the agent sees, made anew for every report. It goes to
// the controller and, for people and tests, to observed.json in the run directory.
#include <inttypes.h>
#include <stdio.h>

#include "agent/agent_state.h"
#include "base/clock.h"
#include "base/log.h"

enum { CONTROL_SOCKET_MS = 10000 }; // a unit without one for so long after its start has failed

static const char *refusal_of(const struct agent *agent, uint64_t project_id)
{
    for (size_t i = 0; i < agent->refusal_count; i++) {
        if (agent->refusals[i].project_id == project_id) {
            return agent->refusals[i].text;
        }
    }
    return NULL;
}

// Why a project's network, and with it its units', cannot be made; or NULL.
static const char *ground_error(const struct agent *agent, uint64_t project_id)
{
    struct agent_network *network = agent_find_network((struct agent *)agent, project_id);
    const char *error = refusal_of(agent, project_id);
    error = error != NULL ? error : refusal_of(agent, 0);
    if (error == NULL && agent->front_attempts.error[0] != '\0') {
        error = agent->front_attempts.error;
    }
    if (error == NULL && network != NULL && network->attempts.error[0] != '\0') {
        error = network->attempts.error;
    }
    return error;
}

static void report_network(const struct agent *agent, const struct desired_network *desired,
                           struct observed_network *report)
{
    struct agent_network *network = agent_find_network((struct agent *)agent, desired->project_id);
    *report = (struct observed_network){desired->project_id, NETWORK_READY, ""};
    if (!agent->networked) {
        return;
    }
    const char *error = ground_error(agent, desired->project_id);
    if (error == NULL && (network == NULL || network->actual.presence != PRESENCE_READY)) {
        error = "not made yet";
    }
    if (error != NULL) {
        report->state = NETWORK_FAILED;
        report->error = error;
    }
}

// What a running unit says, and what is wrong with it if it says nothing.
static void report_running(const struct agent *agent, const struct agent_unit *unit,
                           struct arena *arena, struct observed_unit *report)
{
    static const enum observed_unit_state states[] = {
        [PROXY_STARTING] = OBSERVED_UNIT_STARTING,
        [PROXY_SERVING] = OBSERVED_UNIT_SERVING,
        [PROXY_DRAINING] = OBSERVED_UNIT_DRAINING,
    };
    const struct unit_control_answer *told = unit->told;
    uint64_t age_ms = loop_now_ms(agent->loop) - unit->started_at_ms;
    report->state = told != NULL ? states[told->state] : OBSERVED_UNIT_STARTING;
    if (unit->silent) {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = "it does not answer on its control socket";
    } else if (told == NULL && age_ms >= CONTROL_SOCKET_MS) {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = "it has opened no control socket";
    }
    if (told == NULL) {
        return;
    }
    if (told->state == PROXY_STARTING && unit->snapshot_error[0] != '\0') {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = unit->snapshot_error;
    }
    report->snapshot_version = told->version;
    report->connections = told->connections;
    report->requests = told->requests;
    report->targets = told->targets;
    report->target_count = told->target_count;
    for (size_t i = 0; report->error[0] == '\0' && i < told->listener_count; i++) {
        if (told->listeners[i].state == LISTENER_FAILED) {
            char text[256];
            snprintf(text, sizeof(text), "listener %" PRIu64 ": %.200s", told->listeners[i].id,
                     told->listeners[i].error);
            struct str copy = arena_copy(arena, str_of(text));
            report->error = copy.at != NULL ? copy.at : "";
        }
    }
}

static void report_unit(const struct agent *agent, const struct agent_unit *unit,
                        struct arena *arena, struct observed_unit *report)
{
    const struct desired_unit *desired = agent_find_desired(agent, unit->actual.id);
    *report = (struct observed_unit){
        .id = unit->actual.id,
        .state = OBSERVED_UNIT_STARTING,
        .error = "",
        .pid = (uint32_t)unit->pid,
        .starts = unit->starts,
        .snapshot_error = unit->snapshot_error,
    };
    if (unit->actual.process == UNIT_PROCESS_RUNNING && !unit->stopping) {
        report_running(agent, unit, arena, report);
    } else if (desired == NULL || desired->draining) {
        report->state = OBSERVED_UNIT_STOPPED;
    } else if (unit->stopping) {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = "its network is made again";
    } else if (unit->attempts.error[0] != '\0') {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = unit->attempts.error;
    } else if (unit->crash[0] != '\0' && !unit->actual.busy) {
        report->state = OBSERVED_UNIT_FAILED;
        report->error = unit->crash;
    } else if (agent->networked && unit->actual.network != PRESENCE_READY) {
        const char *error = ground_error(agent, desired->project_id);
        if (error != NULL) {
            report->state = OBSERVED_UNIT_FAILED;
            report->error = error;
        }
    }
    // It serves, but does not reach all of its targets.
    if (report->error[0] == '\0' && unit->outside_count > 0) {
        report->error = agent->outside_attempts.error;
    }
}

// The unit is not reported before anything of it was there.
static char *report_print(struct agent *agent, struct arena *arena)
{
    const struct desired *desired = agent->document != NULL ? agent->document->desired : NULL;
    size_t unit_count = 0, network_count = desired != NULL ? desired->network_count : 0;
    LIST_FOREACH (&agent->units, link) {
        unit_count++;
    }
    struct observed observed = {
        .node = agent->config->node,
        .generation = agent->applied_generation,
        .agent_started_at = agent->started_at_ms,
        .sequence = ++agent->sequence,
        .runtime = agent->config->runtime,
        .routes = agent->routes,
        .route_count = agent->route_count,
        .networks = arena_array(arena, struct observed_network, network_count + 1),
        .network_count = network_count,
        .units = arena_array(arena, struct observed_unit, unit_count + 1),
    };
    if (observed.networks == NULL || observed.units == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < network_count; i++) {
        report_network(agent, &desired->networks[i], &observed.networks[i]);
    }
    LIST_FOREACH (&agent->units, link) {
        const struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        report_unit(agent, unit, arena, &observed.units[observed.unit_count++]);
    }
    return observed_print(&observed);
}

void agent_report(struct agent *agent)
{
    struct arena arena;
    agent->reported_at_ms = loop_now_ms(agent->loop);
    timer_cancel(&agent->report_timer);
    arena_init(&arena, 16384);
    char *text = report_print(agent, &arena);
    arena_reset(&arena);
    if (text == NULL) {
        log_error("cannot make the report: out of memory");
        return;
    }
    char path[UNIT_PATH_LEN];
    snprintf(path, sizeof(path), "%.200s/observed.json", agent->config->run_dir);
    file_write(path, text, 0644, false);
    if (agent->link != NULL) {
        controller_link_report(agent->link, text);
    } else {
        free(text);
    }
}

void agent_report_soon(struct agent *agent)
{
    loop_defer(agent->loop, &agent->report_task);
}
