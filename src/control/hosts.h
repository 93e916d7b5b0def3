// SPDX-License-Identifier: Apache-2.0
// Host names of targets: resolved as soon as they appear and every 30 s from then on. What comes of
// it is written to the store (resolved/HOST) when it changed, so that snapshots stay a function of
// the store, and neither a restart nor an outage of the name servers takes a target away: the last
// addresses stay until there are others. Names that no target has any more are deleted.
#pragma once

#include "control/cluster.h"
#include "event/loop.h"

enum {
    HOSTS_INTERVAL_MS = 30000,
    HOSTS_RETRY_MS = 5000, // after a failure
    HOSTS_TIMEOUT_MS = 5000,
};

struct hosts;

int hosts_new(struct loop *loop, struct cluster *cluster, struct hosts **ret_hosts,
              struct error *error);
// Accepts NULL, returns NULL.
struct hosts *hosts_free(struct hosts *hosts);
// Targets may have come or gone.
void hosts_update(struct hosts *hosts);
