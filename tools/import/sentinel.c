/* Finds the rules within whatever they are wrapped in: answers of an API, pages of a registry, texts within texts. */
#include "tools/import/sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/bare.h"
#include "rules/text/kinds.h"
#include "tools/app_name.h"
#include "tools/import/sentinel_private.h"

enum { TEXTS_MAX = 3 /* within each other */ };

static void walk(struct sentinel here, const cJSON *node);

unsigned sentinel_line(const struct sentinel *here, const cJSON *node) {
    size_t index = (size_t)node->valueint, count = here->document->places_count;
    /* not its column: in a file of one line that takes its time */
    return here->line ? here->line
                      : document_line(here->document, index < count ? here->document->places[index].value : 0);
}

const cJSON *sentinel_get(const cJSON *object, const char *key) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(node) ? NULL : node;
}

/* ----------------------------------------------------------------------------------------------------- arrays */

static bool is_kind(const char *kind) {
    static const char *const kinds[] = {"flow",    "degrade", "system",    "authority", "paramFlow",
                                        "gateway", "api",     "isolation", NULL};
    for (size_t i = 0; kinds[i]; i++)
        if (strcmp(kinds[i], kind) == 0)
            return true;
    return false;
}

static void cannot_tell(const struct sentinel *here, const cJSON *node) {
    import_error(here->import, here->path, sentinel_line(here, node), 0,
                 "these rules could be of several kinds: say which with --kind (flow, degrade, authority, …), or call "
                 "the file so, as in shop-flow-rules.json");
}

/* Of an array of rules: what the command line says, what its fields tell, what its name tells. */
static const char *kind_of(const struct sentinel *here, const cJSON *array) {
    const cJSON *other;
    const char *kind = import_kind(here->import);
    if (kind)
        return kind;
    kind = bare_kind_of_array(array, &other);
    if (kind)
        return kind;
    if (other)
        import_error(here->import, here->path, sentinel_line(here, other), 0,
                     "this is of another kind (%s) than the elements before it: one array holds rules of one kind",
                     bare_kind_of_fields(other));
    else if (!here->kind)
        cannot_tell(here, array);
    return other ? NULL : here->kind;
}

void sentinel_note_app(const struct sentinel *here, const cJSON *element) {
    const cJSON *app = sentinel_get(element, "app");
    char name[LAYOUT_APP_NAME_MAX];
    if (!cJSON_IsString(app) || !app->valuestring[0]) {
        if (here->app[0])
            import_app_by_name(here->import, here->path, sentinel_line(here, element), here->app);
        return;
    }
    app_name_from(app->valuestring, name, sizeof(name));
    import_app(here->import, here->path, sentinel_line(here, app), name);
}

/* An object with a rule in it: of Sentinel, of its dashboard, or of one of its other languages. */
static bool is_rule(const cJSON *node) {
    const cJSON *inner = sentinel_get(node, "rule");
    return cJSON_IsObject(node) && (sentinel_get(node, "resource") || cJSON_IsObject(inner) ||
                                    bare_kind_of_fields(node) || sentinel_is_other(node));
}

static void read_others(const struct sentinel *here, const cJSON *array) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) {
        if (!cJSON_IsObject(element))
            import_error(here->import, here->path, sentinel_line(here, element), 0, "expected a rule {…}");
        else if (!sentinel_other(here, element))
            cannot_tell(here, element);
    }
}

static void read_rules(const struct sentinel *here, const cJSON *array) {
    const cJSON *element;
    if (sentinel_is_other(array->child)) {
        read_others(here, array);
        return;
    }
    const char *kind = kind_of(here, array);
    cJSON_ArrayForEach(element, array) {
        if (!cJSON_IsObject(element))
            import_error(here->import, here->path, sentinel_line(here, element), 0, "expected a rule {…}");
        else if (kind)
            sentinel_rule(here, kind, element);
        sentinel_note_app(here, element);
    }
}

/* -------------------------------------------------------------------------------------------------- wrappings */

/* A text within the text: the content of a registry's entry. */
static void read_text(struct sentinel here, const cJSON *node) {
    const char *text = node->valuestring;
    text += strspn(text, " \t\r\n");
    if ((*text != '[' && *text != '{') || here.depth >= TEXTS_MAX)
        return;
    unsigned line = sentinel_line(&here, node);
    struct rule_errors errors = {0};
    struct rule_document *document = document_open(here.path, text, strlen(text), &errors);
    for (size_t i = 0; i < errors.count; i++)
        import_error(here.import, here.path, line, 0, "the text in here is no JSON: %s (its line %u, column %u)",
                     errors.list[i].message, errors.list[i].line, errors.list[i].column);
    rule_errors_clear(&errors);
    if (document) {
        struct sentinel inner = here;
        inner.document = document;
        inner.line = line;
        inner.depth++;
        walk(inner, document->root);
    }
    rule_document_free(document);
}

/* The kind, and the app, that a key or the name of a registry's entry tells. */
static void take_name(struct sentinel *here, const char *name) {
    char app[LAYOUT_APP_NAME_MAX];
    const char *kind = bare_kind_of_name(name, app);
    if (!kind)
        return;
    here->kind = kind;
    if (app[0])
        snprintf(here->app, sizeof(here->app), "%s", app);
}

static bool says_failure(const struct sentinel *here, const cJSON *object) {
    const cJSON *message = sentinel_get(object, "msg");
    message = message ? message : sentinel_get(object, "message");
    if (!cJSON_IsFalse(sentinel_get(object, "success")) && !cJSON_IsFalse(sentinel_get(object, "Success")))
        return false;
    import_error(here->import, here->path, sentinel_line(here, object), 0,
                 "this answer reports a failure, and has no rules%s%s", cJSON_IsString(message) ? ": " : "",
                 cJSON_IsString(message) ? message->valuestring : "");
    return true;
}

/* One page of several, which nothing in the result would tell. */
static void note_pages(const struct sentinel *here, const cJSON *object) {
    const cJSON *number = sentinel_get(object, "pageNumber"), *pages = sentinel_get(object, "pagesAvailable");
    if (sentinel_get(object, "pageItems") && cJSON_IsNumber(pages) && pages->valuedouble > 1)
        import_warning(here->import, here->path, sentinel_line(here, object), "pageItems",
                       "this is page %.0f of %.0f: the rules on the others are missing; import them, too, or ask for "
                       "all at once (pageSize)",
                       cJSON_IsNumber(number) ? number->valuedouble : 1, pages->valuedouble);
}

static void read_object(struct sentinel here, const cJSON *object) {
    const cJSON *name = sentinel_get(object, "dataId"), *member;
    if (says_failure(&here, object))
        return;
    note_pages(&here, object);
    if (cJSON_IsString(name))
        take_name(&here, name->valuestring);
    const cJSON *app = sentinel_get(object, "configurations") ? sentinel_get(object, "appId") : NULL; /* of Apollo */
    if (app && cJSON_IsString(app) && rule_app_is_valid(app->valuestring))
        snprintf(here.app, sizeof(here.app), "%s", app->valuestring);
    cJSON_ArrayForEach(member, object) {
        struct sentinel inner = here;
        if (!cJSON_IsString(name))
            take_name(&inner, member->string);
        walk(inner, member);
    }
}

static bool holds_rules(const cJSON *array) {
    const cJSON *element;
    cJSON_ArrayForEach(element, array) if (is_rule(element)) return true;
    return false;
}

static void walk(struct sentinel here, const cJSON *node) {
    const cJSON *element;
    if (cJSON_IsString(node)) {
        read_text(here, node);
    } else if (is_rule(node)) {
        cJSON *array = cJSON_CreateArray();
        if (array && cJSON_AddItemReferenceToArray(array, (cJSON *)node))
            read_rules(&here, array);
        cJSON_Delete(array);
    } else if (holds_rules(node)) {
        read_rules(&here, node);
    } else if (cJSON_IsArray(node)) {
        cJSON_ArrayForEach(element, node) walk(here, element);
    } else if (cJSON_IsObject(node)) {
        read_object(here, node);
    }
}

/* ------------------------------------------------------------------------------------------------------- files */

/* Behind blanks and comments. */
static char first_byte(const char *text, size_t length) {
    size_t at = 0;
    while (at < length) {
        bool line = length - at > 2 && memcmp(text + at, "//", 2) == 0,
             block = length - at > 2 && memcmp(text + at, "/*", 2) == 0;
        const char *end = line || block ? memmem(text + at, length - at, line ? "\n" : "*/", line ? 1 : 2) : NULL;
        if (end)
            at = (size_t)(end - text) + (line ? 1 : 2);
        else if (text[at] && strchr(" \t\r\n\xef\xbb\xbf", text[at]))
            at++;
        else
            return text[at];
    }
    return '\0';
}

int sentinel_looks_like(const char *text, size_t length, const char *path) {
    static const char *const words[] = {"\"resource\"", "\"highestSystemLoad\"", "\"predicateItems\"",
                                        "\"dataId\"",   "\"Resource\"",          "\"triggerCount\"",
                                        "\"success\"",  "\"Success\"",           "\\\"resource\\\""};
    char app[LAYOUT_APP_NAME_MAX], first = first_byte(text, length);
    if (first != '[' && first != '{')
        return IMPORT_NO;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (memmem(text, length, words[i], strlen(words[i])))
            return first == '[' ? IMPORT_SURELY : IMPORT_MAYBE;
    return first == '[' || bare_kind_of_name(path, app) ? IMPORT_MAYBE : IMPORT_NO;
}

/* {"app": …, "flow": …}, and nothing that an answer of an API has. */
static bool is_rules_file(const cJSON *root) {
    const cJSON *member;
    bool sections = false;
    if (!cJSON_IsObject(root) || !sentinel_get(root, "app"))
        return false;
    cJSON_ArrayForEach(member, root) {
        sections |= is_kind(member->string) || strcmp(member->string, "resources") == 0;
        if (strcmp(member->string, "data") == 0)
            return false;
    }
    return sections;
}

void sentinel_parse(struct import *import, const char *path, const char *text, size_t length) {
    struct rule_document *document = document_open(path, text, length, import_errors(import));
    const char *kind = import_kind(import);
    if (kind && !is_kind(kind))
        import_error(import, path, 0, 0,
                     "unknown kind \"%s\"; expected flow, degrade, system, authority, paramFlow, gateway, api or "
                     "isolation",
                     kind);
    else if (document && is_rules_file(document->root))
        import_error(import, path, 0, 0, "is a rules file of weir already: `weir check` reads it");
    else if (document) {
        struct sentinel here = {.import = import, .document = document, .path = path};
        take_name(&here, path);
        walk(here, document->root);
    }
    rule_document_free(document);
}
