// SPDX-License-Identifier: Apache-2.0
// The control socket: what an agent asks of its unit, one JSON object a line each way, answered in
// order (docs/DOCUMENTS.md §7). A line that makes no sense is answered with status "failed"; one
// that is longer than any document ends its connection. While a snapshot is being taken, the lines
// behind it wait.
#pragma once

#include "base/err.h"

struct proxy;
struct control_socket;

int control_socket_open(struct proxy *proxy, const char *path, struct control_socket **ret_control);
struct control_socket *control_socket_close(struct control_socket *control);
// The state, the version or a verdict changed: watchers are told, at most every 20 ms. Accepts
// NULL.
void control_socket_notify(struct control_socket *control);
// The snapshot under way is live (result 0), or could not be taken by all workers: who asked for it
// over the socket is answered, and lines that waited are. Accepts NULL.
void control_socket_applied(struct control_socket *control, int result);
