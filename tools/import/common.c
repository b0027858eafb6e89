#include "tools/import/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 4000, NUMBERED_MAX = 1 << 30 };

struct import_names {
    struct name {
        char text[216];
        cJSON *value;
    } list[NAMES_MAX];
    size_t count;
    bool full; /* that was said */
};

struct import_names *import_names_new(void) {
    return calloc(1, sizeof(struct import_names));
}

void import_names_free(struct import_names *names) {
    for (size_t i = 0; names && i < names->count; i++)
        cJSON_Delete(names->list[i].value);
    free(names);
}

/* As an id in a section of rules, or as a resource's name. */
static bool is_taken(const struct import *import, const char *section, const char *text) {
    return strcmp(section, "resources") == 0 ? import_has_resource(import, text) : import_has_id(import, section, text);
}

/* `wanted`, or that with a number behind it.  Those that are taken have all numbers up to some one, so it is not looked
 * for one by one: with thousands of equal names that would take minutes. */
static void number_free(const struct import *import, const char *section, const char *wanted, int most, char *ret_text,
                        size_t size) {
    unsigned taken = 1, free_from = 2;
    snprintf(ret_text, size, "%.*s", most, wanted);
    if (!is_taken(import, section, ret_text))
        return;
    for (; free_from < NUMBERED_MAX; taken = free_from, free_from *= 2) {
        snprintf(ret_text, size, "%.*s #%u", most, wanted, free_from);
        if (!is_taken(import, section, ret_text))
            break;
    }
    while (taken + 1 < free_from) {
        unsigned middle = taken + (free_from - taken) / 2;
        snprintf(ret_text, size, "%.*s #%u", most, wanted, middle);
        *(is_taken(import, section, ret_text) ? &taken : &free_from) = middle;
    }
    snprintf(ret_text, size, "%.*s #%u", most, wanted, free_from);
}

const char *import_name(struct import_names *names, struct import *import, const char *file, unsigned line,
                        const char *wanted, const cJSON *value) {
    for (size_t i = 0; i < names->count; i++)
        if (cJSON_Compare(names->list[i].value, value, true))
            return names->list[i].text;
    if (names->count == NAMES_MAX) {
        if (!names->full)
            import_error(import, file, line, 0,
                         "its rules need more than %d groups of paths, hosts or addresses: import it in parts",
                         NAMES_MAX);
        names->full = true;
        return NULL;
    }
    struct name *name = &names->list[names->count++];
    number_free(import, "resources", wanted, 200, name->text, sizeof(name->text));
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
    number_free(import, section, wanted, 90, id, sizeof(id));
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
