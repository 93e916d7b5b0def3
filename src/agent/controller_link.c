// SPDX-License-Identifier: Apache-2.0
// The link to the controller: a long poll for the desired document, and reports of the observed
// one, each at most one at a time. The controller may be away for as long as it likes.
#include <inttypes.h>
#include <stdio.h>

#include "agent/agent_state.h"
#include "base/log.h"
#include "http/client.h"

enum {
    WAIT_MS = 25000,
    POLL_TIMEOUT_MS = 35000,
    REPORT_TIMEOUT_MS = 5000,
    RETRY_MAX_MS = 1000,
    PAUSE_MS = 200
};

struct controller_link {
    struct agent *agent;
    struct http_client *client;
    struct http_call poll, report;
    struct timer retry;
    char base[UNIT_PATH_LEN]; // "http://host:port/v1/nodes/NAME"
    const char *unix_socket;
    char *next; // report to be sent; owned
    uint64_t asked_at_ms;
    unsigned failures;
    bool whole; // asks for the document whatever its generation
    bool away;  // said so in the log
};

static void link_poll(struct controller_link *link);

static void link_retry(struct timer *timer)
{
    link_poll(CONTAINER_OF(timer, struct controller_link, retry));
}

static void link_poll_failed(struct controller_link *link, const char *why)
{
    uint64_t delay_ms = MIN(plan_retry_delay_ms(++link->failures), (uint64_t)RETRY_MAX_MS);
    if (!link->away) {
        log_warning("no desired document from the controller: %s; what runs goes on", why);
        link->away = true;
    }
    // It may have come back with another history than the generation we know.
    link->whole = true;
    timer_set(link->agent->loop, &link->retry, delay_ms);
}

static void link_polled(struct http_call *call, const struct http_answer *answer)
{
    struct controller_link *link = CONTAINER_OF(call, struct controller_link, poll);
    char why[320];
    if (answer->error != 0) {
        link_poll_failed(link, answer->text);
        return;
    }
    if (answer->status != 200 && answer->status != 204) {
        snprintf(why, sizeof(why), "it answered with status %u: %.*s", answer->status,
                 (int)MIN(answer->body.len, 200), answer->body.at);
        link_poll_failed(link, why);
        return;
    }
    const struct agent_document *before = link->agent->document;
    struct error error = {0};
    if (answer->status == 200 && agent_take_document(link->agent, answer->body, true, &error) < 0) {
        snprintf(why, sizeof(why), "it was refused: %s", error.text);
        link_poll_failed(link, why);
        return;
    }
    if (link->away) {
        log_info("the controller is there");
        link->away = false;
    }
    link->failures = 0;
    link->whole = false;
    // Answers that come at once, one after the other, must not become a busy loop.
    uint64_t took_ms = loop_now_ms(link->agent->loop) - link->asked_at_ms;
    if (link->agent->document == before && took_ms < PAUSE_MS) {
        timer_set(link->agent->loop, &link->retry, PAUSE_MS);
    } else {
        link_poll(link);
    }
}

static void link_poll(struct controller_link *link)
{
    const struct agent_document *document = link->agent->document;
    uint64_t after = document != NULL && !link->whole ? document->desired->generation : 0;
    char url[UNIT_PATH_LEN + 96];
    snprintf(url, sizeof(url), "%s/desired?after=%" PRIu64 "&wait_ms=%d", link->base, after,
             WAIT_MS);
    link->asked_at_ms = loop_now_ms(link->agent->loop);
    const struct http_ask ask = {.method = "GET",
                                 .url = url,
                                 .unix_socket = link->unix_socket,
                                 .timeout_ms = POLL_TIMEOUT_MS,
                                 .answer_max = DOCUMENT_MAX};
    if (http_client_call(link->client, &ask, &link->poll, link_polled) < 0) {
        link_poll_failed(link, "out of memory");
    }
}

static void link_send(struct controller_link *link);

static void link_reported(struct http_call *call, const struct http_answer *answer)
{
    struct controller_link *link = CONTAINER_OF(call, struct controller_link, report);
    if (answer->error != 0 || answer->status >= 300) {
        log_debug("the report did not arrive: %s (status %u)", answer->text, answer->status);
        return; // the next beat brings a newer one
    }
    link_send(link);
}

static void link_send(struct controller_link *link)
{
    if (link->next == NULL || http_call_is_active(&link->report)) {
        return;
    }
    cleanup(free_ptr) char *text = TAKE_PTR(link->next);
    char url[UNIT_PATH_LEN + 16];
    snprintf(url, sizeof(url), "%s/observed", link->base);
    const struct http_ask ask = {.method = "PUT",
                                 .url = url,
                                 .unix_socket = link->unix_socket,
                                 .headers = {"Content-Type: application/json"},
                                 .body = str_of(text),
                                 .timeout_ms = REPORT_TIMEOUT_MS};
    http_client_call(link->client, &ask, &link->report, link_reported);
}

void controller_link_report(struct controller_link *link, char *text)
{
    free(link->next);
    link->next = text;
    link_send(link);
}

int controller_link_open(struct agent *agent, struct controller_link **ret_link,
                         struct error *error)
{
    const char *controller = agent->config->controller;
    struct controller_link *link = calloc(1, sizeof(*link));
    if (link == NULL || http_client_new(agent->loop, &link->client) < 0) {
        free(link);
        return error_set(error, -ENOMEM, "cannot create the HTTP client: out of memory");
    }
    link->agent = agent;
    link->whole = true;
    link->unix_socket = controller[0] == '/' ? controller : NULL;
    timer_init(&link->retry, link_retry);
    int length =
        snprintf(link->base, sizeof(link->base), "%s/v1/nodes/%s",
                 link->unix_socket != NULL ? "http://controller" : controller, agent->config->node);
    *ret_link = link;
    if (length >= (int)sizeof(link->base)) {
        return error_set(error, -ENAMETOOLONG, "the controller's address is too long");
    }
    link_poll(link);
    return 0;
}

struct controller_link *controller_link_close(struct controller_link *link)
{
    if (link != NULL) {
        timer_cancel(&link->retry);
        http_call_cancel(&link->poll);
        http_call_cancel(&link->report);
        http_client_free(link->client);
        free(link->next);
        free(link);
    }
    return NULL;
}
