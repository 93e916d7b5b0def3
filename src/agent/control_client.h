// SPDX-License-Identifier: Apache-2.0
// The agent's end of a unit's control socket (docs/DOCUMENTS.md §7). It connects as soon as the
// unit has made its socket (the first tries come every few ms, because a unit's start is being
// waited for), asks to be told of every change, and connects again whenever the connection is lost,
// until it is closed. The unit may be hostile: what it sends is parsed by the model's tables and
// bounded.
#pragma once

#include "event/loop.h"
#include "model/unit_control.h"

struct control_client;

struct control_client_ops {
    // The unit answered or told of a change. The answer lives in the arena; the owner may keep it
    // by taking the arena's contents (struct copy, then arena_init of the original).
    void (*told)(void *owner, struct unit_control_answer *answer, struct arena *arena);
    // The connection is gone; it tries again by itself. Not called before the first `told`.
    void (*lost)(void *owner);
};

// path: of the socket. user: who must own the socket; 0: not looked at.
int control_client_open(struct loop *loop, const char *path, uint32_t user,
                        const struct control_client_ops *ops, void *owner,
                        struct control_client **ret_client);
// No callback follows. Accepts NULL, returns NULL; the memory goes later.
struct control_client *control_client_close(struct control_client *client);

// -ENOTCONN while there is no connection.
int control_client_send(struct control_client *client, const struct unit_control_request *request);
// Asks for the state, at every beat of the agent. Returns for how long the unit has owed an answer
// (0: it owes none).
uint64_t control_client_beat(struct control_client *client);
// Gives the connection up and makes a new one: for a unit that owes an answer for too long.
void control_client_renew(struct control_client *client);
