// SPDX-License-Identifier: Apache-2.0
#include "model/event.h"

static const struct field event_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct event, id)},
    {"at", FIELD_TIME, FIELD_AT(struct event, at)},
    {"kind", FIELD_STRING, FIELD_AT(struct event, kind), .text = "A stable word: unit_failed"},
    {"object", FIELD_STRING, FIELD_AT(struct event, object), .text = "The kind of object"},
    {"object_id", FIELD_INTEGER, FIELD_AT(struct event, object_id)},
    {"project_id", FIELD_INTEGER, FIELD_AT(struct event, project_id)},
    {"load_balancer_id", FIELD_INTEGER, FIELD_AT(struct event, load_balancer_id)},
    {"step", FIELD_INTEGER, FIELD_AT(struct event, step),
     .text = "Of the crash workflow, 1 to 5; 0 otherwise"},
    {"what", FIELD_STRING, FIELD_AT(struct event, what)},
    {"why", FIELD_STRING, FIELD_AT(struct event, why)},
};

const struct schema event_schema = {
    "event",
    "When, what, why: something that Weir did or saw",
    sizeof(struct event),
    SCHEMA_FIELDS(event_fields),
};
