// SPDX-License-Identifier: Apache-2.0
// Parsing by tables. One function a kind of field; parse_object walks the rows. A path is a chain
// of stack frames that is only turned into text when something is wrong.
#include "model/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/addr.h"
#include "model/schema_private.h"

struct path {
    const struct path *up;
    const char *name; // NULL: an array's item
    size_t index;
};

struct parse {
    enum schema_mode mode;
    struct arena *arena;
    struct error *error;
};

static size_t path_format(const struct path *path, char *buffer, size_t size)
{
    size_t len = path->up != NULL ? path_format(path->up, buffer, size) : 0;
    size_t room = len < size ? size - len : 0;
    char *at = room > 0 ? buffer + len : NULL;
    int wrote = path->name == NULL ? snprintf(at, room, "[%zu]", path->index)
                                   : snprintf(at, room, "%s%.48s", len > 0 ? "." : "", path->name);
    return len + (size_t)(wrote > 0 ? wrote : 0);
}

__attribute__((format(printf, 4, 5))) static int refuse(const struct parse *parse,
                                                        const struct path *path, const char *reason,
                                                        const char *format, ...)
{
    char field[sizeof(((struct error *)NULL)->field)] = "", text[192];
    if (path != NULL) {
        path_format(path, field, sizeof(field));
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set_field(parse->error, -EINVAL, reason, field, "%s %s",
                           field[0] != '\0' ? field : "the document", text);
}

static int out_of_memory(const struct parse *parse)
{
    return error_set(parse->error, -ENOMEM, "out of memory");
}

static const char *article_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static int refuse_type(const struct parse *parse, const struct path *path, const char *wanted,
                       const json_t *json)
{
    return refuse(parse, path, "wrong_type", "must be %s, not %s", wanted, article_of(json));
}

static int copy_string(const struct parse *parse, const json_t *json, const char **ret_text)
{
    struct str copy =
        arena_copy(parse->arena, (struct str){json_string_value(json), json_string_length(json)});
    if (copy.at == NULL) {
        return out_of_memory(parse);
    }
    *ret_text = copy.at;
    return 0;
}

static int parse_string(const struct parse *parse, const struct field *field, const json_t *json,
                        const struct path *path, const char **ret_text)
{
    if (!json_is_string(json)) {
        return refuse_type(parse, path, "a string", json);
    }
    size_t len = json_string_length(json);
    bool ours = parse->mode == SCHEMA_OURS;
    size_t max = field->max > 0 ? (size_t)field->max : ours ? SIZE_MAX : SCHEMA_STRING_MAX;
    if (len < (size_t)field->min || len > max) {
        if (field->min > 0 && len == 0) {
            return refuse(parse, path, "out_of_range", "must not be empty");
        }
        return refuse(parse, path, "out_of_range", "must have %" PRId64 " to %zu bytes, not %zu",
                      field->min, max, len);
    }
    const char *text = json_string_value(json);
    if (!ours && str_has_controls((struct str){text, len})) {
        return refuse(parse, path, "invalid_value", "must not hold control characters");
    }
    return copy_string(parse, json, ret_text);
}

static int parse_integer(const struct parse *parse, const struct field *field, const json_t *json,
                         const struct path *path, void *ret_value)
{
    if (!json_is_integer(json)) {
        return refuse_type(parse, path, "an integer", json);
    }
    json_int_t value = json_integer_value(json);
    int64_t max = field_integer_max(field);
    if (value < field->min || value > max) {
        return refuse(parse, path, "out_of_range",
                      "must be from %" PRId64 " to %" PRId64 ", not %" JSON_INTEGER_FORMAT,
                      field->min, max, value);
    }
    field_integer_store(field, ret_value, (uint64_t)value);
    return 0;
}

static int parse_enum(const struct parse *parse, const struct field *field, const json_t *json,
                      const struct path *path, unsigned *ret_value)
{
    if (!json_is_string(json)) {
        return refuse_type(parse, path, "a string", json);
    }
    const char *text = json_string_value(json);
    char all[128] = "";
    size_t len = 0;
    for (unsigned i = 0; field->names[i] != NULL; i++) {
        if (((field->flags & FIELD_ANY_CASE) != 0 ? strcasecmp(text, field->names[i])
                                                  : strcmp(text, field->names[i])) == 0) {
            *ret_value = i;
            return 0;
        }
        len +=
            (size_t)snprintf(all + MIN(len, sizeof(all) - 1), sizeof(all) - MIN(len, sizeof(all)),
                             "%s%s", i > 0 ? ", " : "", field->names[i]);
    }
    return refuse(parse, path, "invalid_value", "must be one of %s, not \"%.32s\"", all, text);
}

static int parse_time(const struct parse *parse, const json_t *json, const struct path *path,
                      uint64_t *ret_ms)
{
    if (!json_is_string(json)) {
        return refuse_type(parse, path, "a string", json);
    }
    const char *text = json_string_value(json);
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    unsigned ms = 0;
    int used = 0;
    if (rest != NULL && *rest == '.' && sscanf(rest, ".%3u%n", &ms, &used) == 1 && used == 4) {
        rest += used;
    }
    time_t seconds = rest != NULL && strcmp(rest, "Z") == 0 ? timegm(&tm) : -1;
    if (seconds < 0) {
        return refuse(parse, path, "invalid_value",
                      "must be a time such as 2026-01-31T12:00:00.000Z");
    }
    *ret_ms = (uint64_t)seconds * 1000 + ms;
    return 0;
}

// FIELD_IP, FIELD_ENDPOINT and FIELD_PREFIX.
static int parse_address(const struct parse *parse, enum field_kind kind, const json_t *json,
                         const struct path *path, void *ret_value)
{
    if (!json_is_string(json)) {
        return refuse_type(parse, path, "a string", json);
    }
    struct str text = {json_string_value(json), json_string_length(json)};
    int r = field_address_read(kind, text, ret_value);
    if (r < 0 && !(text.len == 0 && parse->mode == SCHEMA_OURS)) {
        static const char *const wanted[] = {
            [FIELD_IP] = "an IP address such as 10.1.0.11",
            [FIELD_ENDPOINT] = "an address with port such as 10.1.0.11:80",
            [FIELD_PREFIX] = "a subnet such as 10.1.0.0/24 whose host bits are zero",
        };
        return refuse(parse, path, "invalid_value", "must be %s, not \"%.48s\"", wanted[kind],
                      text.at);
    }
    return 0;
}

static int parse_object(const struct parse *parse, const struct schema *schema, const json_t *json,
                        enum schema_mode mode, const struct path *path, void *object);

static int parse_pointer(const struct parse *parse, const struct field *field, const json_t *json,
                         enum schema_mode mode, const struct path *path, void *ret_pointer)
{
    void *before = *(void **)ret_pointer, *object = arena_alloc(parse->arena, field->schema->size);
    if (object == NULL) {
        return out_of_memory(parse);
    }
    if (mode == SCHEMA_PATCH && before != NULL) {
        memcpy(object, before, field->schema->size);
    } else {
        mode = mode == SCHEMA_PATCH ? SCHEMA_CREATE : mode;
        schema_defaults(field->schema, object);
    }
    int r = parse_object(parse, field->schema, json, mode, path, object);
    if (r < 0) {
        return r;
    }
    *(void **)ret_pointer = object;
    return 0;
}

static int parse_array(const struct parse *parse, const struct field *field, const json_t *json,
                       enum schema_mode mode, const struct path *path, char *base)
{
    if (!json_is_array(json)) {
        return refuse_type(parse, path, "an array", json);
    }
    size_t count = json_array_size(json), max = field->max > 0 ? (size_t)field->max : SIZE_MAX;
    if (count < (size_t)field->min || count > max) {
        return refuse(parse, path, "out_of_range", "must have %" PRId64 " to %zu items, not %zu",
                      field->min, max, count);
    }
    char *items = count > 0 ? arena_alloc_array(parse->arena, field->size, count) : NULL;
    if (count > 0 && items == NULL) {
        return out_of_memory(parse);
    }
    mode = mode == SCHEMA_PATCH ? SCHEMA_CREATE : mode;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(json, i);
        char *at = items + i * field->size;
        struct path item_path = {path, NULL, i};
        int r;
        if (field->item == FIELD_OBJECT) {
            schema_defaults(field->schema, at);
            r = parse_object(parse, field->schema, item, mode, &item_path, at);
        } else if (field->item == FIELD_STRING) {
            static const struct field any = {.min = 1};
            r = parse_string(parse, &any, item, &item_path, (const char **)(void *)at);
        } else {
            r = parse_address(parse, field->item, item, &item_path, at);
        }
        if (r < 0) {
            return r;
        }
    }
    *(char **)(void *)(base + field->offset) = items;
    *(size_t *)(void *)(base + field->count_offset) = count;
    return 0;
}

static int parse_counters(const struct parse *parse, const struct field *field, const json_t *json,
                          const struct path *path, char *base)
{
    if (!json_is_object(json)) {
        return refuse_type(parse, path, "an object", json);
    }
    size_t count = json_object_size(json), n = 0;
    struct counter *counters = count > 0 ? arena_array(parse->arena, struct counter, count) : NULL;
    if (count > 0 && counters == NULL) {
        return out_of_memory(parse);
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value)
    {
        struct path item_path = {path, name, 0};
        if (!json_is_integer(value) || json_integer_value(value) < 0) {
            return refuse(parse, &item_path, "wrong_type", "must be an integer of 0 or more");
        }
        counters[n].name = arena_copy(parse->arena, str_of(name)).at;
        if (counters[n].name == NULL) {
            return out_of_memory(parse);
        }
        counters[n++].value = (uint64_t)json_integer_value(value);
    }
    *(struct counter **)(void *)(base + field->offset) = counters;
    *(size_t *)(void *)(base + field->count_offset) = count;
    return 0;
}

static int parse_json(const struct parse *parse, const json_t *json, const struct path *path,
                      const char **ret_text)
{
    if (!json_is_object(json)) {
        return refuse_type(parse, path, "an object", json);
    }
    char *text = json_dumps(json, JSON_COMPACT);
    struct str copy = text != NULL ? arena_copy(parse->arena, str_of(text)) : (struct str){0};
    free(text);
    if (copy.at == NULL) {
        return out_of_memory(parse);
    }
    *ret_text = copy.at;
    return 0;
}

static int parse_field(const struct parse *parse, const struct field *field, const json_t *json,
                       enum schema_mode mode, const struct path *path, char *object)
{
    void *at = object + field->offset;
    switch (field->kind) {
    case FIELD_STRING:
        return parse_string(parse, field, json, path, at);
    case FIELD_INTEGER:
        return parse_integer(parse, field, json, path, at);
    case FIELD_BOOL:
        if (!json_is_boolean(json)) {
            return refuse_type(parse, path, "true or false", json);
        }
        *(bool *)at = json_is_true(json);
        return 0;
    case FIELD_ENUM:
        return parse_enum(parse, field, json, path, at);
    case FIELD_TIME:
        return parse_time(parse, json, path, at);
    case FIELD_IP:
    case FIELD_ENDPOINT:
    case FIELD_PREFIX:
        return parse_address(parse, field->kind, json, path, at);
    case FIELD_OBJECT:
        return parse_object(parse, field->schema, json, mode, path, at);
    case FIELD_POINTER:
        return parse_pointer(parse, field, json, mode, path, at);
    case FIELD_ARRAY:
        return parse_array(parse, field, json, mode, path, object);
    case FIELD_COUNTERS:
        return parse_counters(parse, field, json, path, object);
    case FIELD_JSON:
        return parse_json(parse, json, path, at);
    }
    return -EINVAL;
}

static const struct field *find_field(const struct schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        if (strcmp(schema->fields[i].name, name) == 0) {
            return &schema->fields[i];
        }
    }
    return NULL;
}

static int refuse_unknown_fields(const struct parse *parse, const struct schema *schema,
                                 const json_t *json, const struct path *path)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value)
    {
        if (find_field(schema, name) == NULL) {
            struct path field_path = {path, name, 0};
            return refuse(parse, &field_path, "unknown_field", "is not a field of %s",
                          schema->name);
        }
    }
    return 0;
}

// A read-only or immutable field may be sent back as it was read, nothing else.
static int check_unchanged(const struct parse *parse, const struct field *field, const json_t *json,
                           const struct path *path, const void *object)
{
    json_t *now = NULL;
    int r = schema_print_field(field, object, &now);
    if (r < 0) {
        return out_of_memory(parse);
    }
    bool same = now != NULL && json_equal(now, json);
    json_decref(now);
    if (same) {
        return 0;
    }
    return (field->flags & FIELD_READ_ONLY) != 0
               ? refuse(parse, path, "read_only_field", "is set by Weir; leave it out")
               : refuse(parse, path, "immutable_field", "is fixed once the object exists");
}

static int parse_object(const struct parse *parse, const struct schema *schema, const json_t *json,
                        enum schema_mode mode, const struct path *path, void *object)
{
    if (!json_is_object(json)) {
        return refuse_type(parse, path, "an object", json);
    }
    int r = mode == SCHEMA_OURS ? 0 : refuse_unknown_fields(parse, schema, json, path);
    for (size_t i = 0; i < schema->field_count && r == 0; i++) {
        const struct field *field = &schema->fields[i];
        const json_t *value = json_object_get(json, field->name);
        struct path field_path = {path, field->name, 0};
        if (mode == SCHEMA_OURS && json_is_null(value)) {
            value = NULL;
        }
        if (value == NULL) {
            if (mode != SCHEMA_PATCH && (field->flags & FIELD_REQUIRED) != 0) {
                r = refuse(parse, &field_path, "missing_field", "is missing");
            }
        } else if (mode == SCHEMA_CREATE && (field->flags & FIELD_READ_ONLY) != 0) {
            r = refuse(parse, &field_path, "read_only_field", "is set by Weir; leave it out");
        } else if (mode == SCHEMA_PATCH &&
                   (field->flags & (FIELD_READ_ONLY | FIELD_IMMUTABLE)) != 0) {
            r = check_unchanged(parse, field, value, &field_path, object);
        } else if (mode == SCHEMA_PATCH && json_is_null(value)) {
            if ((field->flags & FIELD_REQUIRED) != 0) {
                r = refuse(parse, &field_path, "missing_field", "cannot be removed");
            } else {
                schema_default_field(field, object);
            }
        } else {
            r = parse_field(parse, field, value, mode, &field_path, object);
        }
    }
    return r;
}

int schema_parse(const struct schema *schema, const json_t *json, enum schema_mode mode,
                 const char *base, struct arena *arena, void *object, struct error *error)
{
    struct parse parse = {mode, arena, error};
    struct path root = {NULL, base, 0};
    void *draft = arena_alloc(arena, schema->size);
    if (draft == NULL) {
        return out_of_memory(&parse);
    }
    if (mode == SCHEMA_PATCH) {
        memcpy(draft, object, schema->size);
    } else {
        schema_defaults(schema, draft);
    }
    int r = parse_object(&parse, schema, json, mode, base[0] != '\0' ? &root : NULL, draft);
    if (r == 0) {
        memcpy(object, draft, schema->size);
    }
    return r;
}

int schema_parse_text(const struct schema *schema, struct str text, struct arena *arena,
                      void *object, struct error *error)
{
    json_t *json = NULL;
    int r = schema_read_json(text, &json, error);
    if (r == 0) {
        r = schema_parse(schema, json, SCHEMA_OURS, "", arena, object, error);
    }
    json_decref(json);
    return r;
}
