#include "rules/text/rule_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/text/bare.h"
#include "rules/text/document.h"
#include "rules/text/join.h"
#include "rules/hash.h"
#include "rules/layout.h"

/* ------------------------------------------------------------------------------------------------- the sections */

struct top {                        /* the record of the root's fields */
    struct rule_document *document; /* NULL: app and match are known already */
};

bool rule_app_is_valid(const char *app) {
    size_t length = strspn(app, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return length > 0 && !app[length] && length < LAYOUT_APP_NAME_MAX && app[0] != '.';
}

static void read_app(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    struct top *top = record;
    const char *app = cJSON_IsString(node) ? node->valuestring : "";
    if (!rule_app_is_valid(app))
        reader_expected(reader, path, node,
                        "a name of 1 to 63 letters, digits, '.', '_' or '-', not starting with '.'");
    else if (top->document)
        top->document->app = strdup(app);
}

static void read_match_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    read_match(reader, path, node, ((struct top *)record)->document);
}

static void read_rule(struct reader *reader, const struct path *path, const cJSON *node, const struct kind *kind,
                      int index) {
    struct rule_record record = {.limits = {-1, -1, -1, -1, -1}};
    rule_defaults(&record.rule, kind->kind);
    if (!reader_object(reader, path, node, &kind->table, &record))
        return;
    if (kind->kind == RULE_PARAM)
        rule_items(reader, path, node, &record.rule);
    rule_check(reader, path, node, &record);
    const char *section = reader->document->bare ? NULL : kind->key;
    join_add_rule(reader, &record, section, index, node);
}

static void read_rules(struct reader *reader, const struct path *path, const cJSON *node, const struct kind *kind) {
    const cJSON *element;
    int index = 0;
    if (kind->object && cJSON_IsObject(node)) {
        read_rule(reader, path, node, kind, -1);
    } else if (!cJSON_IsArray(node) || kind->only_object) {
        reader_expected(reader, path, node,
                        kind->only_object ? "an object {…}"
                        : kind->object    ? "an object {…} or an array of them"
                                          : "an array of rules […]");
    } else {
        cJSON_ArrayForEach(element, node) {
            struct path here = {path, NULL, index};
            read_rule(reader, &here, element, kind, index++);
        }
    }
}

static void read_kind_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)record;
    read_rules(reader, path, node, kind_find(path->key));
}

static void read_routes_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)record;
    read_routes(reader, path, node);
}

static void read_actions_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)record;
    read_actions(reader, path, node);
}

static void read_options_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)reader, (void)path, (void)node, (void)record; /* read before everything else, see read_document_options */
}

static void read_cluster_section(struct reader *reader, const struct path *path, const cJSON *node, void *record) {
    (void)record;
    reader_supported(reader, path, node, path->key);
}

#define SECTION(name, reader)                                                                                          \
    { name, FIELD_CUSTOM, 0, 0, 0, 0, 0, 0, NULL, reader }
static const struct field top_fields[] = {
    SECTION("app", read_app),
    SECTION("match", read_match_section),
    SECTION("resources", read_routes_section),
    SECTION("flow", read_kind_section),
    SECTION("isolation", read_kind_section),
    SECTION("degrade", read_kind_section),
    SECTION("paramFlow", read_kind_section),
    SECTION("gateway", read_kind_section),
    SECTION("authority", read_kind_section),
    SECTION("system", read_kind_section),
    SECTION("adaptive", read_kind_section),
    SECTION("blockActions", read_actions_section),
    SECTION("cluster", read_cluster_section),
    SECTION("tokenServer", read_cluster_section),
    SECTION("options", read_options_section),
    {"$schema", FIELD_TEXT, 0, 0, 0, 0, 1000, 0, NULL, NULL}, /* for editors */
    {NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL},
};

const struct field_table file_table = {"a rules file", {top_fields, NULL}};

static void read_document_options(struct reader *reader, const struct rule_document *document) {
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(document->root, "options");
    struct path path = {NULL, "options", 0};
    reader->document = document;
    if (cJSON_IsObject(document->root) && options)
        read_options(reader, &path, options);
}

static void read_document(struct reader *reader, const struct rule_document *document, struct rule_document *writable) {
    struct top top = {writable};
    reader->document = document;
    reader->errors_of_document = 0;
    if (document->bare && strcmp(document->kind, "api") == 0)
        read_routes(reader, NULL, document->root);
    else if (document->kind && kind_find(document->kind) &&
             (document->bare || !cJSON_GetObjectItemCaseSensitive(document->root, document->kind)))
        read_rules(reader, NULL, document->root, kind_find(document->kind));
    else
        reader_object(reader, NULL, document->root, &file_table, &top);
}

/* Everything but the ruleset; false if anything was wrong.  The builder is the caller's again. */
static bool read_all(struct reader *reader, struct rule_document *const *documents, size_t count, bool whole,
                     struct rule_document *writable) {
    struct join *join = reader->join;
    size_t before = reader->errors->count;
    reader->whole = whole;
    for (size_t i = 0; i < count; i++)
        read_document_options(reader, documents[i]);
    finish_options(reader);
    for (size_t i = 0; i < count; i++)
        read_document(reader, documents[i], writable);
    join_finish(reader, whole);
    if (writable)
        writable->rules = join->rules_count;
    bool good = reader->errors->count == before && !join->failed;
    if (join->failed && reader->errors->count == before)
        document_error(reader->errors, count ? documents[0]->file : "-", "not enough memory");
    return good;
}

/* -------------------------------------------------------------------------------------------------- documents */

/* As it is kept; NULL: no array is of that kind. */
static const char *known_kind(const char *kind) {
    const struct kind *known = kind_find(kind);
    return strcmp(kind, "api") == 0 ? "api" : known && !known->only_object ? known->key : NULL;
}

struct rule_document *rule_text_parse(const char *file, const char *text, size_t length, const char *kind,
                                      struct rule_errors *errors) {
    size_t before = errors->count;
    struct rule_document *document = NULL;
    struct join join = {0};
    struct reader reader = {.errors = errors, .join = &join, .now_s = (uint64_t)time(NULL)};
    bool good = false;
    if (kind && !known_kind(kind))
        document_error(errors, file,
                       "unknown kind \"%s\"; expected flow, isolation, degrade, paramFlow, gateway, authority, system "
                       "or api",
                       kind);
    else if (length > RULE_FILE_MAX)
        document_error(errors, file, "the file is too large: expected at most %d bytes", RULE_FILE_MAX);
    else if ((document = document_new(file, text, length, kind ? known_kind(kind) : NULL)) &&
             document_parse(document, errors) && bare_settle(document, errors) &&
             (reader.builder = ruleset_builder_new("")))
        good = read_all(&reader, &document, 1, false, document);
    join_clear(&join);
    ruleset_builder_free(reader.builder);
    rule_errors_sort(errors, before);
    if (good)
        return document;
    if (errors->count == before)
        document_error(errors, file, "not enough memory");
    rule_document_free(document);
    return NULL;
}

struct rule_document *rule_text_load(const char *file, const char *kind, struct rule_errors *errors) {
    size_t length;
    char *text = rule_text_read(file, &length, errors);
    struct rule_document *document = text ? rule_text_parse(file, text, length, kind, errors) : NULL;
    free(text);
    return document;
}

const char *rule_document_app(const struct rule_document *document) {
    return document->app ? document->app : "";
}

bool rule_document_app_by_name(const struct rule_document *document) {
    return document->app_by_name;
}

size_t rule_document_rules(const struct rule_document *document) {
    return document->rules;
}

struct rule_app_match rule_document_match(const struct rule_document *document) {
    return (struct rule_app_match){document->exe, document->unit, document->cgroup, document->comm, document->uid};
}

/* ------------------------------------------------------------------------------------------------------ ruleset */

/* The app that all documents are of; NULL and an error if they are not of one. */
static const char *common_app(struct rule_document *const *documents, size_t count, const char *app,
                              struct rule_errors *errors) {
    const struct rule_document *first = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name = rule_document_app(documents[i]);
        if (!name[0])
            continue;
        if (first && strcmp(rule_document_app(first), name) != 0) {
            document_error(errors, documents[i]->file, "belongs to app \"%s\", but %s to \"%s\"", name, first->file,
                           rule_document_app(first));
            return NULL;
        }
        if (!first)
            first = documents[i];
    }
    if (first)
        return rule_document_app(first);
    if (!app || !app[0])
        document_error(errors, count ? documents[0]->file : "-", "no app is named: %s",
                       count && documents[0]->bare ? "call the file APP-flow-rules.json, with the app's name"
                                                   : "add \"app\": \"NAME\"");
    return app && app[0] ? app : NULL;
}

/* The same rules have the same version, in every process and at any time. */
static void set_version(struct ruleset_builder *builder, struct rule_document *const *documents, size_t count,
                        uint64_t lists_hash) {
    uint64_t hash = lists_hash;
    char text[17];
    for (size_t i = 0; i < count; i++)
        hash = hash_bytes(hash, documents[i]->text, documents[i]->length);
    snprintf(text, sizeof(text), "%012" PRIx64, hash >> 16);
    ruleset_builder_version(builder, text);
}

static void *build(struct reader *reader, struct rule_document *const *documents, size_t count, const char *app,
                   size_t *ret_size) {
    const char *first = count ? documents[0]->file : "-";
    reader->builder = ruleset_builder_new(app);
    if (!reader->builder) {
        document_error(reader->errors, first, "not enough memory");
        return NULL;
    }
    if (!read_all(reader, documents, count, true, NULL)) {
        ruleset_builder_free(reader->builder);
        return NULL;
    }
    set_version(reader->builder, documents, count, reader->lists_hash);
    void *ruleset = ruleset_builder_finish(reader->builder, ret_size);
    if (!ruleset)
        document_error(reader->errors, first, "the rules of app \"%s\" do not fit into a ruleset of %u MiB", app,
                       LAYOUT_RULES_COPY_MAX >> 20);
    else
        warn_of_never(reader, documents, count, ruleset);
    return ruleset;
}

void *rule_text_ruleset_at(struct rule_document *const *documents, size_t count, const char *app, uint64_t now_s,
                           size_t *ret_size, struct rule_errors *errors) {
    struct join join = {0};
    struct reader reader = {.errors = errors, .join = &join, .now_s = now_s};
    const char *name = common_app(documents, count, app, errors);
    void *ruleset = name ? build(&reader, documents, count, name, ret_size) : NULL;
    join_clear(&join);
    return ruleset;
}

void *rule_text_ruleset(struct rule_document *const *documents, size_t count, const char *app, size_t *ret_size,
                        struct rule_errors *errors) {
    return rule_text_ruleset_at(documents, count, app, (uint64_t)time(NULL), ret_size, errors);
}
