// SPDX-License-Identifier: Apache-2.0
// The messages on a unit's control socket, agent ↔ weir-proxy (docs/DOCUMENTS.md §7): one JSON
// object a line each way.
#pragma once

#include "model/target_group.h"

enum unit_command {
    UNIT_COMMAND_SNAPSHOT,
    UNIT_COMMAND_STATE,
    UNIT_COMMAND_WATCH,
    UNIT_COMMAND_DRAIN
};
extern const char *const unit_command_names[];

struct unit_control_request {
    enum unit_command command;
    const char *snapshot; // the text of one, for UNIT_COMMAND_SNAPSHOT; snapshot_parse judges it
    uint64_t deadline_ms; // of a drain
};

enum unit_control_status { UNIT_CONTROL_OK, UNIT_CONTROL_REFUSED, UNIT_CONTROL_FAILED };
extern const char *const unit_control_status_names[]; // ok, refused, failed

enum proxy_state { PROXY_STARTING, PROXY_SERVING, PROXY_DRAINING };
extern const char *const proxy_state_names[];

enum listener_state { LISTENER_LISTENING, LISTENER_FAILED };
extern const char *const listener_state_names[];

struct listener_report {
    uint64_t id;
    enum listener_state state;
    const char *error;
};

// One struct for all answers: what does not apply stays empty and is not printed.
struct unit_control_answer {
    enum unit_control_status status;
    uint64_t version;          // of the snapshot that serves now
    const char *error, *field; // of a refusal
    bool has_state;            // the fields below apply (not a field in JSON)
    enum proxy_state state;
    uint64_t unit_id;
    uint64_t connections, requests;
    struct target_report *targets;
    size_t target_count;
    struct counter *counters;
    size_t counter_count;
    struct listener_report *listeners;
    size_t listener_count;
};

extern const struct schema unit_control_request_schema;

int unit_control_request_parse(struct str line, struct arena *arena,
                               struct unit_control_request **ret_request, struct error *error);
// Lines without the line feed that the caller frees; NULL when memory is out.
char *unit_control_request_print(const struct unit_control_request *request);
int unit_control_answer_parse(struct str line, struct arena *arena,
                              struct unit_control_answer **ret_answer, struct error *error);
char *unit_control_answer_print(const struct unit_control_answer *answer);
