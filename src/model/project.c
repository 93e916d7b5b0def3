// SPDX-License-Identifier: Apache-2.0
#include "model/project.h"

#include "model/label.h"

static const struct field project_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct project, id), .flags = FIELD_READ_ONLY},
    {"generation", FIELD_INTEGER, FIELD_AT(struct project, generation), .flags = FIELD_READ_ONLY,
     .text = "Grows with each change; also the ETag"},
    {"name", FIELD_STRING, FIELD_AT(struct project, name), .min = 1, .max = NAME_MAX_LEN,
     .flags = FIELD_REQUIRED | FIELD_IMMUTABLE, .text = "Unique, and so is its label"},
    {"label", FIELD_STRING, FIELD_AT(struct project, label), .flags = FIELD_READ_ONLY,
     .text = "The name's form in DNS"},
    {"user", FIELD_STRING, FIELD_AT(struct project, user), .max = 255,
     .text = "Who it is for; kept as given"},
    {"subnet", FIELD_PREFIX, FIELD_AT(struct project, subnet),
     .text = "IPv4, /16 to /28; left out: the first free /24 of the controller's pool"},
    {"subnet_chosen", FIELD_BOOL, FIELD_AT(struct project, subnet_chosen),
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL, .text = "The subnet is the user's choice"},
    {"deleting", FIELD_BOOL, FIELD_AT(struct project, deleting),
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL, .text = "It goes once nothing of it runs"},
    {"created_at", FIELD_TIME, FIELD_AT(struct project, created_at), .flags = FIELD_READ_ONLY},
    {"updated_at", FIELD_TIME, FIELD_AT(struct project, updated_at), .flags = FIELD_READ_ONLY},
};

const struct schema project_schema = {
    "project",
    "A tenant: it owns a network with a subnet, load balancers and target groups",
    sizeof(struct project),
    SCHEMA_FIELDS(project_fields),
};
