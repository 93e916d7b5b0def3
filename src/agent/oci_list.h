// SPDX-License-Identifier: Apache-2.0
// Which containers of this instance the OCI runtime has. Blocks for the runtime's command; and
// where a container is just being made, by a command that an agent started before it was killed,
// until that is done.
#pragma once

#include "agent/runtime.h"

// state_dir: the runtime's --root. What is found lies in the arena; pid 0: it does not run.
int oci_list(const char *command, const char *state_dir, const char *instance, struct arena *arena,
             struct runtime_found **ret_found, size_t *ret_count, struct error *error);
