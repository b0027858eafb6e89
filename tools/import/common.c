#include "tools/import/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 4000 };

struct import_names {
    struct name {
        char text[216];
        cJSON *value;
    } list[NAMES_MAX];
    size_t count;
};

struct import_names *import_names_new(void) {
    return calloc(1, sizeof(struct import_names));
}

void import_names_free(struct import_names *names) {
    for (size_t i = 0; names && i < names->count; i++)
        cJSON_Delete(names->list[i].value);
    free(names);
}

const char *import_name(struct import_names *names, struct import *import, const char *file, unsigned line,
                        const char *wanted, const cJSON *value) {
    for (size_t i = 0; i < names->count; i++)
        if (cJSON_Compare(names->list[i].value, value, true))
            return names->list[i].text;
    if (names->count == NAMES_MAX)
        return NULL;
    struct name *name = &names->list[names->count++];
    snprintf(name->text, sizeof(name->text), "%.200s", wanted);
    for (unsigned number = 2; import_has(import, "resources", "name", name->text); number++)
        snprintf(name->text, sizeof(name->text), "%.200s #%u", wanted, number);
    name->value = cJSON_Duplicate(value, true);
    cJSON *resource = cJSON_Duplicate(value, true);
    cJSON_AddStringToObject(resource, "name", name->text);
    import_resource(import, file, line, NULL, resource);
    return name->text;
}

/* ---------------------------------------------------------------------------------------------------- rules' parts */

static bool has_item(const cJSON *list, const cJSON *item) {
    const cJSON *other;
    cJSON_ArrayForEach(other, list) {
        const cJSON *same = cJSON_GetObjectItemCaseSensitive(other, item->string);
        if (cJSON_IsString(same) && strcmp(same->valuestring, item->valuestring) == 0)
            return true;
    }
    return false;
}

void import_items(cJSON *list, const cJSON *addresses, double count) {
    const cJSON *address;
    cJSON_ArrayForEach(address, addresses) {
        const cJSON *file = cJSON_GetObjectItemCaseSensitive(address, "file");
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, file ? "file" : "object", file ? file->valuestring : address->valuestring);
        bool known = item->child && has_item(list, item->child);
        cJSON_AddNumberToObject(item, "count", count);
        if (known)
            cJSON_Delete(item);
        else
            cJSON_AddItemToArray(list, item);
    }
}

void import_id(struct import *import, const char *section, cJSON *rule, const char *wanted) {
    char id[120];
    snprintf(id, sizeof(id), "%.90s", wanted);
    for (unsigned number = 2; import_has(import, section, "id", id); number++)
        snprintf(id, sizeof(id), "%.90s #%u", wanted, number);
    cJSON_AddStringToObject(rule, "id", id);
}

cJSON *import_param(const char *strategy, const char *field) {
    cJSON *param = cJSON_CreateObject();
    cJSON_AddStringToObject(param, "parseStrategy", strategy);
    if (field)
        cJSON_AddStringToObject(param, "fieldName", field);
    return param;
}

cJSON *import_pattern(const char *pattern, const char *match) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "pattern", pattern);
    cJSON_AddStringToObject(item, "matchStrategy", match);
    return item;
}

void import_status(struct import *import, const char *file, unsigned line, const char *name, int status, bool close,
                   double delay_ms) {
    if (import_has(import, "blockActions", "name", name))
        return;
    cJSON *action = cJSON_CreateObject();
    cJSON_AddStringToObject(action, "name", name);
    cJSON_AddNumberToObject(action, "status", status);
    if (close)
        cJSON_AddTrueToObject(action, "close");
    if (delay_ms > 0)
        cJSON_AddNumberToObject(action, "delayMs", delay_ms < 600000 ? delay_ms : 600000);
    import_block_action(import, file, line, NULL, action);
}
