// SPDX-License-Identifier: Apache-2.0
// What the agent makes carries its name, and is found again by it: the one place that builds and
// reads these names (docs/DOCUMENTS.md §8). An instance ("" for the ordinary one) keeps several
// agents of one machine apart:
//
//                          ordinary       instance "lab"
//   front bridge           weir0          weirlab
//   project's namespace    weir-p1        weir-lab-p1
//   unit's, and container  weir-u9        weir-lab-u9
//   front's peer           wf9            wflab-9
//   back's peer            wb9            wblab-9
//   packet filter table    weir           weir-lab
//
// No name of one instance can be read as another's: an instance begins with a letter, has no "-",
// and ids are digits.
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { NAME_LEN = 48, INSTANCE_MAX = 6 };

// "" or 1–6 of a-z 0-9, beginning with a letter; not one that reads as an id ("p1", "u12").
bool instance_valid(const char *instance);
// A node's name becomes a directory: 1–63 of A-Z a-z 0-9 . _ -, not beginning with ".".
bool node_name_valid(const char *node);

enum name_kind {
    NAME_PROJECT, // a project's namespace
    NAME_UNIT,    // a unit's namespace and container
    NAME_FRONT,   // links
    NAME_BACK,
};

// The id may make a link's name too long (15 characters): link_name_valid says so.
const char *name_of(const char *instance, enum name_kind kind, uint64_t id,
                    char buffer[static NAME_LEN]);
// The id in a name of this kind and instance; -EINVAL when it is not ours.
int name_read(const char *instance, enum name_kind kind, const char *name, uint64_t *ret_id);
const char *name_of_bridge(const char *instance, char buffer[static NAME_LEN]);
const char *name_of_table(const char *instance, char buffer[static NAME_LEN]);

// A user id that nobody else has, from an unused range (2,000,000,000 …); its group has the same.
uint32_t unit_user(uint64_t unit_id);
