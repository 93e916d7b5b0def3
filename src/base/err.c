// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void error_fill(struct error *error, int code, const char *reason, const char *field,
                       const char *format, va_list arguments)
{
    if (error == NULL || error->code != 0) {
        return;
    }
    error->code = code;
    snprintf(error->reason, sizeof(error->reason), "%s", reason != NULL ? reason : "");
    snprintf(error->field, sizeof(error->field), "%s", field != NULL ? field : "");
    vsnprintf(error->text, sizeof(error->text), format, arguments);
}

int error_set(struct error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_fill(error, code, NULL, NULL, format, arguments);
    va_end(arguments);
    return code;
}

int error_set_field(struct error *error, int code, const char *reason, const char *field,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_fill(error, code, reason, field, format, arguments);
    va_end(arguments);
    return code;
}

void free_ptr(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}
