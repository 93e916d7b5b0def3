// SPDX-License-Identifier: Apache-2.0
// One request and its answer, between a client and a target: the proxy's state machine. See
// request_fsm.c for the drawing. Callbacks of both connections come in here; no call returns into a
// request that has ended.
#pragma once

#include "proxy/backend_pool.h"
#include "proxy/body.h"
#include "proxy/frontend.h"
#include "proxy/headers.h"
#include "proxy/limits.h"
#include "proxy/view.h"

enum request_state {
    REQUEST_HEAD,
    REQUEST_CHOOSE,
    REQUEST_CONNECT,
    REQUEST_SEND,
    REQUEST_AWAIT,
    REQUEST_RELAY,
    REQUEST_ANSWER,
    REQUEST_FINISH,
    REQUEST_TUNNEL,
    REQUEST_GONE,  // freed
    REQUEST_PAUSE, // no state: what a step returns to wait for the next event
};

struct request {
    struct client *client;
    struct worker *worker;
    struct backend *backend;
    struct view *view;
    const struct compiled_listener *listener; // of the view
    uint8_t state;                            // enum request_state

    // What is known of the request.
    uint8_t method; // enum http1_method
    uint8_t version_minor;
    bool keep_alive;   // of the client's connection, as far as the client goes
    bool upgrade;      // an offer that was passed on
    bool is_tcp;       // no HTTP at all: the connection of a TCP listener
    bool answer_begun; // the final head was queued to the client
    bool connected;

    // Where it goes.
    bool chosen; // view_release is due
    bool fresh;  // not on a connection that has served before
    uint8_t attempts, tried_count;
    uint8_t interims;
    uint32_t target;
    uint32_t tried[ATTEMPTS_MAX];

    struct body body;       // of the request
    struct body answer;     // of the answer
    bool answer_keep_alive; // the target's connection can be used again

    // The answer of the unit itself, when there has to be one.
    uint16_t own_status;
    const char *own_reason; // a stable word

    struct http1_head *head; // while one is parsed, of either side
    // The head for the target, kept until its answer begins, for a second attempt.
    char *room; // HEAD_ROOM bytes of the worker's pool, or an allocation of its own
    uint32_t room_len;
    bool room_is_own;
    uint8_t id_len;
    char id[64]; // X-Request-Id
};

// Begins one with the client's input and runs it as far as it goes; it may have ended on return.
void request_begin(struct client *client);
// The whole connection of a TCP listener.
void request_begin_tcp(struct client *client);

// ---- Of the client's connection
// Tunnels take buffers as they come; else they are appended to client->input, and
// request_client_bytes tells of it when it wants input.
bool request_takes_bytes(const struct request *request);
bool request_wants_input(const struct request *request);
void request_client_received(struct request *request, struct buf *taken);
void request_client_bytes(struct request *request);
void request_client_ended(struct request *request);
void request_client_sent(struct request *request);
void request_client_late(struct request *request, enum deadline_kind kind);
// It failed: the request ends, the client closes itself.
void request_client_gone(struct request *request);

// ---- Of the target's connection
void request_backend_connected(struct request *request);
void request_backend_received(struct request *request, struct buf *taken);
void request_backend_ended(struct request *request);
void request_backend_sent(struct request *request);
void request_backend_failed(struct request *request, int error);
void request_backend_late(struct request *request, enum deadline_kind kind);

// ---- Between the files of the request
static inline const struct timeouts *request_timeouts(const struct request *request)
{
    return &request->listener->timeouts;
}
// Runs it, and after its end what the client sent behind it.
void request_go_on(struct request *request);
// Lets the target go: its connection is kept when keep is set.
void request_leave_target(struct request *request, bool keep);
// It will not be sent again.
void request_release_room(struct request *request);
// Ends it where it stands; the client's connection is the caller's matter.
void request_drop(struct request *request);
// Decides for an answer of the unit itself.
enum request_state request_refuse(struct request *request, unsigned status, const char *reason);

// request_head.c: the steps that read and write heads.
enum request_state request_step_head(struct request *request);
enum request_state request_step_await(struct request *request);
// request_target.c: the steps that find and reach a target.
enum request_state request_step_choose(struct request *request);
enum request_state request_step_connect(struct request *request);
enum request_state request_step_send(struct request *request);
enum request_state request_connect_failed(struct request *request, int error);
// answer.c: the unit's own answers.
enum request_state request_step_answer(struct request *request);
enum request_state request_answer_status(struct request *request, const struct http1_head *head);
// tunnel.c
enum request_state request_begin_tunnel(struct request *request);
void tunnel_client_received(struct request *request, struct buf *taken);
void tunnel_backend_received(struct request *request, struct buf *taken);
void tunnel_ended(struct request *request);
void tunnel_sent(struct request *request);
void tunnel_failed(struct request *request);
