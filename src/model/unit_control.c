// SPDX-License-Identifier: Apache-2.0
#include "model/unit_control.h"

#include "model/schema_private.h"

const char *const unit_command_names[] = {"snapshot", "state", "watch", "drain", NULL};
const char *const unit_control_status_names[] = {"ok", "refused", "failed", NULL};
const char *const proxy_state_names[] = {"starting", "serving", "draining", NULL};
const char *const listener_state_names[] = {"listening", "failed", NULL};

static const struct field request_fields[] = {
    {"command", FIELD_ENUM, FIELD_AT(struct unit_control_request, command),
     .names = unit_command_names, .flags = FIELD_REQUIRED},
    {"snapshot", FIELD_JSON, FIELD_AT(struct unit_control_request, snapshot)},
    {"deadline_ms", FIELD_INTEGER, FIELD_AT(struct unit_control_request, deadline_ms),
     .flags = FIELD_OPTIONAL},
};

const struct schema unit_control_request_schema = {
    "unit_control_request",
    "What an agent asks of a unit",
    sizeof(struct unit_control_request),
    SCHEMA_FIELDS(request_fields),
};

static const struct field listener_report_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct listener_report, id)},
    {"state", FIELD_ENUM, FIELD_AT(struct listener_report, state), .names = listener_state_names},
    {"error", FIELD_STRING, FIELD_AT(struct listener_report, error)},
};

static const struct schema listener_report_schema = {
    "listener_report",
    "How one listener of a unit is",
    sizeof(struct listener_report),
    SCHEMA_FIELDS(listener_report_fields),
};

// The rows up to `state` are every answer's; the rest comes only with a state.
static const struct field answer_fields[] = {
    {"status", FIELD_ENUM, FIELD_AT(struct unit_control_answer, status),
     .names = unit_control_status_names, .flags = FIELD_REQUIRED},
    {"version", FIELD_INTEGER, FIELD_AT(struct unit_control_answer, version),
     .flags = FIELD_OPTIONAL},
    {"error", FIELD_STRING, FIELD_AT(struct unit_control_answer, error), .flags = FIELD_OPTIONAL},
    {"field", FIELD_STRING, FIELD_AT(struct unit_control_answer, field), .flags = FIELD_OPTIONAL},
    {"state", FIELD_ENUM, FIELD_AT(struct unit_control_answer, state), .names = proxy_state_names},
    {"unit_id", FIELD_INTEGER, FIELD_AT(struct unit_control_answer, unit_id)},
    {"connections", FIELD_INTEGER, FIELD_AT(struct unit_control_answer, connections)},
    {"requests", FIELD_INTEGER, FIELD_AT(struct unit_control_answer, requests)},
    {"targets", FIELD_ARRAY, FIELD_ITEMS(struct unit_control_answer, targets, target_count),
     .item = FIELD_OBJECT, .schema = &target_report_schema},
    {"counters", FIELD_COUNTERS, FIELD_ITEMS(struct unit_control_answer, counters, counter_count)},
    {"listeners", FIELD_ARRAY, FIELD_ITEMS(struct unit_control_answer, listeners, listener_count),
     .item = FIELD_OBJECT, .schema = &listener_report_schema},
};

enum { ANSWER_FIELDS_WITHOUT_STATE = 4 };

static const struct schema state_schema = {
    "unit_control_state",
    "How a unit is",
    sizeof(struct unit_control_answer),
    SCHEMA_FIELDS(answer_fields),
};

static const struct schema answer_schema = {
    "unit_control_answer",
    "A unit's answer",
    sizeof(struct unit_control_answer),
    .fields = answer_fields,
    .field_count = ANSWER_FIELDS_WITHOUT_STATE,
};

int unit_control_request_parse(struct str line, struct arena *arena,
                               struct unit_control_request **ret_request, struct error *error)
{
    struct unit_control_request *request = arena_new(arena, struct unit_control_request);
    if (request == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    int r = schema_parse_text(&unit_control_request_schema, line, arena, request, error);
    if (r == 0 && request->command == UNIT_COMMAND_SNAPSHOT && request->snapshot[0] == '\0') {
        r = error_set_field(error, -EINVAL, "missing_field", "snapshot", "snapshot is missing");
    }
    if (r == 0) {
        *ret_request = request;
    }
    return r;
}

char *unit_control_request_print(const struct unit_control_request *request)
{
    return schema_print_text(&unit_control_request_schema, request);
}

int unit_control_answer_parse(struct str line, struct arena *arena,
                              struct unit_control_answer **ret_answer, struct error *error)
{
    struct unit_control_answer *answer = arena_new(arena, struct unit_control_answer);
    if (answer == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    json_t *json = NULL;
    int r = schema_read_json(line, &json, error);
    if (r == 0) {
        bool has_state = json_object_get(json, "state") != NULL;
        r = schema_parse(&state_schema, json, SCHEMA_OURS, "", arena, answer, error);
        answer->has_state = has_state;
    }
    if (r == 0) {
        *ret_answer = answer;
    }
    json_decref(json);
    return r;
}

char *unit_control_answer_print(const struct unit_control_answer *answer)
{
    return schema_print_text(answer->has_state ? &state_schema : &answer_schema, answer);
}
