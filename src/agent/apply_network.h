// SPDX-License-Identifier: Apache-2.0
// Makes and removes networks in the kernel (docs/DOCUMENTS.md §8):
//
//   the machine:       weir0 (front gateway) ── wf9
//                                                │ veth
//   namespace weir-u9:                         front, default route;  back
//                                                                      │ veth
//   namespace weir-p1: br0 (the project's gateway) ────────────────── wb9
//
// Every function may be called again after it was cut off at any point: "add" puts right what is
// there, "remove" of what is gone is no failure. They block (a few ms to add, tens of ms to remove)
// and are for a worker's thread. Nothing is touched that does not carry the instance's name.
#pragma once

#include "agent/names.h"
#include "base/addr.h"

// Everything by value: a job carries it to its thread.
struct front_network {
    struct prefix subnet;
    struct addr gateway;
};

struct project_network {
    uint64_t project_id;
    struct prefix subnet;
    struct addr gateway;
};

struct unit_network {
    uint64_t id, project_id; // project 0: not known (only for removal)
    struct addr front, back;
    uint8_t front_bits, back_bits; // of the subnets
    struct addr front_gateway;
};

int network_add_front(const char *instance, const struct front_network *front, struct error *error);
int network_remove_front(const char *instance, struct error *error);
int network_add_project(const char *instance, const struct project_network *project,
                        struct error *error);
int network_remove_project(const char *instance, uint64_t project_id, struct error *error);
// broken: something of that name may be there; it is removed first.
int network_add_unit(const char *instance, const struct unit_network *unit, bool broken,
                     struct error *error);
int network_remove_unit(const char *instance, const struct unit_network *unit, struct error *error);

// Targets outside. What is changed on the machine (forwarding on the interfaces that lead there and
// on the front bridge, where it was off) is written to record_path first and undone by remove.
// summary: what was done, for the log.
struct outside {
    struct prefix inside; // the front subnet
    const struct addr *targets;
    size_t target_count;
    const struct prefix *closed; // the projects' subnets: a target there is another project's
    size_t closed_count;
    const char *record_path;
};
int network_add_outside(const char *instance, const struct outside *outside, char *summary,
                        size_t summary_size, struct error *error);
int network_remove_outside(const char *instance, const char *record_path, struct error *error);
