/* The result is held to what `weir check` asks of a rules file. */
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_private.h"

static struct import_entry *entry_at(struct import *import, unsigned line) {
    for (size_t i = 0; i < import->entries_count; i++)
        if (line >= import->entries[i].first_line && line <= import->entries[i].last_line)
            return &import->entries[i];
    return NULL;
}

/* What a person calls it. */
static const char *name_of(const struct import_entry *entry) {
    static const char *const keys[] = {"resource", "name", "pattern", "id"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(entry->value, keys[i]);
        if (cJSON_IsString(value))
            return value->valuestring;
    }
    return import_sections[entry->section];
}

/* "$.flow[3].count" → "count: " */
static const char *field_of(const char *path) {
    const char *dot = strchr(path, ']');
    return dot && dot[1] == '.' ? dot + 2 : "";
}

static bool is_noted(const struct import *import, const struct import_entry *entry) {
    for (size_t i = 0; i < import->notes_count; i++)
        if (import->notes[i].line == entry->line && strcmp(import->notes[i].what, name_of(entry)) == 0)
            return true;
    return false;
}

static void parse(const struct import *import, const char *text, size_t length, struct rule_errors *errors) {
    size_t size;
    struct rule_document *document = rule_text_parse("the result", text, length, NULL, errors);
    if (document)
        free(rule_text_ruleset(&document, 1, import->app[0] ? import->app : "app", &size, errors));
    rule_document_free(document);
}

/* The entries with errors become things left out, with the first error of each.  False: an error is of no entry. */
static bool drop_wrong(struct import *import, const struct rule_errors *errors) {
    unsigned dropped_to = 0; /* lines up to here: errors come in their order */
    for (size_t i = 0; i < errors->count; i++) {
        const struct rule_error *error = &errors->list[i];
        struct import_entry *entry = entry_at(import, error->line);
        if (!entry && error->line && error->line <= dropped_to)
            continue;
        if (!entry || entry->section == SECTION_OPTIONS) {
            import_error(import, "the result", error->line, error->column, "%s: %s", error->path, error->message);
            return false;
        }
        const char *field = field_of(error->path);
        import_left_out(import, entry->file, entry->line, name_of(entry), "%s%s%s", field, field[0] ? ": " : "",
                        error->message);
        dropped_to = entry->last_line > dropped_to ? entry->last_line : dropped_to;
        import_drop(import, (size_t)(entry - import->entries));
    }
    return true;
}

/* A new file has no former meaning: what `weir check` would warn of is settled by saying the default. */
static bool settle(struct import *import, const char *message) {
    static const struct {
        const char *mark, *name, *value;
    } settled[] = {
        {"set options.strictHttp", "strictHttp", "\"defend\""},
        {"set options.trustedProxies", "trustedProxies", "[\"127.0.0.0/8\", \"::1\"]"},
        {"set options.ipv6Prefix", "ipv6Prefix", "64"},
        {"set options.rt", "rt", "\"head\""},
        {"set options.upgraded", "upgraded", "\"hold\""},
    };
    for (size_t i = 0; i < sizeof(settled) / sizeof(*settled); i++) {
        if (!strstr(message, settled[i].mark))
            continue;
        import_option(import, "weir's own defaults", 0, settled[i].name, cJSON_Parse(settled[i].value));
        return true;
    }
    return false;
}

/* Once for each thing: the importer may have said it in its own words. */
static void take_warnings(struct import *import, const struct rule_errors *errors) {
    for (size_t i = 0; i < errors->warnings_count; i++) {
        const struct rule_error *warning = &errors->warnings[i];
        const struct import_entry *entry = settle(import, warning->message) ? NULL : entry_at(import, warning->line);
        const char *field = field_of(warning->path);
        if (entry && !is_noted(import, entry))
            import_warning(import, entry->file, entry->line, name_of(entry), "%s%s%s", field, field[0] ? ": " : "",
                           warning->message);
    }
}

char *import_write_valid(struct import *import, size_t *ret_length) {
    for (;;) {
        struct rule_errors errors = {0};
        char *text = import_write(import, ret_length);
        if (!text || import->failed) {
            free(text);
            import_error(import, "the result", 0, 0, "not enough memory");
            return NULL;
        }
        parse(import, text, *ret_length, &errors);
        bool valid = errors.count == 0, goes_on = !valid && drop_wrong(import, &errors);
        if (valid)
            take_warnings(import, &errors);
        bool warned = valid && errors.warnings_count;
        rule_errors_clear(&errors);
        if (valid && !warned)
            return text;
        free(text);
        if (valid)
            return import_write(import, ret_length);
        if (!goes_on)
            return NULL;
    }
}
