#include "tools/replay/replay_summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "tools/output.h"
#include "tools/table.h"

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
        if (table->rows[i].name)
            rows[count++] = table->rows[i];
    if (rows)
        qsort(rows, count, sizeof *rows, by_entries);
    return rows;
}

static void count_cell(struct table *table, uint64_t count) {
    table_cell(table, TABLE_PLAIN, "%" PRIu64, count);
}

static void milliseconds_cell(struct table *table, uint64_t ns) {
    char text[32];
    size_t length = trace_print_ms(ns, text);
    table_cell(table, TABLE_PLAIN, "%.*s", (int)length, text);
}

static void print_resources(const struct summary_table *resources) {
    static const struct table_column columns[] = {{"RESOURCE", TABLE_FOLD}, {"ENTRIES", TABLE_RIGHT},
                                                  {"PASS", TABLE_RIGHT},    {"BLOCK", TABLE_RIGHT},
                                                  {"WAITED", TABLE_RIGHT},  {"WAIT_MS", TABLE_RIGHT},
                                                  {"EXITS", TABLE_RIGHT},   {"ERRORS", TABLE_RIGHT},
                                                  {"RT_MS", TABLE_RIGHT},   {0}};
    struct summary_row *rows = sorted(resources);
    struct table *table = table_new(columns);
    for (size_t i = 0; rows && table && i < resources->count; i++) {
        const struct summary_row *row = &rows[i];
        table_cell(table, TABLE_PLAIN, "%s", row->name);
        count_cell(table, row->entries);
        count_cell(table, row->passed);
        count_cell(table, row->blocked);
        count_cell(table, row->waited);
        milliseconds_cell(table, row->wait_ns);
        count_cell(table, row->exits);
        count_cell(table, row->errors);
        table_cell(table, TABLE_PLAIN, "%.1f", row->exits ? (double)row->rt_ms / (double)row->exits : 0.0);
    }
    output_table(table, "no calls in the traces");
    table_free(table);
    free(rows);
}

static void print_blocks(const struct summary_table *blocks, const char *title) {
    const struct table_column columns[] = {{title, TABLE_FOLD}, {"BLOCK", TABLE_RIGHT}, {0}};
    struct summary_row *rows = sorted(blocks);
    struct table *table = table_new(columns);
    for (size_t i = 0; rows && table && i < blocks->count; i++) {
        table_cell(table, TABLE_PLAIN, "%s", rows[i].name);
        count_cell(table, rows[i].blocked);
    }
    if (blocks->count) {
        putchar('\n');
        output_table(table, "");
    }
    table_free(table);
    free(rows);
}

void summary_print(const struct summary *summary) {
    print_resources(&summary->resources);
    print_blocks(&summary->rules, "RULE");
    print_blocks(&summary->reasons, "REASON");
    char simulated[80] = "";
    if (summary->simulated)
        snprintf(simulated, sizeof simulated, ", %" PRIu64 " that rules in mode simulate would have rejected",
                 summary->simulated);
    putchar('\n');
    output_text(stdout, "%" PRIu64 " event%s%s%s", summary->events, summary->events == 1 ? "" : "s", simulated,
                summary->failed ? "; not enough memory for all totals" : "");
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
