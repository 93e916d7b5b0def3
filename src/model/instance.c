// SPDX-License-Identifier: Apache-2.0
// An instance, as the envelope describes it, and the load balancer and target group it stands for.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/uri.h"
#include "model/label.h"
#include "model/request.h"

// The criteria are a part of the health check's struct: an object in JSON, the same memory here.
static const struct field criteria_fields[] = {
    {"interval", FIELD_INTEGER, FIELD_AT(struct health_check, interval_s), .min = 1, .max = 300,
     .number = 5, .text = "Seconds between two checks of one entity"},
    {"timeout", FIELD_INTEGER, FIELD_AT(struct health_check, timeout_s), .min = 1, .max = 120,
     .number = 5, .text = "Seconds until a check has failed; at most the interval"},
    {"health-threshold", FIELD_INTEGER, FIELD_AT(struct health_check, healthy_threshold), .min = 1,
     .max = 10, .number = 2, .text = "Successes in a row that make it healthy"},
    {"unhealth-threshold", FIELD_INTEGER, FIELD_AT(struct health_check, unhealthy_threshold),
     .min = 1, .max = 10, .number = 2, .text = "Failures in a row that make it unhealthy"},
};

const struct schema instance_criteria_schema = {
    "instance_criteria",
    "When an entity counts as healthy",
    sizeof(struct health_check),
    SCHEMA_FIELDS(criteria_fields),
};

static const struct field instance_health_check_fields[] = {
    {"protocol", FIELD_ENUM, FIELD_AT(struct health_check, protocol), .names = protocol_names,
     .flags = FIELD_ANY_CASE, .text = "HTTP or TCP; left out: as traffic_type"},
    {"port", FIELD_INTEGER, FIELD_AT(struct health_check, port),
     .text = "0: the entity's own port"},
    {"request-path", FIELD_STRING, FIELD_AT(struct health_check, path), .min = 1, .max = 1024,
     .string = "/", .text = "What an HTTP check asks for"},
    {"criteria", FIELD_OBJECT, .offset = 0, .size = sizeof(struct health_check),
     .schema = &instance_criteria_schema, .text = "When an entity counts as healthy"},
};

const struct schema instance_health_check_schema = {
    "instance_health_check",
    "How Weir knows that an entity works",
    sizeof(struct health_check),
    SCHEMA_FIELDS(instance_health_check_fields),
};

static const struct field backend_fields[] = {
    {"entities", FIELD_ARRAY, FIELD_ITEMS(struct instance_backend, entities, entity_count),
     .item = FIELD_OBJECT, .schema = &target_schema, .max = TARGETS_MAX,
     .text = "Targets: \"address\", \"address:port\", a URL, or an object; arrays may be nested"},
    {"algorithm", FIELD_ENUM, FIELD_AT(struct instance_backend, algorithm),
     .names = algorithm_names, .text = "How one entity is chosen"},
    {"health-check", FIELD_OBJECT, FIELD_AT(struct instance_backend, health_check),
     .schema = &instance_health_check_schema, .text = "How Weir knows that an entity works"},
    {"auto-scaling", FIELD_BOOL, FIELD_AT(struct instance_backend, auto_scaling),
     .text = "Kept and returned; does not act yet"},
};

const struct schema instance_backend_schema = {
    "instance_backend",
    "Where an instance's requests go",
    sizeof(struct instance_backend),
    SCHEMA_FIELDS(backend_fields),
};

static const struct field instance_fields[] = {
    {"name", FIELD_STRING, FIELD_AT(struct instance, name), .min = 1, .max = NAME_MAX_LEN,
     .flags = FIELD_REQUIRED | FIELD_IMMUTABLE, .text = "Unique in the project"},
    {"traffic_type", FIELD_ENUM, FIELD_AT(struct instance, traffic_type), .names = protocol_names,
     .flags = FIELD_ANY_CASE | FIELD_IMMUTABLE, .text = "http or tcp"},
    {"subnet", FIELD_PREFIX, FIELD_AT(struct instance, subnet),
     .text = "The project's; sets it when nobody has chosen one and nothing uses it yet"},
    {"port", FIELD_INTEGER, FIELD_AT(struct instance, port), .min = 1,
     .text = "Of the listener; left out: 80 for http; needed for tcp"},
    {"units", FIELD_INTEGER, FIELD_AT(struct instance, units), .min = 1, .max = 8, .number = 2,
     .text = "How many units share the work"},
    {"backend", FIELD_OBJECT, FIELD_AT(struct instance, backend),
     .schema = &instance_backend_schema, .text = "Where requests go"},
};

const struct schema instance_schema = {
    "instance",
    "A load balancer with one listener and one target group",
    sizeof(struct instance),
    SCHEMA_FIELDS(instance_fields),
};

// ── Entities ─────────────────────────────────────────────────────────────────────────────────

static void entity_field(const struct request *request, size_t index, char *field, size_t size)
{
    snprintf(field, size, "%s%sbackend.entities[%zu]", request->base,
             request->base[0] != '\0' ? "." : "", index);
}

static int split_url(struct str text, struct str *ret_host, uint16_t *ret_port, const char *field,
                     struct error *error)
{
    struct uri uri;
    struct error why = {0};
    if (uri_parse(text, &uri, &why) < 0) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "\"%.80s\" is no URL of a target: %.100s", text.at, why.text);
    }
    if (uri.https) {
        return error_set_field(error, -EINVAL, "not_supported", field,
                               "\"%.80s\": targets are spoken to without TLS yet; use http://",
                               text.at);
    }
    if (uri.query.at != NULL || uri.path.len > 1) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "\"%.80s\": a target is a host and a port; requests keep their own "
                               "path",
                               text.at);
    }
    *ret_host = uri.host;
    *ret_port = uri.port;
    return 0;
}

// "address", "address:port", "name:port", a URL. Port 0: not said.
static int split_entity(struct str text, struct str *ret_host, uint16_t *ret_port,
                        const char *field, struct error *error)
{
    struct addr addr;
    if (memmem(text.at, text.len, "://", 3) != NULL) {
        return split_url(text, ret_host, ret_port, field, error);
    }
    *ret_port = 0;
    *ret_host = text;
    if (addr_parse_ip(text, &addr) == 0) {
        return 0;
    }
    if (uri_parse_authority(text, ret_host, ret_port) < 0) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "\"%.80s\" is neither an address, nor address:port, nor a URL",
                               text.at);
    }
    if (ret_host->len > 2 && ret_host->at[0] == '[') {
        *ret_host = (struct str){ret_host->at + 1, ret_host->len - 2};
    }
    return 0;
}

static json_t *text_entity(const struct request *request, const json_t *entity, uint16_t port,
                           size_t index, struct error *error)
{
    struct str host, text = {json_string_value(entity), json_string_length(entity)};
    char field[64];
    uint16_t own_port;
    entity_field(request, index, field, sizeof(field));
    if (split_entity(text, &host, &own_port, field, error) < 0) {
        return NULL;
    }
    own_port = own_port != 0 ? own_port : port;
    json_t *target = json_pack("{s:s%, s:i}", "address", host.at, host.len, "port", (int)own_port);
    if (target == NULL) {
        error_set(error, -ENOMEM, "out of memory");
    }
    return target;
}

static int flatten(const struct request *request, const json_t *entities, uint16_t port, bool inner,
                   json_t *targets, struct error *error)
{
    size_t i;
    json_t *entity;
    json_array_foreach(entities, i, entity)
    {
        size_t index = json_array_size(targets);
        if (json_is_array(entity) && !inner) {
            int r = flatten(request, entity, port, true, targets, error);
            if (r < 0) {
                return r;
            }
            continue;
        }
        json_t *target = NULL;
        if (json_is_string(entity)) {
            target = text_entity(request, entity, port, index, error);
        } else {
            target = json_copy(entity); // an object; anything else is refused by the table
            if (json_is_object(target) && json_object_get(target, "port") == NULL) {
                json_object_set_new(target, "port", json_integer(port));
            }
        }
        if (target == NULL || json_array_append_new(targets, target) < 0) {
            int code = error != NULL && error->code != 0 ? error->code : -ENOMEM;
            return error_set(error, code, "out of memory");
        }
    }
    return 0;
}

// A copy of info whose entities are target objects. *ret_info is the caller's.
static int settle_entities(const struct request *request, uint16_t port, json_t **ret_info,
                           struct error *error)
{
    const json_t *backend = json_object_get(request->info, "backend");
    const json_t *entities = json_object_get(backend, "entities");
    const json_t *said = json_object_get(request->info, "port");
    if (!json_is_array(entities)) {
        *ret_info = json_incref(request->info);
        return 0;
    }
    if (json_is_integer(said) && json_integer_value(said) > 0 &&
        json_integer_value(said) <= UINT16_MAX) {
        port = (uint16_t)json_integer_value(said);
    }
    json_t *info = json_copy(request->info), *new_backend = json_copy((json_t *)backend);
    json_t *targets = json_array();
    int r = info == NULL || new_backend == NULL || targets == NULL
                ? error_set(error, -ENOMEM, "out of memory")
                : flatten(request, entities, port, false, targets, error);
    if (r == 0 && (json_object_set(new_backend, "entities", targets) < 0 ||
                   json_object_set(info, "backend", new_backend) < 0)) {
        r = error_set(error, -ENOMEM, "out of memory");
    }
    json_decref(targets);
    json_decref(new_backend);
    if (r < 0) {
        json_decref(info);
        return r;
    }
    *ret_info = info;
    return 0;
}

int request_hosts(const struct request *request, struct arena *arena, const char ***ret_hosts,
                  size_t *ret_count, struct error *error)
{
    json_t *info = NULL;
    int r = settle_entities(request, 80, &info, error);
    const json_t *entities = json_object_get(json_object_get(info, "backend"), "entities");
    size_t count = 0, i;
    if (json_array_size(entities) > TARGETS_MAX) {
        entities = NULL; // refused later; until then nobody is asked about any of them
    }
    const char **hosts =
        arena_array(arena, const char *, MAX(json_array_size(entities), (size_t)1));
    if (r == 0 && hosts == NULL) {
        r = error_set(error, -ENOMEM, "out of memory");
    }
    json_t *entity;
    json_array_foreach(entities, i, entity)
    {
        struct addr addr;
        const char *address = json_string_value(json_object_get(entity, "address"));
        if (r == 0 && address != NULL && addr_parse_ip(str_of(address), &addr) < 0 &&
            host_name_is_valid(str_of(address))) {
            hosts[count] = arena_copy(arena, str_of(address)).at;
            r = hosts[count++] != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");
        }
    }
    json_decref(info);
    if (r == 0) {
        *ret_hosts = hosts;
        *ret_count = count;
    }
    return r;
}

// ── Parse ────────────────────────────────────────────────────────────────────────────────────

// The check speaks what the traffic speaks, unless it was said; null asks for that again.
static void default_check_protocol(const json_t *info, bool is_change, struct instance *instance)
{
    const json_t *backend = json_object_get(info, "backend");
    const json_t *check = json_object_get(backend, "health-check");
    const json_t *protocol = json_object_get(check, "protocol");
    if (is_change ? json_is_null(backend) || json_is_null(check) || json_is_null(protocol)
                  : protocol == NULL) {
        instance->backend.health_check.protocol = instance->traffic_type;
    }
}

static int default_port(const struct request *request, const json_t *info,
                        struct instance *instance, struct error *error)
{
    char field[16];
    if (json_object_get(info, "port") != NULL) {
        return 0;
    }
    instance->port = 80;
    if (instance->traffic_type == PROTOCOL_HTTP) {
        return 0;
    }
    snprintf(field, sizeof(field), "%s%sport", request->base, request->base[0] != '\0' ? "." : "");
    return error_set_field(error, -EINVAL, "missing_field", field,
                           "port is missing: a tcp instance has no default port");
}

int instance_parse(const struct request *request, const struct instance *before,
                   struct arena *arena, struct instance *ret_instance, struct error *error)
{
    struct instance instance;
    json_t *info = NULL;
    if (before != NULL) {
        instance = *before;
    }
    int r = settle_entities(request, before != NULL ? before->port : 80, &info, error);
    if (r == 0) {
        r = schema_parse(&instance_schema, info, before != NULL ? SCHEMA_PATCH : SCHEMA_CREATE,
                         request->base, arena, &instance, error);
    }
    if (r == 0) {
        default_check_protocol(info, before != NULL, &instance);
    }
    if (r == 0 && before == NULL) {
        instance.backend.health_check.enabled = true;
        instance.backend.health_check.codes = "200-399";
        r = default_port(request, info, &instance, error);
    } else if (r == 0 && instance.port == 0) {
        instance.port = before->port; // "port": null
    }
    json_decref(info);
    if (r == 0) {
        *ret_instance = instance;
    }
    return r;
}

// ── Objects ──────────────────────────────────────────────────────────────────────────────────

void instance_to_objects(const struct instance *instance, struct load_balancer *balancer,
                         struct listener *listener, struct target_group *group)
{
    balancer->name = instance->name;
    balancer->type =
        instance->traffic_type == PROTOCOL_HTTP ? LOAD_BALANCER_APPLICATION : LOAD_BALANCER_NETWORK;
    balancer->units = instance->units;
    balancer->auto_scaling = instance->backend.auto_scaling;
    listener->protocol = instance->traffic_type;
    listener->port = instance->port;
    group->name = instance->name;
    group->protocol = instance->traffic_type;
    group->algorithm = instance->backend.algorithm;
    group->targets = instance->backend.entities;
    group->target_count = instance->backend.entity_count;
    group->health_check = instance->backend.health_check;
}

void instance_from_objects(const struct load_balancer *balancer, const struct listener *listener,
                           const struct target_group *group, const struct prefix *subnet,
                           struct instance *ret_instance)
{
    *ret_instance = (struct instance){
        .name = balancer->name,
        .traffic_type = listener->protocol,
        .subnet = *subnet,
        .port = listener->port,
        .units = balancer->units,
        .backend = {.algorithm = group->algorithm,
                    .entities = group->targets,
                    .entity_count = group->target_count,
                    .health_check = group->health_check,
                    .auto_scaling = balancer->auto_scaling},
    };
}

void instance_error_field(const char *base, struct error *error)
{
    static const struct {
        const char *object, *own;
    } words[] = {
        {"targets", "backend.entities"},
        {"health_check.timeout_s", "backend.health-check.criteria.timeout"},
        {"health_check.path", "backend.health-check.request-path"},
        {"listeners[0].port", "port"},
        {"listeners[0].protocol", "traffic_type"},
    };
    char field[sizeof(error->field)];
    if (error->field[0] == '\0') {
        return;
    }
    const char *own = "", *rest = error->field;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i].object);
        if (strncmp(error->field, words[i].object, len) == 0) {
            own = words[i].own;
            rest = error->field + len;
            break;
        }
    }
    snprintf(field, sizeof(field), "%s%s%s%.40s", base, base[0] != '\0' ? "." : "", own, rest);
    memcpy(error->field, field, sizeof(field));
}

// ── Print ────────────────────────────────────────────────────────────────────────────────────

// "10.1.0.11:80"; an object where there is a weight to tell.
static json_t *print_entity(const struct target *target)
{
    if (target->weight != 1) {
        return schema_print(&target_schema, target);
    }
    char text[300];
    const char *form = strchr(target->address, ':') != NULL ? "[%s]:%u" : "%s:%u";
    snprintf(text, sizeof(text), form, target->address, target->port);
    return json_string(text);
}

static int print_entities(const struct target_group *group, json_t *info)
{
    json_t *entities = json_array();
    for (size_t i = 0; i < group->target_count && entities != NULL; i++) {
        if (json_array_append_new(entities, print_entity(&group->targets[i])) < 0) {
            json_decref(entities);
            entities = NULL;
        }
    }
    return json_object_set_new(json_object_get(info, "backend"), "entities", entities);
}

static int print_status(const struct load_balancer_status *status, json_t *info)
{
    json_t *json = schema_print(&load_balancer_status_schema, status);
    json_object_del(json, "generation");
    int r = json == NULL ? -1 : json_object_update(info, json);
    json_decref(json);
    return r;
}

json_t *instance_print(const struct project *project, const struct load_balancer *balancer,
                       const struct target_group *group)
{
    static const struct listener no_listener = {0};
    const struct listener *listener =
        balancer->listener_count > 0 ? &balancer->listeners[0] : &no_listener;
    struct instance instance;
    instance_from_objects(balancer, listener, group, &project->subnet, &instance);
    json_t *said = schema_print(&instance_schema, &instance);
    json_t *info = json_pack("{s:I, s:s, s:s, s:s}", "id", (json_int_t)balancer->id, "name",
                             balancer->name, "project", project->name, "user", project->user);
    int r = said == NULL || info == NULL ? -1 : json_object_update(info, said);
    json_decref(said);
    if (r == 0) {
        r = print_entities(group, info);
    }
    // "units" becomes the list of them.
    if (r == 0 && balancer->status != NULL) {
        r = print_status(balancer->status, info);
    }
    if (r < 0) {
        json_decref(info);
        return NULL;
    }
    return info;
}
