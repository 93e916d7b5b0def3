// SPDX-License-Identifier: Apache-2.0
// libcurl tells which descriptors to watch (socket_changed) and when to be woken (timer_changed);
// the loop tells libcurl what became ready; afterwards finished calls are collected.
#include "http/client.h"

#include <curl/curl.h>

#include "event/timer.h"

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct list sockets;
};

struct socket_watch {
    struct watch watch;
    struct list link;
    struct http_client *client;
};

static void call_clear(struct http_call *call)
{
    curl_slist_free_all(call->header_list);
    call->header_list = NULL;
    free(call->body);
    call->body = NULL;
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
}

static int error_from_curl(const struct http_call *call, CURLcode code)
{
    long os_error = 0;
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT:
        return os_error > 0 ? -(int)os_error : -ECONNREFUSED;
    case CURLE_WRITE_ERROR:
        return call->too_long ? -EMSGSIZE : -ENOMEM;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static void call_finish(struct http_call *call, CURLcode code)
{
    struct http_answer answer = {.error = error_from_curl(call, code), .text = ""};
    struct http_call finished = *call;
    if (answer.error == 0) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (unsigned)status;
        answer.body = (struct str){call->body != NULL ? call->body : "", call->body_len};
    } else {
        answer.text =
            finished.error_text[0] != '\0' ? finished.error_text : curl_easy_strerror(code);
    }
    // What the answer points to lives in `finished`, so the owner may start the next call at once.
    curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_setopt(finished.easy, CURLOPT_ERRORBUFFER, NULL);
    call->easy = NULL;
    call->header_list = NULL;
    call->body = NULL;
    finished.done(call, &answer);
    call_clear(&finished);
}

static void collect_finished(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;
            char *call = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            call_finish((struct http_call *)call, code);
        }
    }
}

static void socket_ready(struct watch *watch, unsigned events)
{
    struct http_client *client = CONTAINER_OF(watch, struct socket_watch, watch)->client;
    int action = ((events & WATCH_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((events & WATCH_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(client->multi, watch->fd, action, &running);
    collect_finished(client);
}

static void socket_forget(struct socket_watch *socket)
{
    watch_close(&socket->watch);
    list_remove(&socket->link);
    free(socket);
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct http_client *client = user;
    struct socket_watch *socket = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            socket_forget(socket);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    unsigned events = ((what & CURL_POLL_IN) != 0 ? WATCH_READ : 0) |
                      ((what & CURL_POLL_OUT) != 0 ? WATCH_WRITE : 0);
    if (socket != NULL) {
        return watch_change(&socket->watch, events) < 0 ? -1 : 0;
    }
    socket = calloc(1, sizeof(*socket));
    if (socket == NULL || watch_open(&socket->watch, client->loop, fd, events, socket_ready) < 0) {
        free(socket);
        return -1;
    }
    socket->client = client;
    list_append(&client->sockets, &socket->link);
    curl_multi_assign(client->multi, fd, socket);
    return 0;
}

static int timer_changed(CURLM *multi, long timeout_ms, void *user)
{
    struct http_client *client = user;
    if (timeout_ms < 0) {
        timer_cancel(&client->timer);
    } else {
        timer_set(client->loop, &client->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static void timer_fired(struct timer *timer)
{
    struct http_client *client = CONTAINER_OF(timer, struct http_client, timer);
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(client);
}

int http_client_new(struct loop *loop, struct http_client **ret_client)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return -ENOMEM;
    }
    struct http_client *client = calloc(1, sizeof(*client));
    CURLM *multi = curl_multi_init();
    if (client == NULL || multi == NULL) {
        free(client);
        curl_multi_cleanup(multi);
        return -ENOMEM;
    }
    client->loop = loop;
    client->multi = multi;
    list_init(&client->sockets);
    timer_init(&client->timer, timer_fired);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_changed);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    *ret_client = client;
    return 0;
}

struct http_client *http_client_free(struct http_client *client)
{
    if (client != NULL) {
        curl_multi_cleanup(client->multi);
        LIST_FOREACH (&client->sockets, link) {
            socket_forget(CONTAINER_OF(link, struct socket_watch, link));
        }
        timer_cancel(&client->timer);
        free(client);
        curl_global_cleanup();
    }
    return NULL;
}

// Bytes kept for a body of that length, its ending NUL included: a power of two, so that a long body
// that comes in small parts is moved a few times, not at each part.
static size_t body_room(size_t len)
{
    size_t room = 4096;
    while (room < len + 1) {
        room *= 2;
    }
    return room;
}

static size_t body_arrived(char *bytes, size_t size, size_t count, void *user)
{
    struct http_call *call = user;
    size_t len = size * count;
    if (len > call->body_max - call->body_len) {
        call->too_long = true;
        return 0;
    }
    if (call->body == NULL || body_room(call->body_len + len) > body_room(call->body_len)) {
        char *grown = realloc(call->body, body_room(call->body_len + len));
        if (grown == NULL) {
            return 0;
        }
        call->body = grown;
    }
    memcpy(call->body + call->body_len, bytes, len);
    call->body_len += len;
    call->body[call->body_len] = '\0';
    return len;
}

static bool method_has_body(const char *method)
{
    return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0 ||
           strcmp(method, "PATCH") == 0;
}

// libcurl's setopt is checked by type at compile time, so the settings stand one by one.
static bool call_configure(struct http_call *call, const struct http_ask *ask)
{
    CURL *easy = call->easy;
    // Else libcurl waits up to a second for 100 Continue before it sends a larger body.
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    bool ok = headers != NULL;
    for (size_t i = 0; ok && i < ARRAY_LEN(ask->headers) && ask->headers[i] != NULL; i++) {
        ok = curl_slist_append(headers, ask->headers[i]) != NULL;
    }
    call->header_list = headers;
#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
    SET(CURLOPT_URL, ask->url);
    SET(CURLOPT_CUSTOMREQUEST, ask->method);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_PRIVATE, (void *)call);
    SET(CURLOPT_ERRORBUFFER, call->error_text);
    SET(CURLOPT_WRITEFUNCTION, body_arrived);
    SET(CURLOPT_WRITEDATA, (void *)call);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        (long)(ask->connect_timeout_ms != 0 ? ask->connect_timeout_ms : 2000));
    SET(CURLOPT_TIMEOUT_MS, (long)(ask->timeout_ms != 0 ? ask->timeout_ms : 10000));
    if (ask->unix_socket != NULL) {
        SET(CURLOPT_UNIX_SOCKET_PATH, ask->unix_socket);
    }
    if (ask->fresh_connection) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    if (ask->body.len > 0 || method_has_body(ask->method)) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body.len);
        SET(CURLOPT_COPYPOSTFIELDS, ask->body.len > 0 ? ask->body.at : "");
    } else if (strcmp(ask->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
#undef SET
    return ok;
}

int http_client_call(struct http_client *client, const struct http_ask *ask, struct http_call *call,
                     void (*done)(struct http_call *, const struct http_answer *))
{
    *call = (struct http_call){
        .client = client,
        .easy = curl_easy_init(),
        .done = done,
        .body_max = ask->answer_max != 0 ? ask->answer_max : (size_t)16 << 20,
        .owner = call->owner,
    };
    if (call->easy == NULL) {
        return -ENOMEM;
    }
    if (!call_configure(call, ask) ||
        curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        call_clear(call);
        return -EINVAL;
    }
    return 0;
}

void http_call_cancel(struct http_call *call)
{
    if (call->easy != NULL) {
        curl_multi_remove_handle(call->client->multi, call->easy);
        call_clear(call);
    }
}
