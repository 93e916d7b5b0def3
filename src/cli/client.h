// SPDX-License-Identifier: Apache-2.0
// The way to the controller: one HTTP request after the other, over a Unix socket or TCP, by
// libcurl's easy interface. An answer is JSON or nothing; a refusal is told on stderr in one
// sentence, with the field at fault, so that a command only passes the exit code on.
//
// Not safe across threads; one client a process.
#pragma once

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { SERVER_TEXT_MAX = 512, ANSWER_BYTES_MAX = 16 * 1024 * 1024 };

struct client {
    CURL *curl;
    char socket[108];           // "" for TCP
    char base[SERVER_TEXT_MAX]; // "http://127.0.0.1:7600"
    uint32_t timeout_ms;        // for one whole answer
    bool quiet;                 // say nothing on stderr (completion)
};

struct answer {
    long status;  // of HTTP
    json_t *body; // NULL when there was none
    char etag[32];
};

// server: "unix:PATH", a path, "http://host:port" or "host:port"; NULL: the default places, the
// first that exists. -EINVAL for anything else, -ENOMEM.
int client_open(struct client *client, const char *server);
void client_close(struct client *client);

// Sends body (borrowed; NULL: none) and waits for the whole answer. 0, or EXIT_UNREACHABLE after a
// sentence on stderr. if_match may be NULL.
int client_send(struct client *client, const char *method, const char *path, const json_t *body,
                const char *if_match, struct answer *ret_answer);
// The same, and any status from 400 up is told on stderr: EXIT_REFUSED (EXIT_TIMED_OUT for 504).
int client_ask(struct client *client, const char *method, const char *path, const json_t *body,
               const char *if_match, struct answer *ret_answer);
int client_get(struct client *client, const char *path, json_t **ret_body);

// Tells the refusal in an answer on stderr; returns the exit code for it.
int client_tell_refusal(const struct answer *answer);
void answer_free(struct answer *answer);

// A path from a pattern in which every %s is a segment (encoded) and every %u a uint64_t.
// The caller frees it; NULL when memory is out.
char *client_path(const char *pattern, ...);
