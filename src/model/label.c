// SPDX-License-Identifier: Apache-2.0
#include "model/label.h"

#include <string.h>

int name_validate(const char *name, const char *field, struct error *error)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN) {
        return error_set_field(error, -EINVAL, "out_of_range", field,
                               "a name has 1 to %d bytes, not %zu", NAME_MAX_LEN, len);
    }
    if (strspn(name, "0123456789") == len) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "the name %s is all digits, which is how ids look", name);
    }
    if (strchr(name, '/') != NULL || str_has_controls(str_of(name))) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "a name holds no control characters and no /");
    }
    char label[LABEL_LEN];
    if (label_derive(str_of(name), label) < 0) {
        return error_set_field(error, -EINVAL, "invalid_value", field,
                               "the name \"%s\" has no letter a-z or digit for its DNS form", name);
    }
    return 0;
}

int label_derive(struct str name, char ret_label[static LABEL_LEN])
{
    size_t len = 0;
    bool gap = false;
    for (size_t i = 0; i < name.len && len < LABEL_LEN - 1; i++) {
        char c = ascii_lower(name.at[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) {
            gap = len > 0;
            continue;
        }
        if (gap && len < LABEL_LEN - 2) {
            ret_label[len++] = '-';
        }
        gap = false;
        ret_label[len++] = c;
    }
    ret_label[len] = '\0';
    return len > 0 ? 0 : -EINVAL;
}
