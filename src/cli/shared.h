// SPDX-License-Identifier: Apache-2.0
// What several commands need: paths of objects, waiting, and how some values look.
#pragma once

#include <jansson.h>

#include "cli/call.h"

void json_release(json_t **json); // for cleanup()

int print_answer(const json_t *body); // EXIT_OK

// EXIT_USAGE with a sentence when no project is named.
int need_project(const struct call *call, const char **ret_project);

// The load balancer `name` of the project. EXIT_REFUSED when there is none.
int get_lb(struct call *call, const char *project, const char *name, json_t **ret_balancer);
// The listener that --listener names, or the only one. Borrowed from the balancer.
int pick_listener(const struct call *call, const json_t *balancer, const json_t **ret_listener);

// Lists over one project or all: see list.c.
int get_in_projects(struct call *call, const char *what, json_t **ret_body);
void print_lbs(const json_t *items);
void print_nodes(const json_t *items);

// "HTTP / every 5 s", "off".
void format_health_check(const json_t *check, char *buffer, size_t size);

// Follows the load balancer until its state is active for its present generation and prints each
// change on stderr. EXIT_TIMED_OUT after --timeout seconds. *ret_balancer (may be NULL): as last
// seen.
int wait_active(struct call *call, const char *project, const char *name, json_t **ret_balancer);
// Until the object at path is gone.
int wait_gone(struct call *call, const char *path, const char *name);

// A target as a person writes it. ADDRESS, ADDRESS:PORT, [V6]:PORT, HOST:PORT, URL; with "=WEIGHT"
// behind (weight -1: none was given). Texts are cut out of *text, which is changed.
// -EINVAL when it is none of these.
int target_split(char *text, char **ret_place, int *ret_weight);
// place → address and port (0: none given). The address of a URL is its host.
int target_place(const char *place, char *address, size_t size, unsigned *ret_port);
