// SPDX-License-Identifier: Apache-2.0
#include "agent/names.h"

#include <inttypes.h>
#include <stdio.h>

enum { UNIT_USER_FIRST = 2000000000, UNIT_USERS = 100000000 };

bool instance_valid(const char *instance)
{
    size_t length = strlen(instance);
    if (length == 0) {
        return true;
    }
    bool like_an_id = (instance[0] == 'p' || instance[0] == 'u') && length > 1 &&
                      strspn(instance + 1, "0123456789") == length - 1;
    return length <= INSTANCE_MAX && instance[0] >= 'a' && instance[0] <= 'z' && !like_an_id &&
           strspn(instance, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

bool node_name_valid(const char *node)
{
    size_t length = strlen(node);
    return length >= 1 && length <= 63 && node[0] != '.' &&
           strspn(node, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               length;
}

// What stands before the id.
static void name_begin(const char *instance, enum name_kind kind, char buffer[static NAME_LEN])
{
    const char *dash = instance[0] != '\0' ? "-" : "";
    switch (kind) {
    case NAME_PROJECT:
        snprintf(buffer, NAME_LEN, "weir-%s%sp", instance, dash);
        break;
    case NAME_UNIT:
        snprintf(buffer, NAME_LEN, "weir-%s%su", instance, dash);
        break;
    case NAME_FRONT:
        snprintf(buffer, NAME_LEN, "wf%s%s", instance, dash);
        break;
    case NAME_BACK:
        snprintf(buffer, NAME_LEN, "wb%s%s", instance, dash);
        break;
    }
}

const char *name_of(const char *instance, enum name_kind kind, uint64_t id,
                    char buffer[static NAME_LEN])
{
    name_begin(instance, kind, buffer);
    size_t length = strlen(buffer);
    snprintf(buffer + length, NAME_LEN - length, "%" PRIu64, id);
    return buffer;
}

int name_read(const char *instance, enum name_kind kind, const char *name, uint64_t *ret_id)
{
    char begin[NAME_LEN];
    name_begin(instance, kind, begin);
    size_t length = strlen(begin);
    uint64_t id;
    if (strncmp(name, begin, length) != 0 || name[length] == '0' ||
        str_to_u64(str_of(name + length), UINT64_MAX, &id) < 0) {
        return -EINVAL;
    }
    *ret_id = id;
    return 0;
}

const char *name_of_bridge(const char *instance, char buffer[static NAME_LEN])
{
    snprintf(buffer, NAME_LEN, "weir%s", instance[0] != '\0' ? instance : "0");
    return buffer;
}

const char *name_of_table(const char *instance, char buffer[static NAME_LEN])
{
    snprintf(buffer, NAME_LEN, "weir%s%s", instance[0] != '\0' ? "-" : "", instance);
    return buffer;
}

uint32_t unit_user(uint64_t unit_id)
{
    return UNIT_USER_FIRST + (uint32_t)(unit_id % UNIT_USERS);
}
