// SPDX-License-Identifier: Apache-2.0
// A listening socket. When descriptors run out (EMFILE, ENFILE) it pauses for 100 ms and counts,
// instead of spinning.
#pragma once

#include "base/addr.h"
#include "event/loop.h"
#include "event/timer.h"

struct acceptor {
    struct watch watch; // the engine may accept by other means
    struct timer pause; // set while out of descriptors
    // fd: non-blocking, close-on-exec, the callee's now. peer: family 0 for a Unix socket.
    void (*accepted)(struct acceptor *acceptor, int fd, const struct addr *peer);
    uint64_t out_of_descriptors; // times it had to pause
    char *path;                  // of a Unix socket: removed at close
};

struct acceptor_options {
    bool reuse_port; // several workers share one port (SO_REUSEPORT)
    bool free_bind;  // the address need not exist yet (IP_FREEBIND)
    int backlog;     // 0: 4,096 (the kernel caps it at net.core.somaxconn)
};

// -EADDRINUSE, -EACCES, -EADDRNOTAVAIL … as bind and listen say.
int acceptor_open(struct acceptor *acceptor, struct loop *loop, const struct addr *at,
                  const struct acceptor_options *options,
                  void (*accepted)(struct acceptor *, int, const struct addr *));
// The two halves of it, for a program whose one thread binds and whose others accept: a bound and
// listening socket, and an acceptor on such a socket, which is the acceptor's now (on failure still
// the caller's).
int acceptor_bind(const struct addr *at, const struct acceptor_options *options, int *ret_fd);
int acceptor_adopt(struct acceptor *acceptor, struct loop *loop, int fd,
                   void (*accepted)(struct acceptor *, int, const struct addr *));
// Accepts all that waits in the backlog now; for before acceptor_close, which would reset it.
void acceptor_accept_backlog(struct acceptor *acceptor);
// Removes a stale socket file first (one that nobody answers on; -EADDRINUSE when somebody does);
// mode as for chmod. Closing removes the file.
int acceptor_open_unix(struct acceptor *acceptor, struct loop *loop, const char *path,
                       unsigned mode,
                       void (*accepted)(struct acceptor *, int, const struct addr *));
// Where it listens, with the port the kernel chose when 0 was asked for.
int acceptor_local(const struct acceptor *acceptor, struct addr *ret_addr);
// Closes at once; no callback follows, the memory may go (also from its own callback). Connections
// in the backlog are reset by the kernel, so a listener that moves opens the new socket first.
void acceptor_close(struct acceptor *acceptor);
