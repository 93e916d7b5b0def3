// SPDX-License-Identifier: Apache-2.0
// Carries out planned actions. Networks go to a worker as a job with everything it needs by value;
// units go to the runtime. An object is busy until its action ended; failures are written down and
// tried again later, and never hold up another object.
#include <inttypes.h>
#include <unistd.h>

#include "agent/agent_state.h"
#include "base/log.h"
#include "net/link.h"

struct network_job {
    struct job job;
    struct agent *agent;
    enum action_kind kind;
    uint64_t id;
    union {
        struct front_network front;
        struct project_network project;
        struct unit_network unit;
        struct outside outside;
    };
    struct addr *targets;  // of outside; owned
    struct prefix *closed; // likewise
    bool broken;
    char summary[256];
    struct error error;
};

static void job_work(struct job *base)
{
    struct network_job *job = CONTAINER_OF(base, struct network_job, job);
    const char *instance = job->agent->config->instance;
    switch (job->kind) {
    case ACTION_FRONT_ADD:
        network_add_front(instance, &job->front, &job->error);
        break;
    case ACTION_FRONT_REMOVE:
        network_remove_front(instance, &job->error);
        break;
    case ACTION_NETWORK_ADD:
        network_add_project(instance, &job->project, &job->error);
        break;
    case ACTION_NETWORK_REMOVE:
        network_remove_project(instance, job->id, &job->error);
        break;
    case ACTION_UNIT_NETWORK_ADD:
        network_add_unit(instance, &job->unit, job->broken, &job->error);
        break;
    case ACTION_UNIT_NETWORK_REMOVE:
        network_remove_unit(instance, &job->unit, &job->error);
        break;
    case ACTION_OUTSIDE_ADD:
        network_add_outside(instance, &job->outside, job->summary, sizeof(job->summary),
                            &job->error);
        break;
    case ACTION_OUTSIDE_REMOVE:
        network_remove_outside(instance, job->outside.record_path, &job->error);
        break;
    default:
        break;
    }
}

// The record's fields that every kind of object has.
struct object {
    enum presence *presence;
    bool *busy;
    uint64_t *retry_at_ms;
    struct attempts *attempts;
};

static bool job_object(struct agent *agent, enum action_kind kind, uint64_t id,
                       struct object *ret_object)
{
    struct agent_network *network;
    struct agent_unit *unit;
    switch (kind) {
    case ACTION_FRONT_ADD:
    case ACTION_FRONT_REMOVE:
        *ret_object = (struct object){&agent->front.presence, &agent->front.busy,
                                      &agent->front.retry_at_ms, &agent->front_attempts};
        return true;
    case ACTION_OUTSIDE_ADD:
    case ACTION_OUTSIDE_REMOVE:
        *ret_object = (struct object){&agent->outside.presence, &agent->outside.busy,
                                      &agent->outside.retry_at_ms, &agent->outside_attempts};
        return true;
    case ACTION_NETWORK_ADD:
    case ACTION_NETWORK_REMOVE:
        network = agent_get_network(agent, id);
        if (network != NULL) {
            *ret_object = (struct object){&network->actual.presence, &network->actual.busy,
                                          &network->actual.retry_at_ms, &network->attempts};
        }
        return network != NULL;
    default:
        unit = agent_get_unit(agent, id);
        if (unit != NULL) {
            *ret_object = (struct object){&unit->actual.network, &unit->actual.busy,
                                          &unit->actual.retry_at_ms, &unit->attempts};
        }
        return unit != NULL;
    }
}

// What was made is what the records say now.
static void job_succeeded(struct agent *agent, const struct network_job *job,
                          const struct object *object)
{
    switch (job->kind) {
    case ACTION_FRONT_ADD:
        agent->front.subnet = job->front.subnet;
        agent->front.gateway = job->front.gateway;
        break;
    case ACTION_NETWORK_ADD: {
        struct agent_network *network = agent_get_network(agent, job->id);
        network->actual.subnet = job->project.subnet;
        network->actual.gateway = job->project.gateway;
        break;
    }
    case ACTION_UNIT_NETWORK_ADD: {
        struct agent_unit *unit = agent_get_unit(agent, job->id);
        unit->actual.project_id = job->unit.project_id;
        unit->actual.front = job->unit.front;
        unit->actual.back = job->unit.back;
        break;
    }
    case ACTION_OUTSIDE_ADD:
        log_info("targets outside: %s", job->summary);
        break;
    case ACTION_OUTSIDE_REMOVE:
        log_info("targets outside: masquerading and what forwarding was turned on are undone");
        break;
    default:
        break;
    }
    bool removed = job->kind == ACTION_FRONT_REMOVE || job->kind == ACTION_NETWORK_REMOVE ||
                   job->kind == ACTION_UNIT_NETWORK_REMOVE || job->kind == ACTION_OUTSIDE_REMOVE;
    // A list of targets that changed meanwhile has made it broken already.
    bool stale = job->kind == ACTION_OUTSIDE_ADD && *object->presence == PRESENCE_BROKEN;
    *object->presence = removed ? PRESENCE_NONE : stale ? PRESENCE_BROKEN : PRESENCE_READY;
}

static void job_done(struct job *base)
{
    struct network_job *job = CONTAINER_OF(base, struct network_job, job);
    struct agent *agent = job->agent;
    struct object object;
    agent->jobs--;
    // Records of busy objects are not freed.
    job_object(agent, job->kind, job->id, &object);
    *object.busy = false;
    if (job->error.code < 0) {
        *object.presence = PRESENCE_BROKEN;
        attempts_fail(agent, object.attempts, object.retry_at_ms, action_names[job->kind], job->id,
                      &job->error);
    } else {
        job_succeeded(agent, job, &object);
        attempts_succeed(object.attempts, object.retry_at_ms);
        agent_report_soon(agent);
        agent_plan_soon(agent);
    }
    free(job->targets);
    free(job->closed);
    free(job);
}

// Fills in what the job needs from desired; false when memory is out.
static bool job_fill(struct network_job *job, const struct action *action)
{
    struct agent *agent = job->agent;
    const struct desired *desired = agent->document != NULL ? agent->document->desired : NULL;
    struct agent_unit *unit;
    switch (action->kind) {
    case ACTION_FRONT_ADD:
        job->front = (struct front_network){desired->front.subnet, desired->front.gateway};
        return true;
    case ACTION_NETWORK_ADD:
        job->project =
            (struct project_network){action->id, action->network->subnet, action->network->gateway};
        return true;
    case ACTION_UNIT_NETWORK_ADD:
        unit = agent_get_unit(agent, action->id);
        job->broken = unit->actual.network != PRESENCE_NONE;
        job->unit = (struct unit_network){
            .id = action->id,
            .project_id = action->unit->project_id,
            .front = action->unit->front,
            .back = action->unit->back,
            .front_bits = desired->front.subnet.bits,
            .back_bits = agent_find_network(agent, action->unit->project_id)->actual.subnet.bits,
            .front_gateway = desired->front.gateway,
        };
        return true;
    case ACTION_UNIT_NETWORK_REMOVE:
        unit = agent_get_unit(agent, action->id);
        job->unit = (struct unit_network){.id = action->id, .project_id = unit->actual.project_id};
        return true;
    case ACTION_OUTSIDE_ADD:
        job->outside.inside = desired->front.subnet;
        job->targets = outside_collect(agent, &job->outside.target_count);
        job->outside.targets = job->targets;
        job->closed = outside_copy_closed(agent);
        job->outside.closed = job->closed;
        job->outside.closed_count = agent->closed_count;
        job->outside.record_path = agent->outside_record;
        agent->outside.presence = PRESENCE_NONE; // until a change makes it broken
        return job->targets != NULL && job->closed != NULL;
    case ACTION_OUTSIDE_REMOVE:
        job->outside.record_path = agent->outside_record;
        return true;
    default:
        return true;
    }
}

static void apply_network(struct agent *agent, const struct action *action)
{
    struct object object;
    struct network_job *job = calloc(1, sizeof(*job));
    if (job == NULL || !job_object(agent, action->kind, action->id, &object)) {
        log_error("out of memory");
        free(job);
        return;
    }
    job->agent = agent;
    job->kind = action->kind;
    job->id = action->id;
    if (!job_fill(job, action)) {
        log_error("out of memory");
        free(job->targets);
        free(job->closed);
        free(job);
        return;
    }
    *object.busy = true;
    agent->jobs++;
    agent->network_actions++;
    bool slow = action->kind == ACTION_FRONT_REMOVE || action->kind == ACTION_NETWORK_REMOVE ||
                action->kind == ACTION_UNIT_NETWORK_REMOVE ||
                action->kind == ACTION_OUTSIDE_REMOVE || action->kind == ACTION_OUTSIDE_ADD;
    worker_submit(slow ? &agent->remove : &agent->make, &job->job, job_work, job_done);
}

void agent_apply(struct agent *agent, const struct action *action)
{
    struct agent_unit *unit = NULL;
    if (action->kind >= ACTION_UNIT_START) {
        unit = agent_get_unit(agent, action->id);
        if (unit == NULL) {
            log_error("out of memory");
            return;
        }
    }
    log_debug("%" PRIu64 ": %s", action->id, action_names[action->kind]);
    switch (action->kind) {
    case ACTION_UNIT_START:
        unit_start(unit, action->unit);
        break;
    case ACTION_UNIT_STOP:
        unit_stop(unit);
        break;
    case ACTION_SNAPSHOT_PUSH:
        unit_push(unit, action->unit);
        break;
    case ACTION_DRAIN:
        unit_drain(unit);
        break;
    default:
        apply_network(agent, action);
        break;
    }
}

struct look_job {
    struct job job;
    struct agent *agent;
    struct arena arena;
    struct sighting sighting;
    uint64_t network_actions;
    struct error error;
};

static void look_work(struct job *base)
{
    struct look_job *look = CONTAINER_OF(base, struct look_job, job);
    struct agent *agent = look->agent;
    if (agent->networked) {
        observe_networks(agent->config->instance, &look->arena, &look->sighting, &look->error);
    } else {
        observe_routes(NULL, &look->arena, &look->sighting, &look->error);
    }
}

static enum presence sighting_unit(const struct sighting *sighting, uint64_t id)
{
    for (size_t i = 0; i < sighting->unit_count; i++) {
        if (sighting->units[i].id == id) {
            return sighting->units[i].network;
        }
    }
    return PRESENCE_NONE;
}

static enum presence sighting_network(const struct sighting *sighting, uint64_t project_id)
{
    for (size_t i = 0; i < sighting->network_count; i++) {
        if (sighting->networks[i].project_id == project_id) {
            return sighting->networks[i].presence;
        }
    }
    return PRESENCE_NONE;
}

// Somebody took away what we made: it is broken, and the plan does the rest.
static void look_compare(struct agent *agent, const struct sighting *sighting)
{
    if (agent->front.presence == PRESENCE_READY && sighting->front.presence != PRESENCE_READY) {
        log_warning("the front bridge is no longer as it was made");
        agent->front.presence = PRESENCE_BROKEN;
    }
    LIST_FOREACH (&agent->networks, link) {
        struct agent_network *network = CONTAINER_OF(link, struct agent_network, link);
        if (network->actual.presence == PRESENCE_READY &&
            sighting_network(sighting, network->actual.project_id) != PRESENCE_READY) {
            log_warning("the network of project %" PRIu64 " is no longer as it was made",
                        network->actual.project_id);
            network->actual.presence = PRESENCE_BROKEN;
        }
    }
    LIST_FOREACH (&agent->units, link) {
        struct agent_unit *unit = CONTAINER_OF(link, struct agent_unit, link);
        if (unit->actual.network == PRESENCE_READY &&
            sighting_unit(sighting, unit->actual.id) != PRESENCE_READY) {
            log_warning("the network of unit %" PRIu64 " is no longer as it was made",
                        unit->actual.id);
            unit->actual.network = PRESENCE_BROKEN;
        }
    }
    agent_plan_soon(agent);
}

static void look_done(struct job *base)
{
    struct look_job *look = CONTAINER_OF(base, struct look_job, job);
    struct agent *agent = look->agent;
    agent->looking = false;
    if (look->error.code < 0) {
        log_warning("cannot look at the networks: %s", look->error.text);
    } else {
        agent_take_routes(agent, &look->sighting);
        // What it saw is only good when nothing was being made or removed meanwhile.
        if (agent->networked && look->network_actions == agent->network_actions) {
            look_compare(agent, &look->sighting);
        }
    }
    arena_reset(&look->arena);
    free(look);
}

void agent_look(struct agent *agent)
{
    struct look_job *look = agent->looking || agent->jobs > 0 ? NULL : calloc(1, sizeof(*look));
    if (look == NULL) {
        return;
    }
    agent->looking = true;
    agent->look_soon = false;
    look->agent = agent;
    look->network_actions = agent->network_actions;
    arena_init(&look->arena, 16384);
    worker_submit(&agent->make, &look->job, look_work, look_done);
}

void agent_take_routes(struct agent *agent, const struct sighting *sighting)
{
    struct prefix *routes = calloc(sighting->route_count + 1, sizeof(*routes));
    if (routes == NULL) {
        return;
    }
    if (sighting->route_count > 0) {
        memcpy(routes, sighting->routes, sighting->route_count * sizeof(*routes));
    }
    free(agent->routes);
    agent->routes = routes;
    agent->route_count = sighting->route_count;
}

// Links of ours also go because of our own actions; their objects are busy then.
static void link_gone(const char *name, void *context)
{
    struct agent *agent = context;
    char bridge[NAME_LEN];
    uint64_t id;
    if (strcmp(name, name_of_bridge(agent->config->instance, bridge)) == 0) {
        agent->look_soon |= !agent->front.busy;
    } else if (name_read(agent->config->instance, NAME_FRONT, name, &id) == 0) {
        const struct agent_unit *unit = agent_find_unit(agent, id);
        agent->look_soon |= unit != NULL && !unit->actual.busy;
    }
}

static void monitor_ready(struct watch *watch, unsigned events)
{
    struct agent *agent = CONTAINER_OF(watch, struct agent, monitor);
    agent->look_soon |= link_monitor_read(agent->monitor_fd, link_gone, agent);
    if (agent->look_soon) {
        agent_look(agent);
    }
}

int agent_monitor_open(struct agent *agent)
{
    int result = link_monitor_open(&agent->monitor_fd);
    if (result < 0) {
        agent->monitor_fd = -1;
        return result;
    }
    return watch_open(&agent->monitor, agent->loop, agent->monitor_fd, WATCH_READ, monitor_ready);
}

void agent_monitor_close(struct agent *agent)
{
    watch_close(&agent->monitor);
    if (agent->monitor_fd >= 0) {
        close(agent->monitor_fd);
    }
}
