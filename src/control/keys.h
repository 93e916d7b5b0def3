// SPDX-License-Identifier: Apache-2.0
// Where everything lies in the store. Ids are written with 20 digits, so keys sort as ids do.
//
//   projects/ID                              project
//   load_balancers/ID                        load balancer (without status)
//   target_groups/ID                         target group
//   units/ID                                 unit            (the reconciler's)
//   nodes/NAME                               node            (the reconciler's)
//   events/ID                                event; ids of their own counter, newest last
//   labels/project/LABEL                     → id of the project
//   labels/load_balancer/PROJECT/LABEL       → id
//   labels/target_group/PROJECT/LABEL        → id
//   locks/project/ID                         touched by every change in a project, so that two
//                                            changes that depend on each other conflict
//   locks/subnets                            the same for the set of subnets
//   resolved/HOST                            addresses of a target's host name
//   counters/id, counters/event              last number taken
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

enum { KEY_LEN = 320 };

#define KEY_PROJECTS       "projects/"
#define KEY_LOAD_BALANCERS "load_balancers/"
#define KEY_TARGET_GROUPS  "target_groups/"
#define KEY_UNITS          "units/"
#define KEY_NODES          "nodes/"
#define KEY_EVENTS         "events/"
#define KEY_RESOLVED       "resolved/"
#define KEY_SUBNETS_LOCK   "locks/subnets"
#define KEY_PROJECT_LOCKS  "locks/project/"
#define KEY_ID_COUNTER     "counters/id"
#define KEY_EVENT_COUNTER  "counters/event"

static inline const char *key_of_id(char buffer[static KEY_LEN], const char *prefix, uint64_t id)
{
    snprintf(buffer, KEY_LEN, "%s%020" PRIu64, prefix, id);
    return buffer;
}

static inline const char *key_of_name(char buffer[static KEY_LEN], const char *prefix,
                                      const char *name)
{
    snprintf(buffer, KEY_LEN, "%s%.280s", prefix, name);
    return buffer;
}

// kind: "load_balancer" or "target_group".
static inline const char *key_of_label(char buffer[static KEY_LEN], const char *kind,
                                       uint64_t project_id, const char *label)
{
    snprintf(buffer, KEY_LEN, "labels/%s/%020" PRIu64 "/%.63s", kind, project_id, label);
    return buffer;
}

static inline const char *key_of_project_label(char buffer[static KEY_LEN], const char *label)
{
    snprintf(buffer, KEY_LEN, "labels/project/%.63s", label);
    return buffer;
}
