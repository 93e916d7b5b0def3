// SPDX-License-Identifier: Apache-2.0
// The log of a program: one line an event, to stderr. Only programs (agent, control, proxy, bin)
// log; libraries return errors. Every line is escaped as a whole: a control byte or a byte ≥ 0x80
// that came from the network is written as \xNN, so a tenant can neither forge a line nor drive a
// terminal. A line longer than 1,024 bytes is cut. Safe from any thread.
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

// program: borrowed for the life of the process, e.g. "weir-agent".
void log_open(const char *program, enum log_level level);
// "error", "warning", "info", "debug"; returns -EINVAL for anything else.
int log_level_parse(const char *text, enum log_level *ret_level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
