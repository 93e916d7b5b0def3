// SPDX-License-Identifier: Apache-2.0
// The proxy's own limits, each with its reason. What a user sets is in the listener's timeouts.
#pragma once

#include "codec/http1.h"

enum {
    // Bytes queued to one peer at which its source is paused. Four buffers: enough to keep a fast
    // peer busy between two turns, and all that a slow one can hold.
    SEND_QUEUE_HIGH = 64 * 1024,
    // Targets tried for one request while nothing was sent. More would be a storm of connections
    // when many targets are down, and a client that waits for all their time-outs.
    ATTEMPTS_MAX = 3,
    // Interim answers (1xx) of one target to one request.
    INTERIM_MAX = 16,
    // Idle connections kept for one target by one worker, and for how long: below the 60 s after
    // which many servers close theirs.
    BACKEND_IDLE_MAX = 512,
    BACKEND_IDLE_MS = 55 * 1000,
    // After the last answer, what a client still sends is read and thrown away so that the kernel
    // does not reset the connection under the answer (RFC 9112 §9.6); no longer and no more than
    // this.
    LINGER_MS = 2000,
    LINGER_BYTES = 1024 * 1024,
    // Trailers of one message.
    TRAILERS_BYTES = 8 * 1024,
    // A target's payload up to this size is copied behind the head, so that both leave as one
    // piece.
    COPY_BYTES = 2048,
    // Room for a head built anew that is kept until its answer begins; a longer one is allocated.
    HEAD_ROOM = 2048,
    // What Weir adds to a head, at most.
    HEAD_ADDED = 512,
    // Descriptors that clients never get: for listeners, health checks, the control socket.
    DESCRIPTORS_RESERVED = 128,
    // Connections looked at for one that is idle, when a new one takes the last descriptor.
    EVICT_LOOKS = 64,
    // A connection that has not sent its first request yet gets this long once the unit drains.
    DRAIN_FIRST_REQUEST_MS = 1000,
};

_Static_assert((int)ATTEMPTS_MAX <= 8, "balancer_choose takes no more");
