/* What was collected, as a rules file that a person reads: a comment at each rule says where it came from. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_private.h"
#include "tools/text.h"

enum { COLUMN_MAX = 112 };

struct writer {
    FILE *to;
    unsigned line; /* that is being written */
    bool failed;
};

static void put(struct writer *writer, const char *text) {
    for (const char *c = text; *c; c++)
        writer->line += *c == '\n';
    writer->failed |= fputs(text, writer->to) < 0;
}

/* A comment, whatever the texts in it hold; what goes on in further lines is indented. */
static void __attribute__((format(printf, 3, 4)))
comment(struct writer *writer, const char *indent, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    writer->failed |= !text;
    if (!text)
        return;
    text_clean(text);
    const char *begin = "// ";
    for (size_t at = 0, next = 0; text[at] || at == 0; at += next) {
        char *line = strndup(text + at, text_line(text + at, COLUMN_MAX, false, &next));
        writer->failed |= !line;
        put(writer, indent);
        put(writer, begin);
        put(writer, line ? line : "");
        put(writer, "\n");
        free(line);
        begin = "//       ";
        if (!next)
            break;
    }
    free(text);
}

/* ------------------------------------------------------------------------------------------------------- values */

/* The fields that stand first, in this order; the others follow as the importer gave them. */
static const char *const order[] = {
    "id",
    "kind",
    "name",
    "apiName",
    "method",
    "pattern",
    "host",
    "resource",
    "resourceMatch",
    "resourceMode",
    "limitApp",
    "strategy",
    "refResource",
    "grade",
    "count",
    "param",
    "paramItem",
    "intervalSec",
    "per",
    "durationInSec",
    "burst",
    "burstCount",
    "controlBehavior",
    "maxQueueingTimeMs",
    "warmUpPeriodSec",
    "slowRatioThreshold",
    "timeWindow",
    "minRequestAmount",
    "statIntervalMs",
    "scope",
    "mode",
};
enum { ORDERED = sizeof(order) / sizeof(*order) };

static size_t rank(const char *key) {
    for (size_t i = 0; i < ORDERED; i++)
        if (strcmp(order[i], key) == 0)
            return i;
    return ORDERED;
}

/* {"b": 1, "id": 2} → id, b; stable. */
static void sort_fields(cJSON *object) {
    cJSON *sorted = NULL, *last = NULL;
    for (size_t wanted = 0; wanted <= ORDERED; wanted++) {
        for (cJSON *node = object->child, *next; node; node = next) {
            next = node->next;
            if (rank(node->string) != wanted)
                continue;
            cJSON_DetachItemViaPointer(object, node);
            node->prev = last;
            node->next = NULL;
            if (last)
                last->next = node;
            else
                sorted = node;
            last = node;
        }
    }
    object->child = sorted;
    if (sorted)
        sorted->prev = last;
}

/* The JSON of one value; in it, what could act on a terminal is spelled as \uNNNN. */
static char *scalar_text(const cJSON *value) {
    char *json = cJSON_PrintUnformatted(value), *text = NULL;
    size_t size;
    FILE *to = json ? open_memstream(&text, &size) : NULL;
    for (const char *c = json; to && *c;) {
        uint32_t code;
        size_t length = text_harmful(c, &code);
        if (length)
            fprintf(to, "\\u%04x", code);
        else
            fputc(*c, to);
        c += length ? length : 1;
    }
    if (to)
        fclose(to);
    cJSON_free(json);
    return text;
}

static char *value_text(const cJSON *value);

static void members_text(const cJSON *value, FILE *to, const char *ends) {
    const cJSON *member;
    fprintf(to, "%c", ends[0]);
    cJSON_ArrayForEach(member, value) {
        char *text = value_text(member);
        cJSON *key = member->string ? cJSON_CreateString(member->string) : NULL;
        char *key_text = key ? scalar_text(key) : NULL;
        fprintf(to, "%s%s%s%s", member == value->child ? "" : ", ", key_text ? key_text : "", key_text ? ": " : "",
                text ? text : "null");
        free(key_text);
        cJSON_Delete(key);
        free(text);
    }
    fprintf(to, "%c", ends[1]);
}

/* With a blank behind colons and commas. */
static char *value_text(const cJSON *value) {
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value))
        return scalar_text(value);
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    members_text(value, to, cJSON_IsObject(value) ? "{}" : "[]");
    fclose(to);
    return text;
}

/* An object in braces, broken where a line becomes too long. */
static void put_object(struct writer *writer, cJSON *object, const char *indent) {
    size_t column = strlen(indent) + 1;
    const cJSON *member;
    sort_fields(object);
    put(writer, indent);
    put(writer, "{");
    cJSON_ArrayForEach(member, object) {
        char *text = value_text(member), *field = NULL;
        if (!text || asprintf(&field, "\"%s\": %s%s", member->string, text, member->next ? "," : "") < 0)
            field = NULL;
        free(text);
        writer->failed |= !field;
        size_t length = field ? strlen(field) : 0;
        bool breaks = column + 1 + length > COLUMN_MAX && member != object->child;
        if (breaks) {
            put(writer, "\n");
            put(writer, indent);
            put(writer, " ");
            column = strlen(indent) + 1;
        }
        put(writer, " ");
        put(writer, field ? field : "");
        column += 1 + length;
        free(field);
    }
    put(writer, " }");
}

/* ------------------------------------------------------------------------------------------------------ sections */

static void put_origin(struct writer *writer, const struct import_entry *entry) {
    const char *between = entry->comment ? ": " : "", *more = entry->comment ? entry->comment : "";
    if (entry->line)
        comment(writer, "    ", "from %s:%u%s%s", entry->file, entry->line, between, more);
    else
        comment(writer, "    ", "from %s%s%s", entry->file, between, more);
}

static void put_entry(struct writer *writer, struct import_entry *entry) {
    if (entry->section != SECTION_OPTIONS || entry->line)
        put_origin(writer, entry);
    entry->first_line = writer->line;
    if (entry->section == SECTION_OPTIONS) {
        char *text = value_text(entry->value->child);
        put(writer, "    \"");
        put(writer, entry->value->child->string);
        put(writer, "\": ");
        put(writer, text ? text : "null");
        free(text);
    } else {
        put_object(writer, entry->value, "    ");
    }
    entry->last_line = writer->line;
}

/* Separates sections: of an object's members all but the first follow a comma. */
static void put_section(struct writer *writer, struct import *import, enum import_section section, bool *first) {
    bool options = section == SECTION_OPTIONS, any = false;
    for (size_t i = 0; i < import->entries_count; i++) {
        struct import_entry *entry = &import->entries[i];
        if (entry->section != section)
            continue;
        if (any) {
            put(writer, ",\n");
        } else {
            put(writer, *first ? "\n  \"" : ",\n  \"");
            put(writer, import_sections[section]);
            put(writer, options ? "\": {\n" : "\": [\n");
        }
        put_entry(writer, entry);
        import->written[import->written_count++] = i;
        *first = false;
        any = true;
    }
    if (any)
        put(writer, options ? "\n  }" : "\n  ]");
}

static void put_notes(struct writer *writer, const struct import *import, enum import_note_kind kind,
                      const char *title) {
    if (import_notes(import, kind) == 0)
        return;
    put(writer, "\n");
    comment(writer, "", "%s", title);
    for (size_t i = 0; i < import->notes_count; i++) {
        const struct import_note *note = &import->notes[i];
        if (note->kind != kind)
            continue;
        if (note->line)
            comment(writer, "", "  %s:%u: %s: %s", note->file, note->line, note->what, note->why);
        else
            comment(writer, "", "  %s: %s: %s", note->file, note->what, note->why);
    }
}

char *import_write(struct import *import, size_t *ret_length) {
    char *text = NULL;
    bool first = true;
    free(import->written);
    import->written_count = 0;
    import->written = calloc(import->entries_count + 1, sizeof(*import->written));
    struct writer writer = {.to = import->written ? open_memstream(&text, ret_length) : NULL, .line = 1};
    if (!writer.to)
        return NULL;
    comment(&writer, "", "Made by `weir import`; each rule says which line it came from.");
    put(&writer, "{");
    if (import->app[0]) {
        put(&writer, "\n  \"app\": \"");
        put(&writer, import->app);
        put(&writer, "\"");
        first = false;
    }
    for (int section = 0; section < IMPORT_SECTIONS; section++)
        put_section(&writer, import, section, &first);
    put(&writer, "\n}\n");
    put_notes(&writer, import, NOTE_WARNING, "Carried over, but look at these:");
    put_notes(&writer, import, NOTE_LEFT_OUT, "Not carried over:");
    if (fclose(writer.to) != 0 || writer.failed) {
        free(text);
        return NULL;
    }
    return text;
}
