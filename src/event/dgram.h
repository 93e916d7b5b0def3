// SPDX-License-Identifier: Apache-2.0
// A bound UDP socket. Answers leave from the address the question came to (IP_PKTINFO).
#pragma once

#include "base/addr.h"
#include "event/loop.h"

struct dgram {
    struct watch watch;
    uint16_t port; // it is bound to
    // bytes are borrowed for the call and may be empty. local: the address the datagram was sent
    // to.
    void (*received)(struct dgram *dgram, struct str bytes, const struct addr *peer,
                     const struct addr *local);
    void *owner;
};

int dgram_open(struct dgram *dgram, struct loop *loop, const struct addr *at, bool free_bind,
               void (*received)(struct dgram *, struct str, const struct addr *,
                                const struct addr *));
// Best effort: -EAGAIN when the socket's buffer is full (the datagram is dropped).
int dgram_send(struct dgram *dgram, struct str bytes, const struct addr *to,
               const struct addr *from);
// Where it is bound, with the port the kernel chose when 0 was asked for.
int dgram_local(const struct dgram *dgram, struct addr *ret_addr);
// At any time, also from its own callback; the memory may go at once.
void dgram_close(struct dgram *dgram);
