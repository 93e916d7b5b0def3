// SPDX-License-Identifier: Apache-2.0
// The other half of the schema: defaults, printing, and the description for /openapi.json.
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "codec/json.h"
#include "model/schema.h"
#include "model/schema_private.h"

int64_t field_integer_max(const struct field *field)
{
    if (field->max > 0) {
        return field->max;
    }
    return field->size == 8 ? INT64_MAX : (INT64_C(1) << (8 * field->size)) - 1;
}

void field_integer_store(const struct field *field, void *at, uint64_t value)
{
    switch (field->size) {
    case 1:
        *(uint8_t *)at = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)at = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)at = (uint32_t)value;
        break;
    default:
        *(uint64_t *)at = value;
    }
}

uint64_t field_integer_load(const struct field *field, const void *at)
{
    switch (field->size) {
    case 1:
        return *(const uint8_t *)at;
    case 2:
        return *(const uint16_t *)at;
    case 4:
        return *(const uint32_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

int field_address_read(enum field_kind kind, struct str text, void *at)
{
    if (kind == FIELD_PREFIX) {
        return prefix_parse(text, at);
    }
    struct addr parsed;
    int r = kind == FIELD_IP ? addr_parse_ip(text, &parsed) : addr_parse(text, &parsed);
    if (r == 0) {
        struct addr *addr = at;
        parsed.port = kind == FIELD_IP ? addr->port : parsed.port;
        *addr = parsed;
    }
    return r;
}

static void default_fields(const struct schema *schema, void *object)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        schema_default_field(&schema->fields[i], object);
    }
}

void schema_default_field(const struct field *field, void *object)
{
    void *at = (char *)object + field->offset;
    switch (field->kind) {
    case FIELD_STRING:
    case FIELD_JSON:
        *(const char **)at = field->string != NULL ? field->string : "";
        break;
    case FIELD_INTEGER:
    case FIELD_TIME:
        field_integer_store(field, at, (uint64_t)field->number);
        break;
    case FIELD_BOOL:
        *(bool *)at = field->number != 0;
        break;
    case FIELD_ENUM:
        *(unsigned *)at = (unsigned)field->number;
        break;
    case FIELD_IP:
        ((struct addr *)at)->family = 0;
        break;
    case FIELD_ENDPOINT:
        memset(at, 0, sizeof(struct addr));
        break;
    case FIELD_PREFIX:
        memset(at, 0, sizeof(struct prefix));
        break;
    case FIELD_OBJECT:
        default_fields(field->schema, at);
        break;
    case FIELD_POINTER:
        *(void **)at = NULL;
        break;
    case FIELD_ARRAY:
    case FIELD_COUNTERS:
        *(void **)at = NULL;
        *(size_t *)(void *)((char *)object + field->count_offset) = 0;
        break;
    }
    if (field->string != NULL && field->kind >= FIELD_IP && field->kind <= FIELD_PREFIX) {
        field_address_read(field->kind, str_of(field->string), at);
    }
}

void schema_defaults(const struct schema *schema, void *object)
{
    memset(object, 0, schema->size);
    default_fields(schema, object);
}

// Text that is not UTF-8 (what some program printed, cut in the middle of a character) must not
// make a whole document unprintable: its bytes past ASCII become "?".
static json_t *print_string(const char *text)
{
    text = text != NULL ? text : "";
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return NULL;
    }
    for (char *c = copy; *c != '\0'; c++) {
        *c = (unsigned char)*c >= 0x80 ? '?' : *c;
    }
    json = json_string(copy);
    free(copy);
    return json;
}

static json_t *print_address(enum field_kind kind, const void *at)
{
    char buffer[ADDR_TEXT_LEN] = "";
    if (kind == FIELD_PREFIX) {
        const struct prefix *prefix = at;
        return json_string(prefix->family != 0 ? prefix_format(prefix, buffer) : "");
    }
    const struct addr *addr = at;
    if (addr->family == 0) {
        return json_string("");
    }
    return json_string(kind == FIELD_IP ? addr_format_ip(addr, buffer) : addr_format(addr, buffer));
}

static json_t *print_array(const struct field *field, const char *object)
{
    const char *items = *(const char *const *)(const void *)(object + field->offset);
    size_t count = *(const size_t *)(const void *)(object + field->count_offset);
    json_t *array = json_array();
    for (size_t i = 0; i < count && array != NULL; i++) {
        const char *at = items + i * field->size;
        json_t *item = field->item == FIELD_OBJECT ? schema_print(field->schema, at)
                       : field->item == FIELD_STRING
                           ? print_string(*(const char *const *)(const void *)at)
                           : print_address(field->item, at);
        if (item == NULL || json_array_append_new(array, item) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *print_counters(const struct field *field, const char *object)
{
    const struct counter *counters =
        *(const struct counter *const *)(const void *)(object + field->offset);
    size_t count = *(const size_t *)(const void *)(object + field->count_offset);
    json_t *json = json_object();
    for (size_t i = 0; i < count && json != NULL; i++) {
        uint64_t value = MIN(counters[i].value, (uint64_t)INT64_MAX);
        if (json_object_set_new(json, counters[i].name, json_integer((json_int_t)value)) < 0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

static json_t *print_value(const struct field *field, const char *object)
{
    const void *at = object + field->offset;
    char buffer[TIMESTAMP_LEN];
    switch (field->kind) {
    case FIELD_STRING:
        return print_string(*(const char *const *)at);
    case FIELD_INTEGER:
        return json_integer((json_int_t)MIN(field_integer_load(field, at), (uint64_t)INT64_MAX));
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_ENUM:
        return json_string(field->names[*(const unsigned *)at]);
    case FIELD_TIME:
        return json_string(timestamp_format(*(const uint64_t *)at, buffer));
    case FIELD_IP:
    case FIELD_ENDPOINT:
    case FIELD_PREFIX:
        return print_address(field->kind, at);
    case FIELD_OBJECT:
        return schema_print(field->schema, at);
    case FIELD_POINTER:
        return schema_print(field->schema, *(const void *const *)at);
    case FIELD_ARRAY:
        return print_array(field, object);
    case FIELD_COUNTERS:
        return print_counters(field, object);
    case FIELD_JSON:
        return json_loads(*(const char *const *)at, 0, NULL);
    }
    return NULL;
}

static bool is_absent(const struct field *field, const char *object)
{
    const void *at = object + field->offset;
    bool optional = (field->flags & FIELD_OPTIONAL) != 0;
    switch (field->kind) {
    case FIELD_STRING: {
        const char *text = *(const char *const *)at;
        return optional && (text == NULL || text[0] == '\0');
    }
    case FIELD_INTEGER:
        return optional && field_integer_load(field, at) == 0;
    case FIELD_BOOL:
        return optional && !*(const bool *)at;
    case FIELD_TIME:
        return *(const uint64_t *)at == 0;
    case FIELD_POINTER:
        return *(const void *const *)at == NULL;
    case FIELD_JSON: {
        const char *text = *(const char *const *)at;
        return text == NULL || text[0] == '\0';
    }
    case FIELD_IP:
    case FIELD_ENDPOINT:
        return optional && ((const struct addr *)at)->family == 0;
    case FIELD_PREFIX:
        return optional && ((const struct prefix *)at)->family == 0;
    case FIELD_ARRAY:
    case FIELD_COUNTERS:
        return optional && *(const size_t *)(const void *)(object + field->count_offset) == 0;
    case FIELD_ENUM:
    case FIELD_OBJECT:
        return false;
    }
    return false;
}

int schema_print_field(const struct field *field, const void *object, json_t **ret_json)
{
    if (is_absent(field, object)) {
        *ret_json = NULL;
        return 0;
    }
    json_t *json = print_value(field, object);
    if (json == NULL) {
        return -ENOMEM;
    }
    *ret_json = json;
    return 0;
}

json_t *schema_print(const struct schema *schema, const void *object)
{
    json_t *json = json_object();
    for (size_t i = 0; i < schema->field_count && json != NULL; i++) {
        json_t *value = NULL;
        int r = schema_print_field(&schema->fields[i], object, &value);
        if (r == 0 && value != NULL) {
            r = json_object_set_new(json, schema->fields[i].name, value);
        }
        if (r < 0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

char *schema_print_text(const struct schema *schema, const void *object)
{
    json_t *json = schema_print(schema, object);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

int schema_read_json(struct str text, json_t **ret_json, struct error *error)
{
    return json_doc_parse(text, JSON_DOCUMENT_BYTES_MAX, ret_json, error);
}

// ── The description ──────────────────────────────────────────────────────────────────────────

static json_t *describe_reference(const struct schema *schema)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema->name);
}

static json_t *describe_text(const char *format)
{
    return format != NULL ? json_pack("{s:s, s:s}", "type", "string", "format", format)
                          : json_pack("{s:s}", "type", "string");
}

static json_t *describe_kind(enum field_kind kind, const struct field *field)
{
    switch (kind) {
    case FIELD_STRING:
        return describe_text(NULL);
    case FIELD_INTEGER:
        return json_pack("{s:s}", "type", "integer");
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_ENUM: {
        json_t *names = json_array();
        for (size_t i = 0; field->names[i] != NULL; i++) {
            json_array_append_new(names, json_string(field->names[i]));
        }
        return json_pack("{s:s, s:o}", "type", "string", "enum", names);
    }
    case FIELD_TIME:
        return describe_text("date-time");
    case FIELD_IP:
        return describe_text("ip-address");
    case FIELD_ENDPOINT:
        return describe_text("ip-address-and-port");
    case FIELD_PREFIX:
        return describe_text("ip-prefix");
    case FIELD_OBJECT:
    case FIELD_POINTER:
        return describe_reference(field->schema);
    case FIELD_ARRAY:
        return json_pack("{s:s, s:o}", "type", "array", "items", describe_kind(field->item, field));
    case FIELD_COUNTERS:
        return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type",
                         "integer");
    case FIELD_JSON:
        return json_pack("{s:s}", "type", "object");
    }
    return NULL;
}

static void describe_range(json_t *json, const struct field *field)
{
    const char *low = NULL, *high = NULL;
    int64_t max = field->max;
    if (field->kind == FIELD_INTEGER) {
        low = "minimum";
        high = "maximum";
        max = field_integer_max(field);
    } else if (field->kind == FIELD_STRING) {
        low = "minLength";
        high = "maxLength";
    } else if (field->kind == FIELD_ARRAY) {
        low = "minItems";
        high = "maxItems";
    }
    if (low != NULL && (field->min > 0 || field->kind == FIELD_INTEGER)) {
        json_object_set_new(json, low, json_integer(field->min));
    }
    if (high != NULL && max > 0) {
        json_object_set_new(json, high, json_integer(max));
    }
}

static void describe_default(json_t *json, const struct field *field)
{
    if ((field->flags & (FIELD_REQUIRED | FIELD_READ_ONLY)) != 0) {
        return;
    }
    json_t *value = NULL;
    if (field->kind == FIELD_INTEGER) {
        value = json_integer(field->number);
    } else if (field->kind == FIELD_BOOL) {
        value = json_boolean(field->number != 0);
    } else if (field->kind == FIELD_ENUM) {
        value = json_string(field->names[field->number]);
    } else if (field->string != NULL) {
        value = json_string(field->string);
    }
    if (value != NULL) {
        json_object_set_new(json, "default", value);
    }
}

json_t *schema_describe(const struct schema *schema)
{
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        json_t *json = describe_kind(field->kind, field);
        describe_range(json, field);
        describe_default(json, field);
        if (field->text != NULL) {
            json_object_set_new(json, "description", json_string(field->text));
        }
        if ((field->flags & FIELD_READ_ONLY) != 0) {
            json_object_set_new(json, "readOnly", json_true());
        }
        if ((field->flags & FIELD_REQUIRED) != 0) {
            json_array_append_new(required, json_string(field->name));
        }
        json_object_set_new(properties, field->name, json);
    }
    json_t *json = json_pack("{s:s, s:s, s:o}", "type", "object", "description", schema->text,
                             "properties", properties);
    if (json_array_size(required) > 0) {
        json_object_set_new(json, "required", required);
    } else {
        json_decref(required);
    }
    return json;
}
