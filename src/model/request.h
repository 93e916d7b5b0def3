// SPDX-License-Identifier: Apache-2.0
// The envelope of docs/DOCUMENTS.md §2: action, type, info → status, action, type, info. It is how
// the project's source document speaks, so it is read with liberties: fields may stand in `info` or
// at top level, enumerations in any case, entities as text, URL, object, or arrays of these. What
// it says then becomes the same objects that the REST paths make.
//
// An instance is one load balancer with one listener and one target group of the same name.
#pragma once

#include "model/load_balancer.h"
#include "model/project.h"
#include "model/target_group.h"

enum request_action {
    REQUEST_CREATE,
    REQUEST_INFO,
    REQUEST_UPDATE,
    REQUEST_DELETE,
    REQUEST_LIST,
};
extern const char *const request_action_names[];

enum request_type { REQUEST_PROJECT, REQUEST_INSTANCE };
extern const char *const request_type_names[];

struct request {
    enum request_action action;
    enum request_type type;
    const char *project; // id or name; "" when absent
    const char *object;  // id or name of what is meant; "" when absent
    // What was said about the object, brought into one form; owned: request_release. For a project
    // it is a REST body; for an instance, instance_parse reads it.
    json_t *info;
    const char *base; // where info's fields stood, for errors: "info", or "" at top level
};

struct instance_backend {
    enum algorithm algorithm;
    struct target *entities;
    size_t entity_count;
    struct health_check health_check;
    bool auto_scaling;
};

struct instance {
    const char *name;
    enum protocol traffic_type;
    struct prefix subnet; // family 0: not said
    uint16_t port;
    uint32_t units;
    struct instance_backend backend;
};

extern const struct schema request_schema; // of the envelope's own fields, for /openapi.json
extern const struct schema instance_schema;
extern const struct schema instance_backend_schema;
extern const struct schema instance_health_check_schema;
extern const struct schema instance_criteria_schema;

// -EINVAL with reason and field. What stands in info is looked at later.
int request_parse(const json_t *json, struct arena *arena, struct request *ret_request,
                  struct error *error);
void request_release(struct request *request);

// before: what the instance is now, for a change (RFC 7396 over it); NULL: a new one.
int instance_parse(const struct request *request, const struct instance *before,
                   struct arena *arena, struct instance *ret_instance, struct error *error);
// The host names among the entities that the request gives.
int request_hosts(const struct request *request, struct arena *arena, const char ***ret_hosts,
                  size_t *ret_count, struct error *error);

// Between an instance and its objects. What an instance does not say (ids, timeouts …) is left
// alone.
void instance_to_objects(const struct instance *instance, struct load_balancer *balancer,
                         struct listener *listener, struct target_group *group);
void instance_from_objects(const struct load_balancer *balancer, const struct listener *listener,
                           const struct target_group *group, const struct prefix *subnet,
                           struct instance *ret_instance);
// An error about the objects, in the instance's own words: "targets[1]" → "backend.entities[1]".
void instance_error_field(const char *base, struct error *error);

// The answers' `info`. balancer->status may be NULL. A new reference; NULL when memory is out.
json_t *instance_print(const struct project *project, const struct load_balancer *balancer,
                       const struct target_group *group);
