// SPDX-License-Identifier: Apache-2.0
// The decoder of chunked bodies, a state machine over bytes.
//
//   SIZE ─▶ (AFTER_SIZE ─▶ EXT_…) ─▶ SIZE_LF ─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE …
//                                       └─ size 0 ─▶ TRAILER ⇄ NAME, VALUE ─▶ END_LF ─▶ END
//
// Extensions (RFC 9112 §7.1.1) mean nothing to us: "A recipient MUST ignore unrecognized chunk
// extensions." They are held to their grammar all the same, because lenient ones have been a way to
// smuggle requests, and bounded, because they cost work that no payload pays for.
#include "codec/http1.h"
#include "codec/http1_scan.h"

enum state {
    SIZE,        // hex digits
    AFTER_SIZE,  // spaces and tabs before ';'
    EXT_BEGIN,   // behind ';'
    EXT_NAME,    // in a name
    EXT_MORE,    // spaces and tabs behind a name: '=' or ';' or CR
    EXT_VALUE,   // behind '=': a token or '"'
    EXT_TOKEN,   // in a token value
    EXT_QUOTED,  // in a quoted value
    EXT_ESCAPED, // behind '\' in it
    EXT_VALUED,  // behind a value: ';' or CR
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, // the start of a trailer line
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    END,
    REFUSED,
};

enum {
    TRAILER_BYTES_MAX = 64 << 10, // as a head
    EXTENSION_FREE_BYTES = 16 << 10,
};

void http1_chunks_init(struct http1_chunks *chunks)
{
    *chunks = (struct http1_chunks){.state = SIZE};
}

static enum http1_chunks_step refuse(struct http1_chunks *chunks, const char *reason)
{
    chunks->state = REFUSED;
    chunks->refusal = reason;
    if (chunks->refused_status == 0) {
        chunks->refused_status = 400;
    }
    return HTTP1_CHUNKS_REFUSED;
}

static enum http1_chunks_step refuse_trailers(struct http1_chunks *chunks, const char *reason)
{
    chunks->refused_status = 431;
    return refuse(chunks, reason);
}

static int hex_digit(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// ---- The first line of a chunk ----------------------------------------------------------------

static enum state after_name(char c)
{
    return c == '=' ? EXT_VALUE : c == ';' ? EXT_BEGIN : c == '\r' ? SIZE_LF : REFUSED;
}

// Where one byte of an extension leads; REFUSED when the grammar forbids it:
// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ). Blanks stand only
// before and behind ';' and '=', so a CR right behind one is not in the grammar.
static enum state extension_step(struct http1_chunks *chunks, char c)
{
    bool after_blank = chunks->blank;
    chunks->blank = is_blank(c);
    switch ((enum state)chunks->state) {
    case AFTER_SIZE:
        return is_blank(c) ? AFTER_SIZE : c == ';' ? EXT_BEGIN : REFUSED;
    case EXT_BEGIN:
        return is_blank(c) ? EXT_BEGIN : is_token_byte(c) ? EXT_NAME : REFUSED;
    case EXT_NAME:
        if (is_token_byte(c)) {
            return EXT_NAME;
        }
        return is_blank(c) ? EXT_MORE : after_name(c);
    case EXT_MORE:
        return is_blank(c) ? EXT_MORE : c == '\r' ? REFUSED : after_name(c);
    case EXT_VALUE:
        return is_blank(c)        ? EXT_VALUE
               : c == '"'         ? EXT_QUOTED
               : is_token_byte(c) ? EXT_TOKEN
                                  : REFUSED;
    case EXT_TOKEN:
        if (is_token_byte(c)) {
            return EXT_TOKEN;
        }
        return is_blank(c) ? EXT_VALUED : c == ';' ? EXT_BEGIN : c == '\r' ? SIZE_LF : REFUSED;
    case EXT_QUOTED:
        return c == '"'        ? EXT_VALUED
               : c == '\\'     ? EXT_ESCAPED
               : ends_value(c) ? REFUSED
                               : EXT_QUOTED;
    case EXT_ESCAPED:
        return ends_value(c) ? REFUSED : EXT_QUOTED;
    case EXT_VALUED:
        return is_blank(c)                 ? EXT_VALUED
               : c == ';'                  ? EXT_BEGIN
               : c == '\r' && !after_blank ? SIZE_LF
                                           : REFUSED;
    default:
        return REFUSED;
    }
}

static bool extension_byte(struct http1_chunks *chunks, char c)
{
    // A sender that hides work in extensions pays with payload beyond the first 16 KiB of them.
    chunks->extension_total++;
    if (++chunks->extension_bytes > HTTP1_CHUNK_EXTENSION_MAX ||
        chunks->extension_total > EXTENSION_FREE_BYTES + chunks->payload_bytes) {
        refuse(chunks, "chunk_extension_too_long");
        return false;
    }
    enum state next = extension_step(chunks, c);
    if (next == REFUSED) {
        refuse(chunks, "bad_chunk_extension");
        return false;
    }
    chunks->state = (uint8_t)next;
    return true;
}

static bool size_byte(struct http1_chunks *chunks, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        // 16 digits and no more, leading zeros counted, and no length that a signed reader
        // misreads.
        if (chunks->digits == 16 || chunks->left > (INT64_MAX >> 4)) {
            refuse(chunks, "chunk_size_too_large");
            return false;
        }
        chunks->digits++;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return true;
    }
    if (chunks->digits == 0) {
        refuse(chunks, "bad_chunk_size");
        return false;
    }
    chunks->digits = 0;
    chunks->extension_bytes = 0;
    chunks->blank = false;
    if (c == '\r') {
        chunks->state = SIZE_LF;
        return true;
    }
    if (c == '\n') {
        refuse(chunks, "bare_lf");
        return false;
    }
    if (c != ';' && !is_blank(c)) {
        refuse(chunks, "bad_chunk_size");
        return false;
    }
    chunks->state = AFTER_SIZE;
    return extension_byte(chunks, c);
}

// ---- Trailers ---------------------------------------------------------------------------------
// The unfinished line lies behind the finished ones; at its LF it is brought into the written form
// or taken back.

static bool keep_byte(struct http1_chunks *chunks, char c)
{
    if (++chunks->trailer_bytes > TRAILER_BYTES_MAX) {
        refuse_trailers(chunks, "trailers_too_large");
        return false;
    }
    if (chunks->trailers == NULL) {
        return true;
    }
    // Four bytes more: the written form may be longer by a space and CR LF, never by more.
    if (chunks->trailers_len + chunks->line_len + 4 > chunks->trailers_size) {
        refuse_trailers(chunks, "trailers_too_large");
        return false;
    }
    chunks->trailers[chunks->trailers_len + chunks->line_len++] = c;
    return true;
}

static void finish_trailer(struct http1_chunks *chunks)
{
    uint32_t line_len = chunks->line_len, name_len = chunks->name_len;
    chunks->line_len = chunks->name_len = 0;
    if (chunks->trailers == NULL) {
        return;
    }
    char *line = chunks->trailers + chunks->trailers_len;
    bool lookalike;
    uint8_t id = http1_field_lookup((struct str){line, name_len}, &lookalike);
    // RFC 9110 §6.5.1: "A sender MUST NOT generate a trailer field unless the sender knows the
    // corresponding header field name's definition permits"; those that frame, route or
    // authenticate are dropped, names of an application's own are its affair.
    if (lookalike || (id != HTTP1_UNKNOWN && (http1_field_flags(id) & HTTP1_BARE) != 0)) {
        return;
    }
    uint32_t from = name_len + 1, to = line_len;
    while (from < to && is_blank(line[from])) {
        from++;
    }
    while (to > from && is_blank(line[to - 1])) {
        to--;
    }
    memmove(line + name_len + 2, line + from, to - from);
    line[name_len + 1] = ' ';
    line += name_len + 2 + (to - from);
    *line++ = '\r';
    *line++ = '\n';
    chunks->trailers_len = (uint32_t)(line - chunks->trailers);
}

static bool trailer_byte(struct http1_chunks *chunks, char c)
{
    switch ((enum state)chunks->state) {
    case TRAILER_NAME:
        if (c == ':' && chunks->name_len > 0) {
            chunks->state = TRAILER_VALUE;
            return keep_byte(chunks, c);
        }
        if (!is_token_byte(c)) {
            refuse(chunks, is_blank(c) && chunks->name_len == 0 ? "obs_fold"
                           : is_blank(c)                        ? "space_before_colon"
                           : c == '\n'                          ? "bare_lf"
                                                                : "bad_name");
            return false;
        }
        chunks->name_len++;
        return keep_byte(chunks, c);
    case TRAILER_VALUE:
        if (c == '\r') {
            chunks->state = TRAILER_LF;
            return true;
        }
        if (ends_value(c)) {
            refuse(chunks, c == '\n' ? "bare_lf" : "control_in_value");
            return false;
        }
        return keep_byte(chunks, c);
    default:
        return false;
    }
}

// ---- The machine ------------------------------------------------------------------------------

// A trailer line begins with c, which is not taken yet.
static enum http1_chunks_step begin_trailer(struct http1_chunks *chunks)
{
    if (!chunks->trailers_asked) {
        chunks->trailers_asked = true;
        return HTTP1_CHUNKS_TRAILERS;
    }
    if (++chunks->trailer_count > HTTP1_FIELDS_MAX) {
        return refuse_trailers(chunks, "too_many_fields");
    }
    chunks->state = TRAILER_NAME;
    return HTTP1_CHUNKS_MORE;
}

enum http1_chunks_step http1_chunks_next(struct http1_chunks *chunks, struct str *input,
                                         struct str *ret_payload)
{
    const char *p = input->at, *end = p + input->len;
    enum http1_chunks_step step = HTTP1_CHUNKS_MORE;
    for (;;) {
        // States that need no byte.
        if (chunks->state == DATA && chunks->left == 0) {
            chunks->state = DATA_CR;
        }
        if (chunks->state == END) {
            step = HTTP1_CHUNKS_END;
            break;
        }
        if (chunks->state == REFUSED) {
            step = HTTP1_CHUNKS_REFUSED;
            break;
        }
        if (p == end) {
            break;
        }
        if (chunks->state == DATA) {
            size_t n = (size_t)MIN(chunks->left, (uint64_t)(end - p));
            *ret_payload = (struct str){p, n};
            chunks->left -= n;
            chunks->payload_bytes += n;
            p += n;
            step = HTTP1_CHUNKS_PAYLOAD;
            break;
        }
        char c = *p;
        switch ((enum state)chunks->state) {
        case SIZE:
            size_byte(chunks, c);
            break;
        case SIZE_LF:
        case DATA_LF:
        case TRAILER_LF:
        case END_LF:
            if (c != '\n') {
                refuse(chunks, chunks->state == DATA_LF ? "bad_chunk_end" : "bare_cr");
                break;
            }
            if (chunks->state == TRAILER_LF) {
                finish_trailer(chunks);
            }
            chunks->state = chunks->state == SIZE_LF   ? (chunks->left > 0 ? DATA : TRAILER)
                            : chunks->state == DATA_LF ? SIZE
                            : chunks->state == END_LF  ? END
                                                       : TRAILER;
            break;
        case DATA_CR:
            if (c != '\r') {
                refuse(chunks, "bad_chunk_end");
                break;
            }
            chunks->state = DATA_LF;
            break;
        case TRAILER:
            if (c == '\r') {
                chunks->state = END_LF;
                break;
            }
            step = begin_trailer(chunks);
            if (step == HTTP1_CHUNKS_TRAILERS) {
                goto out;
            }
            continue; // c belongs to the name
        case TRAILER_NAME:
        case TRAILER_VALUE:
            trailer_byte(chunks, c);
            break;
        default:
            extension_byte(chunks, c);
            break;
        }
        p++;
    }
out:
    input->len = (size_t)(end - p);
    input->at = p;
    return step;
}
