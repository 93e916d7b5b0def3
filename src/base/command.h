// SPDX-License-Identifier: Apache-2.0
// Runs another program to its end and blocks until then: for start-up and worker threads, never on
// an event loop (event/child.h is for that). No shell: an argument vector.
#pragma once

#include "base/err.h"
#include "base/str.h"

struct command_result {
    int status;   // as waitpid gives it; 0: success
    char *output; // stdout and stderr as they came, cut at 16 MiB; ended by NUL, never NULL
    size_t output_len;
};
void command_result_free(struct command_result *result);

// argv ends with NULL; argv[0] is searched in PATH. input is all of its stdin. The program is
// killed after timeout_ms (-ETIMEDOUT). -ENOENT when there is no such program. A status that is not
// 0 is no failure of this function. The result is the caller's to free, after success only.
int command_run(const char *const argv[], struct str input, int timeout_ms,
                struct command_result *ret_result);
