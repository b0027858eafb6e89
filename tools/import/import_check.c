/* The result is held to what `weir check` asks of a rules file. */
#include <stdlib.h>
#include <string.h>

#include "rules/hash.h"
#include "tools/import/import_private.h"

/* Of the text that was written last. */
static struct import_entry *entry_at(struct import *import, unsigned line) {
    size_t low = 0, high = import->written_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct import_entry *entry = &import->entries[import->written[middle]];
        if (line < entry->first_line)
            high = middle;
        else if (line > entry->last_line)
            low = middle + 1;
        else
            return entry;
    }
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

static uint64_t note_hash(unsigned line, const char *what) {
    return hash_bytes(line, what, strlen(what));
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
    for (size_t i = 0; i < errors->count; i++) {
        const struct rule_error *error = &errors->list[i];
        struct import_entry *entry = entry_at(import, error->line);
        if (entry && entry->dropped)
            continue;
        if (!entry || entry->section == SECTION_OPTIONS) {
            import_error(import, "the result", error->line, error->column, "%s%s%s", error->path,
                         error->path[0] ? ": " : "", error->message);
            return false;
        }
        const char *field = field_of(error->path);
        import_left_out(import, entry->file, entry->line, name_of(entry), "%s%s%s", field, field[0] ? ": " : "",
                        error->message);
        entry->dropped = true;
    }
    import_sweep(import);
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
    struct hash_set noted = {0};
    for (size_t i = 0; i < import->notes_count; i++)
        hash_set_add(&noted, note_hash(import->notes[i].line, import->notes[i].what));
    for (size_t i = 0; i < errors->warnings_count; i++) {
        const struct rule_error *warning = &errors->warnings[i];
        const struct import_entry *entry = settle(import, warning->message) ? NULL : entry_at(import, warning->line);
        const char *field = field_of(warning->path);
        if (entry && !hash_set_has(&noted, note_hash(entry->line, name_of(entry))))
            import_warning(import, entry->file, entry->line, name_of(entry), "%s%s%s", field, field[0] ? ": " : "",
                           warning->message);
    }
    hash_set_clear(&noted);
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
