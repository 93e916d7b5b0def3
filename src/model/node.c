// SPDX-License-Identifier: Apache-2.0
#include "model/node.h"

const char *const node_state_names[] = {"ready", "lost", NULL};

static const struct field node_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct node, id)},
    {"name", FIELD_STRING, FIELD_AT(struct node, name)},
    {"state", FIELD_ENUM, FIELD_AT(struct node, state), .names = node_state_names},
    {"runtime", FIELD_ENUM, FIELD_AT(struct node, runtime), .names = runtime_names},
    {"last_report_at", FIELD_TIME, FIELD_AT(struct node, last_report_at)},
    {"units", FIELD_INTEGER, FIELD_AT(struct node, units)},
};

const struct schema node_schema = {
    "node",
    "A Linux machine that runs units",
    sizeof(struct node),
    SCHEMA_FIELDS(node_fields),
};
