// SPDX-License-Identifier: Apache-2.0
// rtnetlink: requests with answers, by libmnl. One `struct netlink` is a socket in one network
// namespace, the one its opener's thread was in (or was handed); it stays there. One thread at a
// time.
//
// Requests are put into a batch and sent by netlink_commit in one system call, so that a unit's
// whole network costs a few of them. The kernel carries out every request of a batch even when one
// before it failed; netlink_commit tells the first failure, in words: what was asked for, and the
// kernel's own explanation (extended ack) where it gives one.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "base/err.h"

enum { NETLINK_BATCH_BYTES = 16384, NETLINK_BATCH_REQUESTS = 64 };

struct netlink_request {
    char what[88]; // for the error: "create link wf9"
    int accept;    // an errno that is no failure here (EEXIST, ENODEV …); 0: none
    uint32_t seq;
};

struct netlink {
    struct mnl_socket *socket; // NULL: closed
    uint32_t seq;
    size_t used, count;
    struct nlmsghdr *last; // the request being built
    struct netlink_request requests[NETLINK_BATCH_REQUESTS];
    _Alignas(8) char batch[NETLINK_BATCH_BYTES];
};

// In the calling thread's namespace.
int netlink_open(struct netlink *netlink);
// In another one. On return the thread is where it was.
int netlink_open_at(struct netlink *netlink, int netns_fd);
void netlink_close(struct netlink *netlink);

// Begins a request at the batch's end: flags are added to NLM_F_REQUEST | NLM_F_ACK. The caller
// puts its header (mnl_nlmsg_put_extra_header) and attributes. NULL when the batch is full, which
// cannot happen below 16 requests of ordinary size.
struct nlmsghdr *netlink_request(struct netlink *netlink, uint16_t type, uint16_t flags,
                                 const char *what_format, ...)
    __attribute__((format(printf, 4, 5)));
// The last request may fail with this errno (positive) without being a failure.
void netlink_accept(struct netlink *netlink, int accepted_errno);
// Sends the batch and reads its answers; empty afterwards. 0, or the first failure.
int netlink_commit(struct netlink *netlink, struct error *error);

// A dump: every message of the answer is given to `each` (0: go on; negative: stop and return it).
// family: AF_UNSPEC, AF_INET …; header_len: of the type's own header (struct ifinfomsg …). A dump
// that a change interrupted is begun again, after `restart` (may be NULL) threw away what came.
int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, size_t header_len,
                 int (*each)(const struct nlmsghdr *message, void *context),
                 void (*restart)(void *context), void *context, struct error *error);
// One request with one message as its answer (RTM_GETLINK, RTM_GETROUTE of one thing): the batch
// must hold exactly that request. The answer lies in the caller's buffer.
int netlink_ask(struct netlink *netlink, char *buffer, size_t size,
                const struct nlmsghdr **ret_answer, struct error *error);
