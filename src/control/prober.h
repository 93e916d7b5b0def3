// SPDX-License-Identifier: Apache-2.0
// The controller's own look at units: GET /health on each one's status listener, once a second,
// each time over a new connection. What comes of it goes to cluster_probe; failover.h says what it
// means.
#pragma once

#include "control/cluster.h"
#include "event/loop.h"

struct prober;

// told: after each result.
int prober_new(struct loop *loop, struct cluster *cluster, void (*told)(void *owner), void *owner,
               struct prober **ret_prober);
// Accepts NULL, returns NULL.
struct prober *prober_free(struct prober *prober);
// Units may have come or gone: begins and ends probes accordingly.
void prober_update(struct prober *prober);
