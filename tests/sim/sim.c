// SPDX-License-Identifier: Apache-2.0
// sim [FIRST_SEED [SEEDS [STEPS]]]: runs worlds; one line and exit code 1 for the first that fails.
// WEIR_SIM_LOG=1 prints every event of the controller.
#include <stdio.h>
#include <stdlib.h>

#include "world.h"

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 40;
    uint64_t steps = argc > 3 ? strtoull(argv[3], NULL, 10) : 2000;
    uint64_t crashes = 0, losses = 0, restarts = 0, failures = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct world *world = world_new(seed);
        for (uint64_t i = 0; i < steps && world->failure[0] == '\0'; i++) {
            world_step(world);
        }
        world_settle(world);
        world_check_settled(world);
        crashes += world->crashes;
        losses += world->losses;
        restarts += world->restarts;
        if (world->failure[0] != '\0') {
            printf("%s\n", world->failure);
            failures++;
        }
        world_free(world);
    }
    printf("%lu worlds of %lu steps: %lu crashes, %lu nodes lost, %lu controllers killed; "
           "%lu failed\n",
           (unsigned long)seeds, (unsigned long)steps, (unsigned long)crashes,
           (unsigned long)losses, (unsigned long)restarts, (unsigned long)failures);
    return failures > 0;
}
