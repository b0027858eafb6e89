#include "tools/replay/replay_summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "tools/table.h"
#include "tools/text.h"

enum { NAME_WIDTH = 32 };

static struct summary_row *slot_of(const struct summary_table *table, uint64_t hash, const char *name, size_t length) {
    size_t at = hash >> 8 & (table->size - 1);
    while (table->rows[at].name && !(table->rows[at].hash == hash && table->rows[at].length == length &&
                                     !memcmp(table->rows[at].name, name, length)))
        at = (at + 1) & (table->size - 1);
    return &table->rows[at];
}

static bool grow(struct summary_table *table) {
    struct summary_table larger = {.size = table->size ? table->size * 2 : 64, .count = table->count};
    larger.rows = calloc(larger.size, sizeof *larger.rows);
    if (!larger.rows)
        return false;
    for (size_t i = 0; i < table->size; i++)
        if (table->rows[i].name)
            *slot_of(&larger, table->rows[i].hash, table->rows[i].name, table->rows[i].length) = table->rows[i];
    free(table->rows);
    *table = larger;
    return true;
}

struct summary_row *summary_row(struct summary *summary, struct summary_table *table, const char *name, size_t length) {
    static struct summary_row nowhere;
    uint64_t hash = hash_bytes(0, name, length);
    if (table->count * 2 >= table->size && !grow(table)) {
        summary->failed = true;
        return &nowhere;
    }
    struct summary_row *row = slot_of(table, hash, name, length);
    if (row->name)
        return row;
    if (!(row->name = malloc(length + 1))) {
        summary->failed = true;
        return &nowhere;
    }
    memcpy(row->name, name, length);
    row->name[length] = 0;
    row->length = length;
    row->hash = hash;
    table->count++;
    return row;
}

static int by_entries(const void *a, const void *b) {
    const struct summary_row *x = a, *y = b;
    uint64_t more = x->entries ? x->entries : x->blocked, less = y->entries ? y->entries : y->blocked;
    return more != less ? (more < less ? 1 : -1) : strcmp(x->name, y->name);
}

/* The rows in order of size, packed; free() it. */
static struct summary_row *sorted(const struct summary_table *table) {
    struct summary_row *rows = calloc(table->count + 1, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; rows && i < table->size; i++)
        if (table->rows[i].name) {
            rows[count++] = table->rows[i];
            text_clean(table->rows[i].name); /* the last that is done with it */
        }
    if (rows)
        qsort(rows, count, sizeof *rows, by_entries);
    return rows;
}

static void print_milliseconds(FILE *stream, uint64_t ns) {
    char text[32];
    size_t length = trace_print_ms(ns, text);
    fprintf(stream, "%*s%.*s", length < 14 ? (int)(14 - length) : 1, "", (int)length, text);
}

static void print_resources(const struct summary_table *table, FILE *stream) {
    struct summary_row *rows = sorted(table);
    fprintf(stream, "%-*s %10s %10s %10s %10s %13s %10s %10s %10s\n", NAME_WIDTH, "RESOURCE", "ENTRIES", "PASS",
            "BLOCK", "WAITED", "WAIT_MS", "EXITS", "ERRORS", "RT_MS");
    for (size_t i = 0; rows && i < table->count; i++) {
        const struct summary_row *row = &rows[i];
        fprintf(stream, "%-*s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64, NAME_WIDTH, row->name,
                row->entries, row->passed, row->blocked, row->waited);
        print_milliseconds(stream, row->wait_ns);
        fprintf(stream, " %10" PRIu64 " %10" PRIu64 " %10.1f\n", row->exits, row->errors,
                row->exits ? (double)row->rt_ms / (double)row->exits : 0.0);
    }
    free(rows);
}

static void print_blocks(const struct summary_table *table, const char *title, FILE *stream) {
    struct summary_row *rows = sorted(table);
    if (table->count)
        fprintf(stream, "\n%-*s %10s\n", NAME_WIDTH, title, "BLOCK");
    for (size_t i = 0; rows && i < table->count; i++)
        fprintf(stream, "%-*s %10" PRIu64 "\n", NAME_WIDTH, rows[i].name, rows[i].blocked);
    free(rows);
}

void summary_print(const struct summary *summary, FILE *stream) {
    print_resources(&summary->resources, stream);
    print_blocks(&summary->rules, "RULE", stream);
    print_blocks(&summary->reasons, "REASON", stream);
    fprintf(stream, "\n%" PRIu64 " events", summary->events);
    if (summary->simulated)
        fprintf(stream, ", %" PRIu64 " would-be rejections of rules in mode simulate", summary->simulated);
    fputs(summary->failed ? "; not enough memory for all totals\n" : "\n", stream);
}

static void rows_free(struct summary_table *table) {
    for (size_t i = 0; i < table->size; i++)
        free(table->rows[i].name);
    free(table->rows);
}

void summary_free(struct summary *summary) {
    rows_free(&summary->resources);
    rows_free(&summary->rules);
    rows_free(&summary->reasons);
    memset(summary, 0, sizeof *summary);
}
