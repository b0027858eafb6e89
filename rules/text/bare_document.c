/* A bare array of Sentinel's rules is brought to the form of a section of a rules file, before it is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/bare.h"
#include "rules/text/document.h"
#include "rules/text/kinds.h"

static void __attribute__((format(printf, 4, 5)))
error_at(struct rule_errors *errors, const struct rule_document *document, const cJSON *node, const char *format, ...) {
    struct place_text place = document_place(document, node);
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(errors, document->file, place.line, place.column, "$", format, arguments);
    va_end(arguments);
}

/* A new node stands where another one did. */
static bool add_member(cJSON *object, const char *key, cJSON *value, const cJSON *place) {
    if (value)
        value->valueint = place->valueint;
    if (value && cJSON_AddItemToObject(object, key, value))
        return true;
    cJSON_Delete(value);
    return false;
}

/* ---------------------------------------------------------------------------------------------------- elements */

/* {"id": 1, "app": …, "rule": {…}}: the rule takes the envelope's place, and its id if it has none itself. */
static void open_envelope(cJSON *element) {
    cJSON *rule = cJSON_GetObjectItemCaseSensitive(element, "rule"), *id = NULL;
    if (!cJSON_IsObject(rule))
        return;
    cJSON_DetachItemViaPointer(element, rule);
    if (!cJSON_GetObjectItemCaseSensitive(rule, "id"))
        id = cJSON_DetachItemFromObjectCaseSensitive(element, "id");
    cJSON *envelope = element->child;
    element->child = rule->child;
    rule->child = envelope;
    cJSON_Delete(rule);
    if (id)
        cJSON_AddItemToObject(element, "id", id);
}

/* Nulls are what Java has no value for. */
static void drop_empty_and_dashboards(cJSON *element) {
    for (cJSON *member = element->child, *next; member; member = next) {
        next = member->next;
        bool id = strcmp(member->string, "id") == 0;
        if (cJSON_IsNull(member) || (bare_is_dashboard_field(member->string) && !id))
            cJSON_Delete(cJSON_DetachItemViaPointer(element, member));
    }
}

/* The dashboard's interval in units (seconds, minutes, hours, days) becomes seconds. */
static void settle_interval(cJSON *element) {
    static const int seconds[] = {1, 60, 3600, 86400};
    cJSON *interval = cJSON_GetObjectItemCaseSensitive(element, "interval"),
          *unit = cJSON_GetObjectItemCaseSensitive(element, "intervalUnit");
    double number = cJSON_IsNumber(unit) ? unit->valuedouble : 0;
    if (!cJSON_IsNumber(interval) || !(number >= 0 && number < 4) ||
        cJSON_GetObjectItemCaseSensitive(element, "intervalSec"))
        return;
    cJSON *value = cJSON_CreateNumber(interval->valuedouble * seconds[(int)number]);
    if (!add_member(element, "intervalSec", value, interval))
        return;
    cJSON_Delete(cJSON_DetachItemViaPointer(element, interval));
    cJSON_Delete(unit ? cJSON_DetachItemViaPointer(element, unit) : NULL);
}

static void settle_elements(struct rule_document *document) {
    cJSON *element;
    cJSON_ArrayForEach(element, document->root) {
        if (!cJSON_IsObject(element))
            continue;
        open_envelope(element);
        drop_empty_and_dashboards(element);
        if (strcmp(document->kind, "gateway") == 0)
            settle_interval(element);
        if (strcmp(document->kind, "api") == 0 && !cJSON_GetObjectItemCaseSensitive(element, "kind"))
            add_member(element, "kind", cJSON_CreateString("api"), element);
    }
}

/* --------------------------------------------------------------------------------------------------- kind and app */

static const char *kind_of(const struct rule_document *document, const char *kind_of_name, struct rule_errors *errors) {
    const cJSON *other;
    const char *kind = bare_kind_of_array(document->root, &other);
    if (kind)
        return kind;
    if (other)
        error_at(errors, document, other,
                 "this is a rule of another kind (%s) than those before it; an array holds rules of one kind",
                 bare_kind_of_fields(other));
    else if (!kind_of_name)
        error_at(errors, document, document->root,
                 "an array [\xe2\x80\xa6] whose kind is not clear from its content: name the file after it, as in "
                 "APP-flow-rules.json, or write {\"app\": \"APP\", \"flow\": [\xe2\x80\xa6]} (`weir check --kind flow` "
                 "reads it as it is)");
    return other ? NULL : kind_of_name;
}

/* The app that all elements name, if they do; false and an error: they name several. */
static bool app_of(const struct rule_document *document, const char **ret_app, struct rule_errors *errors) {
    const cJSON *element;
    cJSON_ArrayForEach(element, document->root) {
        const cJSON *app = cJSON_GetObjectItemCaseSensitive(element, "app");
        if (!cJSON_IsString(app) || !app->valuestring[0])
            continue;
        if (*ret_app && strcmp(*ret_app, app->valuestring) != 0) {
            error_at(errors, document, app,
                     "this rule is for the app \"%s\", those before it for \"%s\": one file holds the rules of one app",
                     app->valuestring, *ret_app);
            return false;
        }
        *ret_app = app->valuestring;
    }
    return true;
}

bool bare_settle(struct rule_document *document, struct rule_errors *errors) {
    char name_app[LAYOUT_APP_NAME_MAX];
    const char *app = NULL, *kind_of_name = bare_kind_of_name(document->file, name_app);
    if (!cJSON_IsArray(document->root))
        return true;
    if (!document->kind)
        document->kind = kind_of(document, kind_of_name, errors);
    if (!document->kind || !app_of(document, &app, errors))
        return false;
    if (app && !rule_app_is_valid(app)) {
        error_at(errors, document, document->root,
                 "the rules name the app \"%s\", which cannot be an app's name: expected 1 to 63 letters, digits, '.', "
                 "'_' or '-', not starting with '.'",
                 app);
        return false;
    }
    if (app || name_app[0])
        document->app = strdup(app ? app : name_app);
    document->app_by_name = !app && name_app[0];
    document->bare = true;
    settle_elements(document);
    return true;
}
