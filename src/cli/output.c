// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <langinfo.h>
#include <libsmartcols.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

static bool colors_wanted;

void output_open(void)
{
    // Tables are as wide as their text looks, so what UTF-8 means must be known even where no
    // locale is set.
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, "C.UTF-8");
    }
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    colors_wanted =
        (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

static bool has_colors(FILE *stream)
{
    return colors_wanted && isatty(fileno(stream));
}

// Writes one character of text (of `*ret_len` bytes), or its harmless form: C0 and C1 controls,
// DEL, bytes that are no UTF-8, and the marks that reorder a line (U+202A–E, U+2066–9).
static void put_clean(FILE *stream, const char *at, size_t *ret_len)
{
    const unsigned char *c = (const unsigned char *)at;
    size_t len = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc2 ? 2 : 0;
    for (size_t i = 1; i < len; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            len = 0;
        }
    }
    bool control = c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && len == 2 && c[1] < 0xa0);
    bool reorders = len == 3 && c[0] == 0xe2 &&
                    ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
                     (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9));
    *ret_len = len > 0 ? len : 1;
    if (len > 0 && !control && !reorders) {
        fwrite(at, 1, len, stream);
        return;
    }
    for (size_t i = 0; i < *ret_len; i++) {
        fprintf(stream, "\\x%02x", c[i]);
    }
}

char *text_clean(const char *text)
{
    char *clean = NULL;
    size_t size = 0, len;
    FILE *stream = open_memstream(&clean, &size);
    if (stream == NULL) {
        return NULL;
    }
    for (const char *at = text; *at != '\0'; at += len) {
        put_clean(stream, at, &len);
    }
    if (fclose(stream) != 0) {
        free(clean);
        return NULL;
    }
    return clean;
}

static void tell(const char *head, const char *format, va_list values)
{
    cleanup(free_ptr) char *text = NULL;
    if (vasprintf(&text, format, values) < 0) {
        text = NULL;
        return;
    }
    cleanup(free_ptr) char *clean = text_clean(text);
    fprintf(stderr, "%s%s\n", head, clean != NULL ? clean : "out of memory");
}

void tell_error(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    tell("weir: ", format, values);
    va_end(values);
}

void tell_progress(const char *format, ...)
{
    static uint64_t first_ns;
    uint64_t now_ns = monotonic_ns();
    if (first_ns == 0) {
        first_ns = now_ns;
    }
    char head[32];
    snprintf(head, sizeof(head), "%7.2f s  ", (double)(now_ns - first_ns) / 1e9);
    va_list values;
    va_start(values, format);
    tell(head, format, values);
    va_end(values);
}

// JSON text may hold DEL and C1 controls as they are; inside a string \u00NN means the same.
static int put_json(const char *bytes, size_t len, void *context)
{
    FILE *stream = context;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == 0x7f) {
            fputs("\\u007f", stream);
        } else if (c == 0xc2 && i + 1 < len && (unsigned char)bytes[i + 1] < 0xa0) {
            fprintf(stream, "\\u%04x", (unsigned char)bytes[++i]);
        } else {
            fputc(c, stream);
        }
    }
    return 0;
}

void print_json(const json_t *json, bool compact)
{
    // First to memory: the callback may be handed half a character.
    cleanup(free_ptr) char *text =
        json_dumps(json, (compact ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENCODE_ANY);
    if (text == NULL) {
        tell_error("out of memory");
        return;
    }
    put_json(text, strlen(text), stdout);
    fputc('\n', stdout);
    fflush(stdout);
}

const char *state_color(const char *state)
{
    static const struct {
        const char *state, *color;
    } rows[] = {
        {"active", "green"},
        {"serving", "green"},
        {"healthy", "green"},
        {"ready", "green"},
        {"provisioning", "yellow"},
        {"degraded", "yellow"},
        {"initial", "yellow"},
        {"starting", "yellow"},
        {"draining", "yellow"},
        {"deleting", "yellow"},
        {"failed", "red"},
        {"unhealthy", "red"},
        {"lost", "red"},
        {"dead", "red"},
        {"stopped", "red"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].state, state) == 0) {
            return rows[i].color;
        }
    }
    return NULL;
}

void print_colored(FILE *stream, const char *color, const char *text)
{
    cleanup(free_ptr) char *clean = text_clean(text);
    const char *code = color == NULL || !has_colors(stream) ? NULL
                       : strcmp(color, "green") == 0        ? "32"
                       : strcmp(color, "yellow") == 0       ? "33"
                       : strcmp(color, "red") == 0          ? "31"
                                                            : "1";
    if (code != NULL) {
        fprintf(stream, "\033[%sm%s\033[0m", code, clean != NULL ? clean : "");
    } else {
        fputs(clean != NULL ? clean : "", stream);
    }
}

void format_age(int64_t seconds, char *buffer, size_t size)
{
    if (seconds < 0) {
        seconds = 0; // clocks differ
    }
    if (seconds < 120) {
        snprintf(buffer, size, "%lld s", (long long)seconds);
    } else if (seconds < 2 * 3600) {
        snprintf(buffer, size, "%lld min", (long long)(seconds / 60));
    } else if (seconds < 2 * 86400) {
        snprintf(buffer, size, "%lld h", (long long)(seconds / 3600));
    } else {
        snprintf(buffer, size, "%lld days", (long long)(seconds / 86400));
    }
}

void format_since(const char *timestamp, char *buffer, size_t size)
{
    struct tm when = {0};
    buffer[0] = '\0';
    if (strptime(timestamp, "%Y-%m-%dT%H:%M:%S", &when) != NULL) {
        format_age((int64_t)(time(NULL) - timegm(&when)), buffer, size);
    }
}

int table_open(struct table *table, const struct table_column *columns, size_t count)
{
    *table = (struct table){.columns = columns, .column_count = count, .indent = ""};
    table->scols = scols_new_table();
    if (table->scols == NULL) {
        return -ENOMEM;
    }
    scols_table_enable_colors(table->scols, has_colors(stdout));
    scols_table_enable_noencoding(table->scols, 1); // cells are clean already
    if (!isatty(STDOUT_FILENO)) {
        scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
    }
    for (size_t i = 0; i < count; i++) {
        int flags =
            (columns[i].right ? SCOLS_FL_RIGHT : 0) | (columns[i].may_wrap ? SCOLS_FL_WRAP : 0);
        if (scols_table_new_column(table->scols, columns[i].title, 0, flags) == NULL) {
            table_close(table);
            return -ENOMEM;
        }
    }
    return 0;
}

void table_add(struct table *table, const char *const *texts)
{
    struct libscols_line *line =
        table->scols != NULL ? scols_table_new_line(table->scols, NULL) : NULL;
    table->row_count++;
    for (size_t i = 0; line != NULL && i < table->column_count; i++) {
        cleanup(free_ptr) char *clean = text_clean(texts[i] != NULL ? texts[i] : "");
        scols_line_set_data(line, i, clean != NULL && clean[0] != '\0' ? clean : "-");
        if (table->columns[i].is_state && texts[i] != NULL) {
            scols_cell_set_color(scols_line_get_cell(line, i), state_color(texts[i]));
        }
    }
}

void table_print(struct table *table, const char *empty)
{
    if (table->row_count == 0) {
        printf("%s%s\n", table->indent, empty);
        return;
    }
    if (table->scols == NULL) {
        return;
    }
    char *text = NULL;
    if (scols_print_table_to_string(table->scols, &text) == 0 && text != NULL) {
        for (char *line = text; line != NULL && *line != '\0';) {
            char *end = strchr(line, '\n');
            if (end != NULL) {
                *end = '\0';
            }
            size_t len = strlen(line);
            while (len > 0 && line[len - 1] == ' ') {
                len--;
            }
            printf("%s%.*s\n", table->indent, (int)len, line);
            line = end != NULL ? end + 1 : NULL;
        }
    }
    free(text);
}

void table_close(struct table *table)
{
    scols_unref_table(table->scols);
    table->scols = NULL;
}

const char *json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

uint64_t json_number(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

const char *number_text(uint64_t number)
{
    static char buffers[16][24];
    static size_t next;
    char *buffer = buffers[next++ % ARRAY_LEN(buffers)];
    snprintf(buffer, sizeof(buffers[0]), "%llu", (unsigned long long)number);
    return buffer;
}
