// SPDX-License-Identifier: Apache-2.0
// Answers of the unit itself: when a request is refused or no target answers it, and on the status
// port. The body says what went wrong in a stable word and which request it was, so that a user can
// find it again in a log.
#include <stdio.h>

#include "proxy/request.h"

static enum proxy_counter counter_of(unsigned status)
{
    switch (status) {
    case 400:
        return COUNTER_own_400;
    case 408:
        return COUNTER_own_408;
    case 413:
        return COUNTER_own_413;
    case 414:
        return COUNTER_own_414;
    case 431:
        return COUNTER_own_431;
    case 502:
        return COUNTER_own_502;
    case 503:
        return COUNTER_own_503;
    case 504:
        return COUNTER_own_504;
    default:
        return COUNTER_own_other;
    }
}

static enum request_state send_answer(struct request *request, unsigned status, struct str type,
                                      struct str extra, struct str body)
{
    struct worker *worker = request->worker;
    char bytes[1024];
    struct writer writer;
    request->keep_alive =
        request->keep_alive && request->body.ended && !worker->draining && !request->client->ended;
    writer_init(&writer, bytes, sizeof(bytes));
    http1_write_response_start(&writer, status, http1_status_reason(status));
    http1_write_field(&writer, STR("Content-Type"), type);
    writer_put(&writer, extra);
    writer_put(&writer, worker_date(worker));
    http1_write_field(&writer, STR("X-Request-Id"), (struct str){request->id, request->id_len});
    http1_write_framing(&writer, HTTP1_BODY_LENGTH, body.len);
    if (!request->keep_alive) {
        WRITER_PUT(&writer, "Connection: close\r\n");
    } else if (request->version_minor == 0) {
        WRITER_PUT(&writer, "Connection: keep-alive\r\n");
    }
    http1_write_end(&writer);
    if (request->method != HTTP1_HEAD) {
        writer_put(&writer, body);
    }
    if (writer.overflowed ||
        stream_send_copy(&request->client->stream, bytes, writer_len(&writer)) < 0) {
        client_abort(request->client);
        return REQUEST_GONE;
    }
    counter_add(&worker->counters, COUNTER_bytes_to_clients, writer_len(&writer));
    return REQUEST_FINISH;
}

enum request_state request_step_answer(struct request *request)
{
    char body[256];
    struct writer writer;
    unsigned status = request->own_status;
    counter_add(&request->worker->counters, counter_of(status), 1);
    writer_init(&writer, body, sizeof(body));
    writer_printf(&writer, "%u %.*s\nreason: %s\nrequest: %.*s\n", status,
                  STR_ARG(http1_status_reason(status)), request->own_reason, request->id_len,
                  request->id);
    // What may be the rest of a refused request must not be taken for the next one.
    if (status == 400 || status == 408 || status == 413 || status == 414 || status == 431 ||
        status == 501 || status == 505) {
        request->keep_alive = false;
    }
    return send_answer(request, status, STR("text/plain; charset=utf-8"), (struct str){0},
                       writer_str(&writer));
}

enum request_state request_answer_status(struct request *request, const struct http1_head *head)
{
    const struct str json = STR("application/json"), text = STR("text/plain; charset=utf-8");
    bool known = str_equal(head->path, STR("/health"));
    if (!known) {
        return send_answer(request, 404, text, (struct str){0}, STR("only /health is here\n"));
    }
    if (head->method != HTTP1_GET && head->method != HTTP1_HEAD) {
        return send_answer(request, 405, text, STR("Allow: GET, HEAD\r\n"), STR("GET only\n"));
    }
    return send_answer(request, 200, json, STR("Cache-Control: no-store\r\n"),
                       request->view->compiled->health_body);
}
