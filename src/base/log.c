// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "weir";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_open(const char *program, enum log_level level)
{
    log_program = program;
    log_threshold = level;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        if (strcmp(text, level_names[level]) == 0) {
            *ret_level = (enum log_level)level;
            return 0;
        }
    }
    return -EINVAL;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > log_threshold) {
        return;
    }
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char line[4 * sizeof(text) + 128];
    size_t at = strftime(line, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    at += (size_t)snprintf(line + at, 96, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                           level_names[level], log_program);
    for (const char *from = text; *from != '\0'; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte < 0x20 || byte >= 0x7f) {
            at += (size_t)snprintf(line + at, 5, "\\x%02x", byte);
        } else {
            line[at++] = (char)byte;
        }
    }
    line[at++] = '\n';
    // One write, so that lines of several threads and processes never mix.
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
}
