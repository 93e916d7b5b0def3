// SPDX-License-Identifier: Apache-2.0
#include "model/resolved.h"

static const struct field resolved_fields[] = {
    {"host", FIELD_STRING, FIELD_AT(struct resolved, host), .flags = FIELD_REQUIRED},
    {"addresses", FIELD_ARRAY, FIELD_ITEMS(struct resolved, addresses, address_count),
     .item = FIELD_IP},
    {"at", FIELD_TIME, FIELD_AT(struct resolved, at)},
    {"error", FIELD_STRING, FIELD_AT(struct resolved, error), .flags = FIELD_OPTIONAL},
};

const struct schema resolved_schema = {
    "resolved",
    "What a host name resolved to",
    sizeof(struct resolved),
    SCHEMA_FIELDS(resolved_fields),
};
