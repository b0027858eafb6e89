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

static const char *text_of(const struct import_entry *entry, const char *key) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(entry->value, key);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

static bool is_rule(const struct import_entry *entry) {
    return entry->section >= SECTION_FLOW && entry->section <= SECTION_SYSTEM;
}

/* The parser says once, at the first, that a resource has too many rules: the others go with it, or there would be a
 * round for each. */
static void drop_crowd(struct import *import, const struct import_entry *first, const char *message) {
    const char *resource = text_of(first, "resource");
    for (size_t i = 0; resource && i < import->written_count; i++) {
        struct import_entry *entry = &import->entries[import->written[i]];
        const char *own = is_rule(entry) && !entry->dropped ? text_of(entry, "resource") : NULL;
        if (!own || entry->first_line <= first->first_line || strcmp(own, resource) != 0)
            continue;
        import_left_out(import, entry->file, entry->line, name_of(entry), "resource: %s", message);
        entry->dropped = true;
    }
}

static bool is_defined(const struct import *import, const char *name, bool dropped) {
    for (size_t i = 0; i < import->entries_count; i++) {
        const struct import_entry *entry = &import->entries[i];
        const char *own = entry->section == SECTION_RESOURCES && entry->dropped == dropped ? text_of(entry, "name")
                                                                                           : NULL;
        if (own && strcmp(own, name) == 0)
            return true;
    }
    return false;
}

/* A rule about a group that could not be carried over would never match; one for clients of such a group would be for
 * others than those. */
static void drop_orphans(struct import *import) {
    static const char *const keys[] = {"resource", "limitApp"};
    for (size_t i = 0; i < import->entries_count; i++)
        for (size_t key = 0; key < 2; key++) {
            struct import_entry *entry = &import->entries[i];
            const char *name = is_rule(entry) && !entry->dropped ? text_of(entry, keys[key]) : NULL;
            if (!name || !is_defined(import, name, true) || is_defined(import, name, false))
                continue;
            const char *id = text_of(entry, "id");
            import_left_out(import, entry->file, entry->line, id ? id : name_of(entry),
                            "its %s \"%.100s\" is not carried over, either", keys[key], name);
            entry->dropped = true;
        }
}

/* The entries with errors become things left out, with the first error of each.  False: an error is of no entry. */
static bool drop_wrong(struct import *import, const struct rule_errors *errors) {
    bool of_resources = false;
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
        of_resources |= entry->section == SECTION_RESOURCES;
        if (strstr(error->message, "too many rules for this resource"))
            drop_crowd(import, entry, error->message);
    }
    if (of_resources)
        drop_orphans(import);
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
