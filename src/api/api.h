// SPDX-License-Identifier: Apache-2.0
// The API: REST paths, the envelope, and what agents ask, all over one HTTP server and one table of
// routes. It reads requests and writes answers; what they mean is done by control/service.h and
// control/controller.h. Runs on the controller's loop.
#pragma once

#include "control/controller.h"
#include "control/resolver.h"
#include "control/service.h"
#include "http/server.h"

struct api;

struct api_options {
    struct loop *loop;
    struct controller *controller; // borrowed
    struct resolver *resolver;     // borrowed; NULL: host names are taken unresolved
};

int api_new(const struct api_options *options, struct api **ret_api, struct error *error);
// Every request must be answered or gone: close the server first, and let the loop turn. Accepts
// NULL, returns NULL.
struct api *api_free(struct api *api);

// For http_server_new: asked, with the api as owner.
void api_asked(struct http_request *request, void *api);
// A server's body_max that lets an agent's report pass. What users send is held to 1 MiB in here.
enum { API_BODY_MAX = 16 << 20 };
