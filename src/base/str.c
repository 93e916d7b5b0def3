// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

int str_to_u64(struct str text, uint64_t max, uint64_t *ret_value)
{
    if (text.len == 0) {
        return -EINVAL;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') {
            return -EINVAL;
        }
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.at[i] - '0'), &value) || value > max) {
            return -ERANGE;
        }
    }
    *ret_value = value;
    return 0;
}

bool str_has_controls(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char *c = (const unsigned char *)text.at + i;
        size_t left = text.len - i;
        if (c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && left > 1 && c[1] < 0xa0)) {
            return true;
        }
        if (c[0] == 0xe2 && left > 2 &&
            ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
             (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9))) {
            return true;
        }
    }
    return false;
}

char *str_copy(struct str text)
{
    char *copy = malloc(text.len + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (text.len > 0) {
        memcpy(copy, text.at, text.len);
    }
    copy[text.len] = '\0';
    return copy;
}
