// SPDX-License-Identifier: Apache-2.0
// Errors as users see them: RFC 9457 for REST, and the envelope's own form.
#include <string.h>

#include "api/call.h"

static const struct {
    int code;
    unsigned status;
    const char *reason;
} rows[] = {
    {-EINVAL, 400, "invalid"},          {-E2BIG, 400, "json_too_deep"},
    {-ERANGE, 400, "out_of_range"},     {-EACCES, 403, "forbidden"},
    {-ENOENT, 404, "not_found"},        {-EPERM, 405, "method_not_allowed"},
    {-EEXIST, 409, "exists"},           {-EBUSY, 409, "in_use"},
    {-EAGAIN, 409, "conflict"},         {-ESTALE, 412, "precondition_failed"},
    {-EFBIG, 413, "too_large"},         {-ETIMEDOUT, 504, "timed_out"},
    {-ENOMEM, 503, "out_of_memory"},    {-ENOSPC, 503, "storage_full"},
    {-EROFS, 503, "storage_read_only"}, {-EIO, 503, "storage_failed"},
    {-EUCLEAN, 503, "storage_corrupt"},
};

unsigned problem_status(const struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].code == error->code) {
            return rows[i].status;
        }
    }
    return 500;
}

const char *problem_code(const struct error *error)
{
    if (error->reason[0] != '\0') {
        return error->reason;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].code == error->code) {
            return rows[i].reason;
        }
    }
    return "failed";
}

// Texts may quote what a user sent, cut in the middle of a character; then their bytes past ASCII
// become "?".
static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    char copy[sizeof(((struct error *)NULL)->text)];
    size_t len = 0;
    for (; text[len] != '\0' && len + 1 < sizeof(copy); len++) {
        copy[len] = (unsigned char)text[len] >= 0x80 ? '?' : text[len];
    }
    copy[len] = '\0';
    return json_string(copy);
}

json_t *problem_json(const struct error *error)
{
    unsigned status = problem_status(error);
    struct str title = http1_status_reason(status);
    json_t *json = json_pack("{s:s, s:s%, s:i, s:s, s:o}", "type", "about:blank", "title", title.at,
                             title.len, "status", (int)status, "code", problem_code(error),
                             "detail", text_json(error->text));
    if (error->field[0] != '\0') {
        json_object_set_new(json, "field", text_json(error->field));
    }
    return json;
}

json_t *envelope_error_json(const json_t *body, const struct error *error)
{
    static const char *const repeated[] = {"action", "type"};
    json_t *why =
        json_pack("{s:s, s:o}", "code", problem_code(error), "message", text_json(error->text));
    if (error->field[0] != '\0') {
        json_object_set_new(why, "field", text_json(error->field));
    }
    json_t *json = json_pack("{s:s}", "status", "fail");
    for (size_t i = 0; i < ARRAY_LEN(repeated); i++) {
        json_t *value = json_object_get(body, repeated[i]);
        if (json_is_string(value)) {
            json_object_set(json, repeated[i], value);
        }
    }
    json_object_set_new(json, "error", why);
    return json;
}
