// SPDX-License-Identifier: Apache-2.0
// The envelope itself: what to do, and with what. instance.c has what stands in info.
#include "model/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const request_action_names[] = {"create", "info", "update", "delete", "list", NULL};
const char *const request_type_names[] = {"project", "instance", NULL};

// Only described and looked up by name: the liberties are beyond what a table can say.
static const struct field request_fields[] = {
    {"action", FIELD_ENUM, FIELD_AT(struct request, action), .names = request_action_names,
     .flags = FIELD_ANY_CASE, .text = "What to do"},
    {"type", FIELD_ENUM, FIELD_AT(struct request, type), .names = request_type_names,
     .flags = FIELD_REQUIRED | FIELD_ANY_CASE, .text = "To what; an instance is a load balancer"},
    {"user", FIELD_STRING, FIELD_AT(struct request, base), .max = 255,
     .text = "Kept with a project"},
    {"project", FIELD_STRING, FIELD_AT(struct request, project),
     .text = "Name or id (then also as a number)"},
    {"id", FIELD_STRING, FIELD_AT(struct request, object),
     .text = "Of info, update, delete: name or id (then also as a number)"},
    {"info", FIELD_OBJECT, FIELD_AT(struct request, info), .schema = &instance_schema,
     .text = "The object; its fields may also stand beside type"},
};

const struct schema request_schema = {
    "request",
    "The envelope: action, type, info",
    sizeof(struct request),
    SCHEMA_FIELDS(request_fields),
};

static int parse_enum(const json_t *json, const char *name, const char *const *names,
                      unsigned *ret_value, struct error *error)
{
    const char *text = json_string_value(json);
    if (text == NULL) {
        return error_set_field(error, -EINVAL, json == NULL ? "missing_field" : "wrong_type", name,
                               json == NULL ? "%s is missing" : "%s must be a string", name);
    }
    char all[64] = "";
    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *ret_value = i;
            return 0;
        }
        size_t len = strlen(all);
        snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return error_set_field(error, -EINVAL, "invalid_value", name,
                           "%s must be one of %s, not \"%.32s\"", name, all, text);
}

// An id or a name.
static int parse_reference(const json_t *json, const char *name, struct arena *arena,
                           const char **ret_text, struct error *error)
{
    char digits[24];
    const char *text = json_string_value(json);
    if (json_is_integer(json) && json_integer_value(json) > 0) {
        snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        text = digits;
    }
    if (text == NULL || text[0] == '\0') {
        return error_set_field(error, -EINVAL, "wrong_type", name,
                               "%s must be an id (an integer from 1) or a name", name);
    }
    struct str copy = arena_copy(arena, str_of(text));
    if (copy.at == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    *ret_text = copy.at;
    return 0;
}

static bool is_envelope_field(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(request_fields); i++) {
        if (strcmp(request_fields[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

// The object is `info`; without one it is what stands at top level, as in the source document.
static int gather_info(const json_t *json, struct request *request, struct error *error)
{
    const json_t *inner = json_object_get(json, "info");
    if (inner != NULL && !json_is_object(inner)) {
        return error_set_field(error, -EINVAL, "wrong_type", "info", "info must be an object");
    }
    request->base = inner != NULL ? "info" : "";
    request->info = inner != NULL ? json_copy((json_t *)inner) : json_object();
    if (request->info == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value)
    {
        if (is_envelope_field(name)) {
            continue;
        }
        if (inner != NULL) {
            return error_set_field(error, -EINVAL, "unknown_field", name,
                                   "%.60s is not a field of request", name);
        }
        if (json_object_set(request->info, name, value) < 0) {
            return error_set(error, -ENOMEM, "out of memory");
        }
    }
    return 0;
}

// A field that may stand in info or in the envelope, but must not say two things. It leaves info.
static int take_from_info(const json_t *json, struct request *request, const char *name,
                          json_t **ret_value, struct error *error)
{
    json_t *outer = json_object_get(json, name), *inner = json_object_get(request->info, name);
    if (outer != NULL && inner != NULL && !json_equal(outer, inner)) {
        return error_set_field(error, -EINVAL, "duplicate_field", name, "%s and info.%s differ",
                               name, name);
    }
    *ret_value = json_incref(outer != NULL ? outer : inner);
    if (inner != NULL) {
        json_object_del(request->info, name);
    }
    return 0;
}

static int parse_type(const json_t *json, struct request *request, struct error *error)
{
    json_t *type = NULL;
    int r = take_from_info(json, request, "type", &type, error);
    if (r == 0) {
        r = parse_enum(type, "type", request_type_names, &request->type, error);
    }
    json_decref(type);
    return r;
}

static int parse_references(const json_t *json, struct arena *arena, struct request *request,
                            struct error *error)
{
    json_t *id = NULL, *project = NULL;
    int r = take_from_info(json, request, "id", &id, error);
    if (r == 0) {
        r = take_from_info(json, request, "project", &project, error);
    }
    if (r == 0 && id != NULL) {
        r = parse_reference(id, "id", arena, &request->object, error);
    }
    if (r == 0 && project != NULL) {
        r = parse_reference(project, "project", arena, &request->project, error);
    }
    json_decref(id);
    json_decref(project);
    if (r < 0) {
        return r;
    }
    bool is_named = request->action == REQUEST_INFO || request->action == REQUEST_UPDATE ||
                    request->action == REQUEST_DELETE;
    const json_t *name = json_object_get(request->info, "name");
    if (is_named && request->object[0] == '\0' && request->type == REQUEST_PROJECT) {
        request->object = request->project;
    }
    if (is_named && request->object[0] == '\0' && name != NULL) {
        r = parse_reference(name, "info.name", arena, &request->object, error);
    }
    if (r == 0 && is_named && request->object[0] == '\0') {
        r = error_set_field(error, -EINVAL, "missing_field", "id",
                            "id is missing: the id or name of the %s that is meant",
                            request_type_names[request->type]);
    }
    if (r == 0 && request->type == REQUEST_INSTANCE && request->project[0] == '\0') {
        r = error_set_field(error, -EINVAL, "missing_field", "project",
                            "project is missing: the id or name of the project");
    }
    return r;
}

// A project's info becomes a REST body: name, user, subnet.
static int settle_project(const json_t *json, struct request *request, struct error *error)
{
    json_t *user = NULL;
    const json_t *instances = json_object_get(request->info, "instances");
    int r = take_from_info(json, request, "user", &user, error);
    if (r == 0 && user != NULL && json_object_set(request->info, "user", user) < 0) {
        r = error_set(error, -ENOMEM, "out of memory");
    }
    json_decref(user);
    if (r == 0 && instances != NULL && json_array_size(instances) > 0) {
        r = error_set_field(error, -EINVAL, "invalid_value", "instances",
                            "instances must be empty: create each by a request of its own");
    }
    if (r == 0 && instances != NULL && !json_is_array(instances)) {
        r = error_set_field(error, -EINVAL, "wrong_type", "instances",
                            "instances must be an array");
    }
    if (r == 0 && instances != NULL) {
        json_object_del(request->info, "instances");
    }
    return r;
}

int request_parse(const json_t *json, struct arena *arena, struct request *ret_request,
                  struct error *error)
{
    struct request request = {.project = "", .object = "", .base = ""};
    if (!json_is_object(json)) {
        return error_set_field(error, -EINVAL, "wrong_type", "", "a request must be an object");
    }
    const json_t *action = json_object_get(json, "action");
    int r = gather_info(json, &request, error);
    // The source document's form without info has no action either: it describes what to create.
    if (r == 0 && (action != NULL || request.base[0] != '\0')) {
        r = parse_enum(action, "action", request_action_names, &request.action, error);
    }
    if (r == 0) {
        r = parse_type(json, &request, error);
    }
    if (r == 0) {
        r = parse_references(json, arena, &request, error);
    }
    if (r == 0 && request.type == REQUEST_PROJECT) {
        r = settle_project(json, &request, error);
    }
    if (r < 0) {
        request_release(&request);
        return r;
    }
    *ret_request = request;
    return 0;
}

void request_release(struct request *request)
{
    json_decref(request->info);
    request->info = NULL;
}
