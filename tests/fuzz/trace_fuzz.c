/* Traces from anybody: every line is a row, a header, or a fault that lies within the line; arguments and samples
 * likewise; times print as they were read. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good) {
    if (!good)
        abort();
}

static void require_printable(const struct trace_fault *fault, size_t length) {
    char text[512];
    require(fault->column >= 1 && fault->column <= length + 1 && fault->what.length <= 60);
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, fault->reason, (int)fault->what.length, fault->what.text);
#pragma clang diagnostic pop
}

static void read_args(struct trace_field field) {
    static struct trace_args room;
    struct trace_fault fault;
    if (!room.values)
        room = (struct trace_args){malloc(TRACE_ARGS_MAX * sizeof *room.values),
                                   malloc(TRACE_ARGS_MAX * sizeof *room.elements), malloc(TRACE_TEXT_MAX)};
    int count = trace_args(field, &room, &fault);
    if (count < 0)
        require_printable(&fault, field.length);
    for (int i = 0; i < count; i++) {
        const struct engine_value *value = &room.values[i];
        size_t elements = value->type == VALUE_LIST || value->type == VALUE_ARRAY ? value->count : 0;
        for (size_t j = 0; j < elements; j++)
            require(value->elements[j].length <= TRACE_LINE_MAX && value->elements[j].type < VALUE_LIST);
    }
}

static void read_row(const struct trace_row *row, const char *line, size_t length) {
    struct engine_sample sample = {-1, -1, -1, 0};
    struct trace_fault fault;
    char text[32];
    uint64_t again;
    size_t printed = trace_print_ms(row->now_ns, text);
    require(trace_time((struct trace_field){text, printed}, &again) && again == row->now_ns);
    for (int column = 0; column < TRACE_COLUMNS; column++) {
        const struct trace_field *field = &row->field[column];
        require(field->length == 0 || (field->text >= line && field->text + field->length <= line + length));
    }
    read_args(row->field[TRACE_ARGS]);
    if (!trace_sample(row->field[TRACE_ARGS], &sample, &fault))
        require_printable(&fault, row->field[TRACE_ARGS].length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trace trace = {.columns = 0};
    struct trace_row row;
    struct trace_fault fault;
    char *copy = malloc(size + 1); /* of its very size: a byte too far is found */
    const char *line = copy, *end = copy + size;
    memcpy(copy, data, size);
    if (size && data[0] == '!') { /* a shortcut for the mutator: the standard header is there already */
        require(trace_line(&trace, TRACE_HEADER, strlen(TRACE_HEADER), &row, &fault) == TRACE_LINE_HEADER);
        line++;
    }
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        char *exact = malloc(length ? length : 1);
        memcpy(exact, line, length);
        switch (trace_line(&trace, exact, length, &row, &fault)) {
        case TRACE_LINE_ROW: read_row(&row, exact, length); break;
        case TRACE_LINE_WRONG: require_printable(&fault, length > TRACE_LINE_MAX ? TRACE_LINE_MAX : length); break;
        case TRACE_LINE_HEADER: break;
        }
        free(exact);
        line = newline ? newline + 1 : end;
    }
    free(copy);
    return 0;
}
