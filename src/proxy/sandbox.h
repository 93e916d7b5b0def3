// SPDX-License-Identifier: Apache-2.0
// What a unit gives up before it serves: new privileges, and every system call that it does not
// need. Applies to all threads, those that run already included.
#pragma once

#include <stdbool.h>

// Before any thread starts: so many descriptors as the hard limit allows, a bounded number of
// malloc arenas, no file for the time zone.
void sandbox_prepare(unsigned threads);
// Negative errno when the kernel does not let us.
int sandbox_enter(void);
