// SPDX-License-Identifier: Apache-2.0
#include "model/unit.h"

const char *const unit_role_names[] = {"primary", "replacement", NULL};
const char *const unit_state_names[] = {"starting", "serving",  "failed", "leaving",
                                        "draining", "deleting", NULL};

static const struct field unit_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct unit, id)},
    {"load_balancer_id", FIELD_INTEGER, FIELD_AT(struct unit, load_balancer_id)},
    {"project_id", FIELD_INTEGER, FIELD_AT(struct unit, project_id)},
    {"node", FIELD_STRING, FIELD_AT(struct unit, node), .text = "The node that runs it"},
    {"front", FIELD_IP, FIELD_AT(struct unit, front), .text = "Where clients reach it"},
    {"back", FIELD_IP, FIELD_AT(struct unit, back), .text = "How it reaches targets"},
    {"role", FIELD_ENUM, FIELD_AT(struct unit, role), .names = unit_role_names},
    {"replaces", FIELD_INTEGER, FIELD_AT(struct unit, replaces),
     .text = "The unit that a replacement stands for"},
    {"state", FIELD_ENUM, FIELD_AT(struct unit, state), .names = unit_state_names},
    {"state_at", FIELD_TIME, FIELD_AT(struct unit, state_at), .text = "When this state began"},
    {"reason", FIELD_STRING, FIELD_AT(struct unit, reason), .text = "Why it is in this state"},
    {"created_at", FIELD_TIME, FIELD_AT(struct unit, created_at)},
    {"updated_at", FIELD_TIME, FIELD_AT(struct unit, updated_at)},
};

const struct schema unit_schema = {
    "unit",
    "One running container that serves one load balancer",
    sizeof(struct unit),
    SCHEMA_FIELDS(unit_fields),
};
