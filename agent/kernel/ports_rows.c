#include "agent/kernel/ports_rows.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process/proc.h"

enum { ROW_MAX = 1024 /* bytes without its texts */, ESCAPED_MAX = 6 /* bytes that a byte may become */ };

struct text {
    char *bytes; /* NULL: there was no memory */
    size_t length, room;
};

static void put_literal(struct text *text, const char *literal) {
    size_t length = strlen(literal);
    memcpy(text->bytes + text->length, literal, length);
    text->length += length;
}

static void put_number(struct text *text, const char *name, uint64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    put_literal(text, name);
    do
        digits[--first] = (char)('0' + number % 10);
    while (number /= 10);
    memcpy(text->bytes + text->length, digits + first, sizeof digits - first);
    text->length += sizeof digits - first;
}

static void put_text(struct text *text, const char *name, const char *value) {
    put_literal(text, name);
    put_literal(text, "\"");
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20)
            text->length += (size_t)sprintf(text->bytes + text->length, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            text->bytes[text->length++] = '\\';
        if (c >= 0x20)
            text->bytes[text->length++] = (char)c;
    }
    put_literal(text, "\"");
}

static void put_rtt(struct text *text, const struct counting_row *row) {
    uint64_t count = row->counts.rtt_count + row->open.rtt_count, us = row->counts.rtt_us + row->open.rtt_us;
    double rtt_ms = count ? (double)us / (double)count / 1000 : 0;
    put_literal(text, ",\"rtt_ms\":");
    text->length += (size_t)snprintf(text->bytes + text->length, 32, count ? "%.3f" : "%.0f", rtt_ms);
}

static void put_counts(struct text *text, const struct counting_row *row) {
    const struct count_row *c = &row->counts;
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {",\"attempts\":", c->attempts},
        {",\"opened\":", c->opened},
        {",\"closed\":", c->closed},
        {",\"active\":", (c->opened > c->closed ? c->opened - c->closed : 0) + row->open.unwatched},
        {",\"refused\":", c->refused},
        {",\"failed\":", c->failed},
        {",\"bytes_in\":", c->bytes_in},
        {",\"bytes_out\":", c->bytes_out},
        {",\"segments_in\":", c->segments_in},
        {",\"segments_out\":", c->segments_out},
        {",\"retransmits\":", c->retransmits},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        put_number(text, values[i].name, values[i].value);
    put_rtt(text, row);
}

static void put_row(struct text *text, const struct counting_row *row, const char *path) {
    const struct count_key *key = &row->key;
    put_text(text, "{\"direction\":", key->direction == COUNT_OUT ? "out" : "in");
    put_number(text, ",\"port\":", key->port);
    put_number(text, ",\"namespace\":", key->netns);
    put_number(text, ",\"ip\":", key->family);
    if (key->direction == COUNT_OUT) {
        char unit[PROC_TEXT_MAX] = "";
        proc_cgroup_unit(path, unit);
        put_text(text, ",\"cgroup\":", path);
        put_text(text, ",\"unit\":", unit);
    }
    put_counts(text, row);
    put_literal(text, "}");
}

static bool make_room(struct text *text, size_t bytes) {
    if (text->room - text->length >= bytes)
        return true;
    size_t room = text->room * 2 + bytes;
    char *more = realloc(text->bytes, room);
    if (!more)
        return false;
    text->bytes = more;
    text->room = room;
    return true;
}

char *ports_rows_text(const struct counting_row *rows, size_t count, const struct cgroups *cgroups) {
    struct text text = {0};
    bool memory = make_room(&text, ROW_MAX);
    if (memory)
        put_literal(&text, "[");
    for (size_t i = 0; memory && i < count; i++) {
        const char *path = rows[i].key.cgroup ? cgroups_path(cgroups, rows[i].key.cgroup) : NULL;
        path = path ? path : "";
        memory = make_room(&text, ROW_MAX + ESCAPED_MAX * (strlen(path) + PROC_TEXT_MAX));
        if (memory && i > 0)
            put_literal(&text, ",");
        if (memory)
            put_row(&text, &rows[i], path);
    }
    if (memory) {
        put_literal(&text, "]");
        text.bytes[text.length] = 0;
        return text.bytes;
    }
    free(text.bytes);
    return NULL;
}
