// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 messages: bytes ↔ meaning, strict by RFC 9112 and RFC 9110. No I/O, no allocation.
//
// Two parties that read one message differently are how requests are smuggled, so what can be read
// in two ways is refused, never repaired; and what is passed on is written anew from the parsed
// message, never copied raw. Everything here works on views (struct str) into the caller's bytes.
//
// How a head is parsed. The parser judges whole lines: a line whose LF has not come is looked at
// only for its length. So a verdict does not depend on how the bytes were cut into packets. It goes
// on where it stopped, and looks at a byte of an unfinished line once: O(n) for the slowest client.
//
//     struct http1_head *head = …;          // ~5 KiB; untouched fields cost nothing
//     http1_head_init(head);                // before each message
//     int n = http1_parse_request(head, bytes, &http1_limits_default);
//     n > 0   the head is the first n bytes (leading CRLF included); views point into `bytes`
//     n == 0  call again with the same bytes and more after them; they may have moved in memory
//     n < 0   refuse: answer status -n and close; head->refusal is a stable word for the log
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "codec/cursor.h"

enum {
    HTTP1_FIELDS_MAX = 128,
    HTTP1_CONNECTION_OPTIONS_MAX = 32, // each is compared with every field
    HTTP1_CHUNK_EXTENSION_MAX = 256,   // bytes a chunk
};

struct http1_limits {
    uint32_t line_bytes; // the start-line, and each field line, without CRLF
    uint32_t head_bytes; // all of it
    uint32_t fields;     // ≤ HTTP1_FIELDS_MAX
    uint64_t body_bytes; // a larger Content-Length is refused with 413; 0: no limit
    bool connect;        // accept CONNECT with its authority-form target
};
// 16 KiB, 64 KiB, 128, no limit, false.
extern const struct http1_limits http1_limits_default;

enum http1_method {
    HTTP1_OTHER, // any other token; see head->method_text
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_DELETE,
    HTTP1_CONNECT,
    HTTP1_OPTIONS,
    HTTP1_TRACE,
    HTTP1_PATCH,
};

// The fields that the parser knows: id, name, first and last but one letter (for the
// compile-time hash in http1_field.c), what to know of it:
//   HOP      of this connection only, never passed on (RFC 9110 §7.6.1), framing included: the
//            writers make it anew
//   KEEP     passed on even when Connection nominates it: clients may not strip it
//   BARE     never allowed in trailers (RFC 9110 §6.5.1: framing, routing, authentication, content)
#define HTTP1_FIELD_TABLE(FIELD)                                                        \
    FIELD(HOST, "host", 'h', 's', HTTP1_HOP | HTTP1_BARE)                               \
    FIELD(CONNECTION, "connection", 'c', 'o', HTTP1_HOP | HTTP1_BARE)                   \
    FIELD(CONTENT_LENGTH, "content-length", 'c', 't', HTTP1_HOP | HTTP1_BARE)           \
    FIELD(TRANSFER_ENCODING, "transfer-encoding", 't', 'n', HTTP1_HOP | HTTP1_BARE)     \
    FIELD(KEEP_ALIVE, "keep-alive", 'k', 'v', HTTP1_HOP | HTTP1_BARE)                   \
    FIELD(TE, "te", 't', 't', HTTP1_HOP | HTTP1_BARE)                                   \
    FIELD(UPGRADE, "upgrade", 'u', 'd', HTTP1_HOP | HTTP1_BARE)                         \
    FIELD(HTTP2_SETTINGS, "http2-settings", 'h', 'g', HTTP1_HOP | HTTP1_BARE)           \
    FIELD(PROXY, "proxy", 'p', 'x', HTTP1_HOP | HTTP1_BARE)                             \
    FIELD(PROXY_CONNECTION, "proxy-connection", 'p', 'o', HTTP1_HOP | HTTP1_BARE)       \
    FIELD(PROXY_AUTHENTICATE, "proxy-authenticate", 'p', 't', HTTP1_HOP | HTTP1_BARE)   \
    FIELD(PROXY_AUTHORIZATION, "proxy-authorization", 'p', 'o', HTTP1_HOP | HTTP1_BARE) \
    FIELD(TRAILER, "trailer", 't', 'e', HTTP1_KEEP | HTTP1_BARE)                        \
    FIELD(EXPECT, "expect", 'e', 'c', HTTP1_KEEP | HTTP1_BARE)                          \
    FIELD(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'o', HTTP1_KEEP | HTTP1_BARE)        \
    FIELD(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 't', HTTP1_KEEP | HTTP1_BARE)    \
    FIELD(X_FORWARDED_PORT, "x-forwarded-port", 'x', 'r', HTTP1_KEEP | HTTP1_BARE)      \
    FIELD(X_FORWARDED_HOST, "x-forwarded-host", 'x', 's', HTTP1_KEEP | HTTP1_BARE)      \
    FIELD(X_REAL_IP, "x-real-ip", 'x', 'i', HTTP1_KEEP | HTTP1_BARE)                    \
    FIELD(X_REQUEST_ID, "x-request-id", 'x', 'i', HTTP1_KEEP | HTTP1_BARE)              \
    FIELD(FORWARDED, "forwarded", 'f', 'e', HTTP1_KEEP | HTTP1_BARE)                    \
    FIELD(VIA, "via", 'v', 'i', HTTP1_KEEP | HTTP1_BARE)                                \
    FIELD(DATE, "date", 'd', 't', HTTP1_KEEP | HTTP1_BARE)                              \
    FIELD(SERVER, "server", 's', 'e', HTTP1_KEEP)                                       \
    FIELD(AUTHORIZATION, "authorization", 'a', 'o', HTTP1_KEEP | HTTP1_BARE)            \
    FIELD(WWW_AUTHENTICATE, "www-authenticate", 'w', 't', HTTP1_KEEP | HTTP1_BARE)      \
    FIELD(COOKIE, "cookie", 'c', 'i', HTTP1_KEEP | HTTP1_BARE)                          \
    FIELD(SET_COOKIE, "set-cookie", 's', 'i', HTTP1_KEEP | HTTP1_BARE)                  \
    FIELD(CACHE_CONTROL, "cache-control", 'c', 'o', HTTP1_KEEP | HTTP1_BARE)            \
    FIELD(CONTENT_TYPE, "content-type", 'c', 'p', HTTP1_KEEP | HTTP1_BARE)              \
    FIELD(CONTENT_ENCODING, "content-encoding", 'c', 'n', HTTP1_KEEP | HTTP1_BARE)      \
    FIELD(CONTENT_RANGE, "content-range", 'c', 'g', HTTP1_KEEP | HTTP1_BARE)            \
    FIELD(LOCATION, "location", 'l', 'o', HTTP1_KEEP | HTTP1_BARE)                      \
    FIELD(ETAG, "etag", 'e', 'a', HTTP1_KEEP)                                           \
    FIELD(LAST_MODIFIED, "last-modified", 'l', 'e', HTTP1_KEEP)                         \
    FIELD(USER_AGENT, "user-agent", 'u', 'n', HTTP1_KEEP)                               \
    FIELD(ACCEPT, "accept", 'a', 'p', HTTP1_KEEP)                                       \
    FIELD(ACCEPT_ENCODING, "accept-encoding", 'a', 'n', HTTP1_KEEP)                     \
    FIELD(ACCEPT_LANGUAGE, "accept-language", 'a', 'g', HTTP1_KEEP)                     \
    FIELD(ACCEPT_RANGES, "accept-ranges", 'a', 'e', HTTP1_KEEP)                         \
    FIELD(REFERER, "referer", 'r', 'e', HTTP1_KEEP)                                     \
    FIELD(ORIGIN, "origin", 'o', 'i', HTTP1_KEEP)                                       \
    FIELD(RANGE, "range", 'r', 'g', HTTP1_KEEP | HTTP1_BARE)                            \
    FIELD(VARY, "vary", 'v', 'r', HTTP1_KEEP)                                           \
    FIELD(IF_MATCH, "if-match", 'i', 'c', HTTP1_KEEP | HTTP1_BARE)                      \
    FIELD(IF_NONE_MATCH, "if-none-match", 'i', 'c', HTTP1_KEEP | HTTP1_BARE)            \
    FIELD(IF_MODIFIED_SINCE, "if-modified-since", 'i', 'c', HTTP1_KEEP | HTTP1_BARE)    \
    FIELD(ALLOW, "allow", 'a', 'o', HTTP1_KEEP)                                         \
    FIELD(RETRY_AFTER, "retry-after", 'r', 'e', HTTP1_KEEP | HTTP1_BARE)                \
    FIELD(MAX_FORWARDS, "max-forwards", 'm', 'd', HTTP1_KEEP | HTTP1_BARE)

#define HTTP1_FIELD_ID_(id, name, first, last_but_one, flags) HTTP1_##id,
enum http1_field_id { HTTP1_UNKNOWN, HTTP1_FIELD_TABLE(HTTP1_FIELD_ID_) HTTP1_FIELD_IDS };
#undef HTTP1_FIELD_ID_
_Static_assert(HTTP1_FIELD_IDS <= 64, "a set of ids is one word");
#define HTTP1_SET(id) (UINT64_C(1) << (id))

enum {
    HTTP1_HOP = 1,
    HTTP1_KEEP = 2,
    HTTP1_BARE = 4,
    // Found while parsing, in head->fields[].flags only:
    HTTP1_NOMINATED = 8, // by Connection: goes no further
    // A field of the table with '_' for '-' ("X_Forwarded_For"): gateways to CGI take both for one,
    // so it goes no further.
    HTTP1_LOOKALIKE = 16,
    // Came exactly as it is written ("Name: value\r\n"), so neighbours can be copied as one.
    HTTP1_CANONICAL = 32,
    HTTP1_DROPPED = HTTP1_HOP | HTTP1_NOMINATED | HTTP1_LOOKALIKE,
};

struct http1_field {
    struct str name, value; // value without the spaces and tabs around it
    uint8_t id;             // enum http1_field_id
    uint8_t flags;
};

enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH, // content_length bytes, may be 0
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_UNTIL_CLOSE, // responses only
};

enum http1_target_form {
    HTTP1_TARGET_ORIGIN,
    HTTP1_TARGET_ABSOLUTE,
    HTTP1_TARGET_AUTHORITY,
    HTTP1_TARGET_ASTERISK
};

struct http1_head {
    // Both.
    uint8_t version_minor; // 0 or 1; a later 1.x is treated as 1.1 (RFC 9110 §2.5)
    uint8_t body;          // enum http1_body
    bool keep_alive;       // the sender lets this connection go on after the message
    bool has_content_length;
    uint64_t
        content_length;   // valid with has_content_length; for HEAD and 304 not the body's length
    struct str upgrade;   // the offered (request) or taken (101) protocols; empty: none
    const char *refusal;  // after a refusal: a stable word, "te_with_cl"
    uint64_t fields_seen; // HTTP1_SET of known ids
    uint64_t fields_repeated; // those that came more than once
    uint32_t field_count;

    // Requests.
    uint8_t method;      // enum http1_method
    uint8_t target_form; // enum http1_target_form
    bool expects_continue;
    struct str method_text;
    struct str target; // as received
    struct str path;   // starts with '/', or is "*"; may point to a constant
    struct str query;  // without '?'; .at is NULL when there was no '?'
    struct str host;   // host[:port], from the absolute form or Host; empty only in HTTP/1.0

    // Responses.
    uint16_t status; // 100–999
    struct str reason;

    // The parser's own.
    const char *base;
    uint32_t line_start, scanned;
    bool start_line_done;

    uint8_t first[HTTP1_FIELD_IDS]; // index of the first field with an id of fields_seen
    struct http1_field fields[HTTP1_FIELDS_MAX];
};

static inline void http1_head_init(struct http1_head *head)
{
    memset(head, 0, offsetof(struct http1_head, first));
}

int http1_parse_request(struct http1_head *head, struct str bytes,
                        const struct http1_limits *limits);
// request_method is the one this answers: it rules the framing (RFC 9112 §6.3). A refusal is always
// -502. 1xx heads come one by one: call http1_head_init and parse again after each.
int http1_parse_response(struct http1_head *head, struct str bytes,
                         const struct http1_limits *limits, enum http1_method request_method);

// The first field with this id at or after index from; NULL when there is none.
const struct http1_field *http1_find(const struct http1_head *head, enum http1_field_id id,
                                     uint32_t from);
// By name, for fields the table does not know.
const struct http1_field *http1_find_name(const struct http1_head *head, struct str name);

// Safe methods (RFC 9110 §9.2.1) and idempotent ones (§9.2.2); HTTP1_OTHER is neither.
bool http1_method_is_safe(enum http1_method method);
bool http1_method_is_idempotent(enum http1_method method);
struct str http1_method_name(enum http1_method method);
// "Not Found"; empty for a status that has none.
struct str http1_status_reason(unsigned status);

// ---- A head, built anew -----------------------------------------------------------------------
// Values the caller writes itself must be free of control bytes: http1_value_is_valid.

// "GET /path?query HTTP/1.1" and the Host field; host stands in where the request has none.
void http1_write_request_start(struct writer *writer, const struct http1_head *head,
                               struct str host);
// "HTTP/1.1 200 OK"; an empty reason stays empty.
void http1_write_response_start(struct writer *writer, unsigned status, struct str reason);
// Every field that goes end to end, in order, but those in skip (HTTP1_SET(…) | …).
void http1_write_fields(struct writer *writer, const struct http1_head *head, uint64_t skip);
void http1_write_field(struct writer *writer, struct str name, struct str value);
// Content-Length or Transfer-Encoding; nothing for the other two kinds.
void http1_write_framing(struct writer *writer, enum http1_body body, uint64_t content_length);
static inline void http1_write_end(struct writer *writer)
{
    WRITER_PUT(writer, "\r\n");
}
bool http1_value_is_valid(struct str value);
bool http1_token_is_valid(struct str token);

// ---- Chunked bodies ---------------------------------------------------------------------------
// An incremental decoder (RFC 9112 §7.1): it takes bytes off the front of *input and gives spans of
// payload that point into it.
//
//     while ((step = http1_chunks_next(&chunks, &input, &payload)) == HTTP1_CHUNKS_PAYLOAD) { … }
//
// Sizes are 1–16 hex digits; extensions are accepted when well-formed and dropped.
enum http1_chunks_step {
    HTTP1_CHUNKS_MORE,     // all input is taken; feed the next bytes
    HTTP1_CHUNKS_PAYLOAD,  // *ret_payload is set, never empty; call again
    HTTP1_CHUNKS_TRAILERS, // a trailer field begins: give room with http1_chunks_take_trailers,
                           // then call again (without room they are checked and dropped)
    HTTP1_CHUNKS_END,      // the body is over; what is left of *input belongs to the next message
    HTTP1_CHUNKS_REFUSED,  // chunks->refusal says why; the connection must close
};

struct http1_chunks {
    uint8_t state; // the decoder's own
    uint8_t digits;
    uint16_t extension_bytes;
    uint16_t trailer_count;
    uint16_t refused_status; // 400, or 431 for too many or too long trailers
    bool trailers_asked;
    bool blank; // the last byte of a chunk's first line was a space or tab
    uint32_t trailer_bytes;
    uint64_t extension_total;
    uint64_t left;          // of the current chunk
    uint64_t payload_bytes; // given out so far
    const char *refusal;
    // Trailers that may be passed on, ready to be sent: "Name: value\r\n"…
    char *trailers;
    uint32_t trailers_len, trailers_size;
    uint32_t line_len, name_len; // of the unfinished line behind trailers_len
};

void http1_chunks_init(struct http1_chunks *chunks);
enum http1_chunks_step http1_chunks_next(struct http1_chunks *chunks, struct str *input,
                                         struct str *ret_payload);
// Borrowed until the body is over. Trailers of more than size bytes together are refused.
static inline void http1_chunks_take_trailers(struct http1_chunks *chunks, char *room,
                                              uint32_t size)
{
    chunks->trailers = room;
    chunks->trailers_size = size;
}

// "1f\r\n" before len > 0 bytes of payload, whose end is "\r\n".
void http1_write_chunk_start(struct writer *writer, uint64_t len);
// "0\r\n", the trailers (as the decoder gives them, may be empty), "\r\n".
void http1_write_chunk_end(struct writer *writer, struct str trailers);
