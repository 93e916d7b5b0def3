// SPDX-License-Identifier: Apache-2.0
// What a person or a program reads: tables, JSON, one-sentence errors. Nothing that came from the
// network reaches a terminal raw: control characters are written as \xNN (as \u00NN in JSON).
// Colours only on a terminal, and never with NO_COLOR set.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void output_open(void);

// "weir: …" on stderr, one line, made harmless.
void tell_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
// A line of progress on stderr, with the seconds since the first one.
void tell_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Indented on stdout (one line when compact), with a newline. Object keys keep their order.
void print_json(const json_t *json, bool compact);

// The text with its control characters made harmless; the caller frees it. NULL: out of memory.
char *text_clean(const char *text);

// "green", "yellow", "red" or NULL for a state or verdict of the model.
const char *state_color(const char *state);
// Prints the text in that colour (NULL: plain) when stream is a terminal.
void print_colored(FILE *stream, const char *color, const char *text);

// Seconds to a person: "12 s", "5 min", "3 h", "2 days".
void format_age(int64_t seconds, char *buffer, size_t size);
// The age of a time stamp; "" when it is none.
void format_since(const char *timestamp, char *buffer, size_t size);

struct table_column {
    const char *title;
    bool right;    // numbers
    bool is_state; // coloured
    bool may_wrap; // takes what is left of the line, and more lines when that is too little
};
struct libscols_table;
struct table {
    struct libscols_table *scols;
    const struct table_column *columns;
    size_t column_count, row_count;
    const char *indent;
};
int table_open(struct table *table, const struct table_column *columns, size_t count);
// As many texts as columns; NULL is "".
void table_add(struct table *table, const char *const *texts);
// Prints the table; says `empty` instead when it has no row.
void table_print(struct table *table, const char *empty);
void table_close(struct table *table);

// Reading answers; a missing or mistyped member is "" or 0.
const char *json_text(const json_t *object, const char *key);
uint64_t json_number(const json_t *object, const char *key);
// A number as text in one of a few rotating buffers.
const char *number_text(uint64_t number);
