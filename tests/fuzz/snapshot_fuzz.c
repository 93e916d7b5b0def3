// SPDX-License-Identifier: Apache-2.0
// The documents between our programs: refused, or whole; what was accepted prints and parses.
#include "model/desired.h"
#include "model/observed.h"
#include "model/snapshot.h"
#include "model/unit_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena arena;
    struct snapshot *snapshot;
    struct desired *desired;
    struct observed *observed;
    struct unit_control_answer *answer;
    arena_init(&arena, 64);
    if (snapshot_parse(text, &arena, &snapshot, NULL) == 0) {
        cleanup(free_ptr) char *printed = snapshot_print(snapshot);
        if (snapshot_parse(str_of(printed), &arena, &snapshot, NULL) < 0) {
            abort();
        }
    }
    desired_parse(text, &arena, &desired, NULL);
    observed_parse(text, &arena, &observed, NULL);
    unit_control_answer_parse(text, &arena, &answer, NULL);
    arena_reset(&arena);
    return 0;
}
