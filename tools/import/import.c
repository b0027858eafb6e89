#include "tools/import/import_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "rules/text/reader.h"

const char *const import_sections[IMPORT_SECTIONS] = {"resources",    "flow",    "isolation", "degrade",
                                                      "paramFlow",    "gateway", "authority", "system",
                                                      "blockActions", "options"};

/* Room for one more; false: no memory. */
static bool grow(struct import *import, void **list, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    void *larger = realloc(*list, (*capacity * 2 + 16) * size);
    import->failed |= !larger;
    if (!larger)
        return false;
    *list = larger;
    *capacity = *capacity * 2 + 16;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ entries */

static void entry_clear(struct import_entry *entry) {
    free(entry->file);
    free(entry->comment);
    cJSON_Delete(entry->value);
}

static uint64_t hash_text(enum import_section section, const char *text) {
    return hash_bytes((uint64_t)section + 1, text, strlen(text));
}

/* Of all members but the id. */
static uint64_t content_hash(enum import_section section, const cJSON *value) {
    const cJSON *member;
    uint64_t hash = 0;
    cJSON_ArrayForEach(member, value) {
        char *text = member->string && strcmp(member->string, "id") != 0 ? cJSON_PrintUnformatted(member) : NULL;
        if (text) /* in whatever order they stand */
            hash += hash_bytes(hash_text(section, member->string), text, strlen(text));
        cJSON_free(text);
    }
    return hash;
}

static const char *text_of(const cJSON *value, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(value, key);
    return node && (cJSON_IsString(node) || cJSON_IsRaw(node)) ? node->valuestring : NULL;
}

static void note_entry(struct import *import, const struct import_entry *entry) {
    const char *id = text_of(entry->value, "id"), *name = text_of(entry->value, "name");
    hash_set_add(&import->contents, content_hash(entry->section, entry->value));
    if (id)
        hash_set_add(&import->ids, hash_text(entry->section, id));
    if (name && entry->section == SECTION_RESOURCES)
        hash_set_add(&import->resources, hash_text(entry->section, name));
}

static void add_entry(struct import *import, enum import_section section, const char *file, unsigned line,
                      const char *comment, cJSON *value) {
    struct import_entry entry = {
        .section = section,
        .file = strdup(file),
        .comment = comment ? strdup(comment) : NULL,
        .line = line,
        .value = value,
    };
    bool whole = entry.file && (entry.comment || !comment) && value;
    import->failed |= !whole;
    if (whole &&
        grow(import, (void **)&import->entries, import->entries_count, &import->entries_capacity, sizeof(entry))) {
        note_entry(import, &entry);
        import->entries[import->entries_count++] = entry;
    } else {
        entry_clear(&entry);
    }
}

static enum import_section section_of(const char *name) {
    for (int section = 0; section < IMPORT_SECTIONS; section++)
        if (strcmp(import_sections[section], name) == 0)
            return section;
    return IMPORT_SECTIONS;
}

void import_rule(struct import *import, const char *section, const char *file, unsigned line, const char *comment,
                 cJSON *value) {
    enum import_section number = section_of(section);
    if (number < IMPORT_SECTIONS)
        add_entry(import, number, file, line, comment, value);
    else
        cJSON_Delete(value);
}

static void add_once(struct import *import, enum import_section section, const char *file, unsigned line,
                     const char *comment, cJSON *value) {
    if (import_has_same(import, import_sections[section], value))
        cJSON_Delete(value);
    else
        add_entry(import, section, file, line, comment, value);
}

void import_resource(struct import *import, const char *file, unsigned line, const char *comment, cJSON *value) {
    add_once(import, SECTION_RESOURCES, file, line, comment, value);
}

void import_block_action(struct import *import, const char *file, unsigned line, const char *comment, cJSON *value) {
    add_once(import, SECTION_BLOCK_ACTIONS, file, line, comment, value);
}

void import_option(struct import *import, const char *file, unsigned line, const char *name, cJSON *value) {
    cJSON *member = cJSON_CreateObject();
    for (size_t i = 0; i < import->entries_count; i++) {
        const struct import_entry *entry = &import->entries[i];
        const cJSON *other = entry->section == SECTION_OPTIONS ? cJSON_GetObjectItemCaseSensitive(entry->value, name)
                                                               : NULL;
        if (other && !cJSON_Compare(other, value, true))
            import_error(import, file, line, 0, "needs another options.%s than %s:%u; import them one by one", name,
                         entry->file, entry->line);
    }
    if (member && value && cJSON_AddItemToObject(member, name, value))
        value = NULL;
    cJSON_Delete(value);
    add_once(import, SECTION_OPTIONS, file, line, NULL, member);
}

void import_sweep(struct import *import) {
    size_t kept = 0;
    for (size_t i = 0; i < import->entries_count; i++) {
        if (import->entries[i].dropped)
            entry_clear(&import->entries[i]);
        else
            import->entries[kept++] = import->entries[i];
    }
    import->entries_count = kept;
}

bool import_has(const struct import *import, const char *section, const char *key, const char *value) {
    enum import_section number = section_of(section);
    for (size_t i = 0; i < import->entries_count; i++) {
        const struct import_entry *entry = &import->entries[i];
        const char *text = entry->section == number ? text_of(entry->value, key) : NULL;
        if (text && strcmp(text, value) == 0)
            return true;
    }
    return false;
}

bool import_has_id(const struct import *import, const char *section, const char *id) {
    return hash_set_has(&import->ids, hash_text(section_of(section), id));
}

bool import_has_same(const struct import *import, const char *section, const cJSON *value) {
    return hash_set_has(&import->contents, content_hash(section_of(section), value));
}

bool import_has_resource(const struct import *import, const char *name) {
    return hash_set_has(&import->resources, hash_text(SECTION_RESOURCES, name));
}

static bool is_rule(const struct import_entry *entry) {
    return entry->section >= SECTION_FLOW && entry->section <= SECTION_SYSTEM;
}

void import_each_rule(const struct import *import,
                      void (*each)(void *context, const char *section, const char *file, unsigned line,
                                   const cJSON *value),
                      void *context) {
    for (size_t i = 0; i < import->entries_count; i++) {
        const struct import_entry *entry = &import->entries[i];
        if (is_rule(entry))
            each(context, import_sections[entry->section], entry->file, entry->line, entry->value);
    }
}

size_t import_rules(const struct import *import) {
    size_t count = 0;
    for (size_t i = 0; i < import->entries_count; i++)
        count += is_rule(&import->entries[i]);
    return count;
}

/* -------------------------------------------------------------------------------------------------- app and words */

void import_app(struct import *import, const char *file, unsigned line, const char *app) {
    if (import->app_given || !app[0])
        return;
    if (!import->app[0]) {
        snprintf(import->app, sizeof(import->app), "%s", app);
        import->app_file = strdup(file);
        import->app_line = line;
    } else if (strncmp(import->app, app, sizeof(import->app) - 1) != 0) {
        import_error(import, file, line, 0,
                     "is for the app '%s', but %s is for '%s': import them one by one, or say with -a which app all of "
                     "it is for",
                     app, import->app_file ? import->app_file : "another file", import->app);
    }
}

void import_app_hint(struct import *import, const char *app) {
    import->hints_differ |= import->app_hint[0] && strcmp(import->app_hint, app) != 0;
    snprintf(import->app_hint, sizeof(import->app_hint), "%s", app);
}

void import_app_by_name(struct import *import, const char *file, unsigned line, const char *app) {
    if (!import->named_app[0]) {
        snprintf(import->named_app, sizeof(import->named_app), "%s", app);
        import->named_file = strdup(file);
        import->named_line = line;
    } else if (strcmp(import->named_app, app) != 0 && !import->app_given && !import->names_differ) {
        import->names_differ = true;
        import_error(import, file, line, 0,
                     "is by its name for the app '%s', but %s is for '%s': import them one by one, or say with -a "
                     "which app all of it is for",
                     app, import->named_file ? import->named_file : "another file", import->named_app);
    }
}

void import_settle_app(struct import *import) {
    if (import->app_given || import->names_differ)
        return;
    if (import->app[0] && import->named_app[0] && strcmp(import->app, import->named_app) != 0)
        import_error(import, import->named_file ? import->named_file : "a file", import->named_line, 0,
                     "is by its name for the app '%s', but %s is for '%s': import them one by one, or say with -a "
                     "which app all of it is for",
                     import->named_app, import->app_file ? import->app_file : "another file", import->app);
    if (!import->app[0] && import->named_app[0])
        snprintf(import->app, sizeof(import->app), "%s", import->named_app);
    if (!import->app[0] && !import->hints_differ)
        snprintf(import->app, sizeof(import->app), "%s", import->app_hint);
}

static void __attribute__((format(printf, 6, 0)))
add_note(struct import *import, enum import_note_kind kind, const char *file, unsigned line, const char *what,
         const char *why, va_list arguments) {
    struct import_note note = {.kind = kind, .file = strdup(file), .what = strdup(what), .line = line};
    if (vasprintf(&note.why, why, arguments) < 0)
        note.why = NULL;
    bool whole = note.file && note.what && note.why;
    import->failed |= !whole;
    if (whole && grow(import, (void **)&import->notes, import->notes_count, &import->notes_capacity, sizeof(note))) {
        import->notes[import->notes_count++] = note;
        return;
    }
    free(note.file);
    free(note.what);
    free(note.why);
}

void import_left_out(struct import *import, const char *file, unsigned line, const char *what, const char *why, ...) {
    va_list arguments;
    va_start(arguments, why);
    add_note(import, NOTE_LEFT_OUT, file, line, what, why, arguments);
    va_end(arguments);
}

void import_warning(struct import *import, const char *file, unsigned line, const char *what, const char *why, ...) {
    va_list arguments;
    va_start(arguments, why);
    add_note(import, NOTE_WARNING, file, line, what, why, arguments);
    va_end(arguments);
}

void import_error(struct import *import, const char *file, unsigned line, unsigned column, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(&import->errors, file, line, column, "", format, arguments);
    va_end(arguments);
}

struct rule_errors *import_errors(struct import *import) {
    return &import->errors;
}

size_t import_notes(const struct import *import, enum import_note_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < import->notes_count; i++)
        count += import->notes[i].kind == kind;
    return count;
}

const char *import_kind(const struct import *import) {
    return import->kind;
}

bool import_compat(const struct import *import) {
    return import->compat;
}

void import_keep(struct import *import, const char *path, const char *text, size_t length) {
    struct import_kept kept = {.path = strdup(path), .text = malloc(length + 1), .length = length};
    bool whole = kept.path && kept.text;
    if (whole) {
        memcpy(kept.text, text, length);
        kept.text[length] = 0;
    }
    import->failed |= !whole;
    if (whole && grow(import, (void **)&import->kept, import->kept_count, &import->kept_capacity, sizeof(kept))) {
        import->kept[import->kept_count++] = kept;
        return;
    }
    free(kept.path);
    free(kept.text);
}

void import_each_kept(const struct import *import,
                      void (*each)(void *context, const char *path, const char *text, size_t length), void *context) {
    for (size_t i = 0; i < import->kept_count; i++)
        each(context, import->kept[i].path, import->kept[i].text, import->kept[i].length);
}

void import_clear(struct import *import) {
    for (size_t i = 0; i < import->kept_count; i++) {
        free(import->kept[i].path);
        free(import->kept[i].text);
    }
    free(import->kept);
    for (size_t i = 0; i < import->entries_count; i++)
        entry_clear(&import->entries[i]);
    for (size_t i = 0; i < import->notes_count; i++) {
        free(import->notes[i].file);
        free(import->notes[i].what);
        free(import->notes[i].why);
    }
    free(import->entries);
    free(import->written);
    hash_set_clear(&import->contents);
    hash_set_clear(&import->ids);
    hash_set_clear(&import->resources);
    free(import->notes);
    free(import->app_file);
    free(import->named_file);
    rule_errors_clear(&import->errors);
    *import = (struct import){0};
}
