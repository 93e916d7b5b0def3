// SPDX-License-Identifier: Apache-2.0
// From method and path to a route of a table. Patterns are literal segments and {name} ones:
// "/v1/projects/{project}/load-balancers/{lb}". A {name} matches one whole segment, decoded (%XX);
// it may then hold any byte but NUL, '/' included. Literal segments win over {name} by table order.
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { ROUTE_VALUES_MAX = 4, ROUTE_TEXT_MAX = 1024 };

struct route {
    const char *method; // "GET"
    const char *pattern;
    void (*serve)(void); // the owner's; cast back by who owns the table
    const char *text;    // one line for the API's reference
};

struct route_match {
    const struct route *route;
    struct str values[ROUTE_VALUES_MAX]; // of the {name}s in order; point into text
    char text[ROUTE_TEXT_MAX];
    char allow[64]; // for 405: "GET, POST"
};

// 0; -ENOENT (404); -EPERM (405: the path is known, see allow); -EINVAL (400: bad %XX or too long).
// HEAD finds GET's route.
int route_find(const struct route *routes, size_t count, struct str method, struct str path,
               struct route_match *ret_match);
