// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/output.h"

static const char default_socket[] = "/run/weir/controller.sock";
static const char default_base[] = "http://127.0.0.1:7600";

enum { CONNECT_TIMEOUT_MS = 5000, ANSWER_TIMEOUT_MS = 30000 };

struct received {
    char *at;
    size_t len;
    bool too_long;
};

static int set_socket(struct client *client, const char *path)
{
    if (strlen(path) >= sizeof(client->socket) || path[0] == '\0') {
        return -EINVAL;
    }
    strcpy(client->socket, path);
    strcpy(client->base, "http://localhost");
    return 0;
}

static int set_address(struct client *client, const char *server)
{
    if (server == NULL || server[0] == '\0') {
        if (access(default_socket, F_OK) == 0) {
            return set_socket(client, default_socket);
        }
        server = default_base;
    }
    if (strncmp(server, "unix:", 5) == 0) {
        return set_socket(client, server + 5);
    }
    if (server[0] == '/' || server[0] == '.') {
        return set_socket(client, server);
    }
    bool scheme = strncmp(server, "http://", 7) == 0 || strncmp(server, "https://", 8) == 0;
    if (!scheme && (strstr(server, "://") != NULL || strchr(server, ':') == NULL)) {
        return -EINVAL;
    }
    size_t len = strlen(server);
    while (len > 0 && server[len - 1] == '/') {
        len--;
    }
    int n = snprintf(client->base, sizeof(client->base), "%s%.*s", scheme ? "" : "http://",
                     (int)len, server);
    return n < (int)sizeof(client->base) ? 0 : -EINVAL;
}

int client_open(struct client *client, const char *server)
{
    bool quiet = client->quiet;
    *client = (struct client){.timeout_ms = ANSWER_TIMEOUT_MS, .quiet = quiet};
    int r = set_address(client, server);
    if (r < 0) {
        return r;
    }
    client->curl = curl_easy_init();
    return client->curl != NULL ? 0 : -ENOMEM;
}

void client_close(struct client *client)
{
    curl_easy_cleanup(client->curl);
    client->curl = NULL;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct received *received = context;
    size_t len = size * count;
    if (received->len + len > ANSWER_BYTES_MAX) {
        received->too_long = true;
        return 0;
    }
    char *grown = realloc(received->at, received->len + len + 1);
    if (grown == NULL) {
        return 0;
    }
    received->at = grown;
    memcpy(grown + received->len, bytes, len);
    received->len += len;
    return len;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    struct str line = {bytes, size * count}, name = STR("etag:");
    if (line.len > name.len && str_equal_nocase((struct str){line.at, name.len}, name)) {
        size_t from = name.len, to = line.len;
        while (from < to && (line.at[from] == ' ' || line.at[from] == '\t')) {
            from++;
        }
        while (to > from && (unsigned char)line.at[to - 1] <= ' ') {
            to--;
        }
        if (to - from < sizeof(answer->etag)) {
            memcpy(answer->etag, line.at + from, to - from);
            answer->etag[to - from] = '\0';
        }
    }
    return size * count;
}

static void tell_unreachable(const struct client *client, CURLcode code, const char *detail)
{
    if (client->quiet) {
        return;
    }
    const char *where = client->socket[0] != '\0' ? client->socket : client->base;
    if (code == CURLE_OPERATION_TIMEDOUT) {
        tell_error("the controller at %s does not answer", where);
        return;
    }
    long number = client->socket[0] != '\0' && access(client->socket, F_OK) != 0 ? errno : 0;
    if (number == 0 && code == CURLE_COULDNT_CONNECT) {
        curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &number);
    }
    tell_error("cannot reach the controller at %s: %s", where,
               number != 0         ? strerror((int)number)
               : detail[0] != '\0' ? detail
                                   : curl_easy_strerror(code));
}

static int read_body(const struct client *client, const struct received *received,
                     struct answer *answer)
{
    if (received->len == 0) {
        return EXIT_OK;
    }
    json_error_t problem;
    answer->body = json_loadb(received->at, received->len, JSON_DECODE_ANY, &problem);
    if (answer->body == NULL) {
        if (!client->quiet) {
            tell_error("what answers at %s (status %ld) is no Weir controller",
                       client->socket[0] != '\0' ? client->socket : client->base, answer->status);
        }
        return EXIT_UNREACHABLE;
    }
    return EXIT_OK;
}

int client_send(struct client *client, const char *method, const char *path, const json_t *body,
                const char *if_match, struct answer *ret_answer)
{
    CURL *curl = client->curl;
    struct received received = {0};
    struct answer answer = {0};
    char problem[CURL_ERROR_SIZE] = "", match[64], url[SERVER_TEXT_MAX + 2048];
    if (snprintf(url, sizeof(url), "%s%s", client->base, path) >= (int)sizeof(url)) {
        tell_error("the name is too long");
        return EXIT_USAGE;
    }
    cleanup(free_ptr) char *text = NULL;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_reset(curl);
    if (body != NULL) {
        text = json_dumps(body, JSON_COMPACT);
        headers = curl_slist_append(headers, "Content-Type: application/json");
        if (text == NULL) {
            tell_error("out of memory");
            curl_slist_free_all(headers);
            return EXIT_UNREACHABLE;
        }
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
    }
    if (if_match != NULL && if_match[0] != '\0') {
        snprintf(match, sizeof(match), "If-Match: %s", if_match);
        headers = curl_slist_append(headers, match);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (client->socket[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    // The controller is an address that the user named; an HTTP proxy of the environment is for
    // the web.
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)MIN(client->timeout_ms, (uint32_t)CONNECT_TIMEOUT_MS));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);

    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    int result = EXIT_UNREACHABLE;
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
        result = read_body(client, &received, &answer);
    } else if (received.too_long) {
        tell_error("the answer is longer than %d bytes", (int)ANSWER_BYTES_MAX);
    } else {
        tell_unreachable(client, code, problem);
    }
    free(received.at);
    if (result == EXIT_OK) {
        *ret_answer = answer;
    }
    return result;
}

int client_tell_refusal(const struct answer *answer)
{
    // A problem (RFC 9457), or the envelope's error.
    const json_t *error = json_object_get(answer->body, "error");
    const json_t *from = json_is_object(error) ? error : answer->body;
    const char *text = json_text(from, "detail");
    if (text[0] == '\0') {
        text = json_text(from, "message");
    }
    if (text[0] == '\0') {
        text = json_text(from, "title");
    }
    const char *field = json_text(from, "field");
    if (text[0] == '\0') {
        tell_error("the controller refused (status %ld)", answer->status);
    } else if (field[0] != '\0') {
        tell_error("%s (field %s)", text, field);
    } else {
        tell_error("%s", text);
    }
    return answer->status == 504 ? EXIT_TIMED_OUT : EXIT_REFUSED;
}

int client_ask(struct client *client, const char *method, const char *path, const json_t *body,
               const char *if_match, struct answer *ret_answer)
{
    struct answer answer;
    int code = client_send(client, method, path, body, if_match, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    if (answer.status >= 400) {
        code = client->quiet ? EXIT_REFUSED : client_tell_refusal(&answer);
        answer_free(&answer);
        return code;
    }
    *ret_answer = answer;
    return EXIT_OK;
}

int client_get(struct client *client, const char *path, json_t **ret_body)
{
    struct answer answer;
    int code = client_ask(client, "GET", path, NULL, NULL, &answer);
    if (code != EXIT_OK) {
        return code;
    }
    if (!json_is_object(answer.body)) {
        answer_free(&answer);
        if (!client->quiet) {
            tell_error("the controller's answer is not an object");
        }
        return EXIT_UNREACHABLE;
    }
    *ret_body = answer.body;
    return EXIT_OK;
}

void answer_free(struct answer *answer)
{
    json_decref(answer->body);
    answer->body = NULL;
}

char *client_path(const char *pattern, ...)
{
    static const char hex[] = "0123456789ABCDEF";
    char *text = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&text, &len);
    if (stream == NULL) {
        return NULL;
    }
    va_list values;
    va_start(values, pattern);
    for (const char *at = pattern; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 'u') {
            fprintf(stream, "%llu", (unsigned long long)va_arg(values, uint64_t));
            at++;
        } else if (at[0] == '%' && at[1] == 's') {
            for (const char *c = va_arg(values, const char *); *c != '\0'; c++) {
                if ((*c >= '0' && *c <= '9') ||
                    (ascii_lower(*c) >= 'a' && ascii_lower(*c) <= 'z') ||
                    strchr("-_~", *c) != NULL || *c == '.') {
                    fputc(*c, stream);
                } else {
                    fprintf(stream, "%%%c%c", hex[(unsigned char)*c >> 4], hex[*c & 15]);
                }
            }
            at++;
        } else {
            fputc(*at, stream);
        }
    }
    va_end(values);
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
