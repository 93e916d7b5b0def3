// SPDX-License-Identifier: Apache-2.0
// A byte stream over a socket (TCP or Unix), completion-shaped: the engine receives on its own into
// buffers of its loop and hands them over; sends are queued and reported when the kernel has taken
// them. Embed `struct stream` as first member of what owns it.
//
//   connecting ──connected──▶ open ──stream_finish / peer's end──▶ half-closed ──▶ closed
//        └──────────── failed ──┴── failed ──────────────────────────┘
//
// Rules:
//  1. Callbacks never come from inside a call of the owner's (stream_send, stream_connect …) on the
//     same stream, only from the loop.
//  2. After `failed` only stream_close makes sense; what was queued is lost.
//  3. After stream_close only `closed` comes. The owner frees its struct there, not earlier.
//  4. `ended` (the peer's FIN) leaves the sending side open. It is delivered after all bytes.
//  5. While paused, no `received` or `ended` comes; `failed` still may, but not before bytes that the
//     kernel holds: those come first, after stream_resume. The same when sending fails (a server
//     that answers early and closes): what the peer had sent is delivered, then `failed`.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "event/buf.h"
#include "event/loop.h"

struct stream;

struct stream_ops {
    // An outgoing stream is open. NULL for accepted ones.
    void (*connected)(struct stream *stream);
    // Bytes arrived; the buffer (never empty) is the owner's now: release or forward it.
    void (*received)(struct stream *stream, struct buf *taken);
    // The peer will send no more.
    void (*ended)(struct stream *stream);
    // The send queue fell to empty: everything was handed to the kernel. May be NULL.
    void (*sent)(struct stream *stream);
    // error: negative errno (-ECONNREFUSED, -ECONNRESET, -EPIPE, -ENOMEM …).
    void (*failed)(struct stream *stream, int error);
    // The last callback; the memory may be freed.
    void (*closed)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    struct buf *queue_head, *queue_tail; // to be sent
    uint32_t queued_bytes;
    int fd;
    int error;              // what `failed` will tell
    uint32_t state;         // the engine's own bits
    struct list flush_link; // of the loop's list of streams to flush, or to free
    struct list ready_link; // of its list of streams to read without an event
};

// Takes an accepted (or socketpair) descriptor, makes it non-blocking, starts receiving.
// On failure the descriptor stays the caller's.
int stream_open(struct stream *stream, struct loop *loop, int fd, const struct stream_ops *ops);
// The same for a descriptor that an acceptor gave: it has all its options already, so this is one
// system call instead of four.
int stream_open_accepted(struct stream *stream, struct loop *loop, int fd,
                         const struct stream_ops *ops);

// Begins to connect. source may be NULL (or have port 0: any). A failure of the attempt itself
// comes by `failed`; the return is negative only when no socket could be made (-EMFILE, -ENOMEM …).
int stream_connect(struct stream *stream, struct loop *loop, const struct addr *to,
                   const struct addr *source, const struct stream_ops *ops);
int stream_connect_unix(struct stream *stream, struct loop *loop, const char *path,
                        const struct stream_ops *ops);

// Queues the buffer (taken, may be empty) for step 5 of this turn; until the stream is connected it
// waits. No limit is kept here: look at stream_queued and pause the source. After stream_finish,
// `failed` or stream_close the buffer is released and nothing else happens.
void stream_send(struct stream *stream, struct buf *taken);
// Copies bytes into the last queued buffer or a new one. -ENOMEM.
int stream_send_copy(struct stream *stream, const void *bytes, size_t len);
static inline uint32_t stream_queued(const struct stream *stream)
{
    return stream->queued_bytes;
}

// Sends FIN once everything queued is sent. Receiving goes on.
void stream_finish(struct stream *stream);
// Closes now; unsent bytes are dropped. Idempotent.
void stream_close(struct stream *stream);
// Closes with RST instead of FIN.
void stream_abort(struct stream *stream);
// Sending has failed: what was queued is dropped, and `failed` comes once what the peer said before is
// delivered. A pause puts that off; then `sent` tells of it, so look there.
bool stream_is_broken(const struct stream *stream);
// True from a successful open/connect call until stream_close; false for zeroed memory.
bool stream_is_open(const struct stream *stream);

void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);
bool stream_is_paused(const struct stream *stream);

// Only what the kernel says; -ENOTCONN and the like.
int stream_peer(const struct stream *stream, struct addr *ret_addr);
int stream_local(const struct stream *stream, struct addr *ret_addr);
