// SPDX-License-Identifier: Apache-2.0
// Errors. Functions return 0 (or a count) on success and a negative errno on failure, and leave
// their outputs untouched when they fail. Text for a person is made once, at the border where the
// cause is known, in a `struct error` that the caller owns; most functions need none.
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct error {
    int code;        // negative errno, 0 when nothing failed
    char reason[48]; // a stable word for programs: "subnet_overlaps"; empty: derived from code
    char field[64];  // the path of the input field at fault: "backend.entities[2]"; may be empty
    char text[256];  // one sentence for a person, without a full stop at its end
};

// Fills *error (which may be NULL) and returns code, so that `return error_set(…)` reads well.
// Only the first failure is kept: a later call on a set error returns code and changes nothing.
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same with a stable reason and the field at fault (either may be NULL).
int error_set_field(struct error *error, int code, const char *reason, const char *field,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

// Cleanup by attribute: cleanup(free_ptr) char *text = NULL;
#define cleanup(function) __attribute__((cleanup(function)))
void free_ptr(void *pointer_to_pointer);
void close_fd(int *fd); // closes when ≥ 0

// Hands ownership out of a variable with a cleanup.
#define TAKE_PTR(pointer)                   \
    ({                                      \
        typeof(pointer) taken_ = (pointer); \
        (pointer) = NULL;                   \
        taken_;                             \
    })
#define TAKE_FD(fd)        \
    ({                     \
        int taken_ = (fd); \
        (fd) = -1;         \
        taken_;            \
    })

#define ARRAY_LEN(array)                    (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define MIN(a, b)                           ((a) < (b) ? (a) : (b))
#define MAX(a, b)                           ((a) > (b) ? (a) : (b))
