#include "rules/text/bare.h"

#include <ctype.h>
#include <string.h>

/* A field that rules of that kind have, and those of the kinds below do not.  The order matters: rules of a later kind
 * may have fields of an earlier one. */
static const struct {
    const char *field, *kind;
    bool resource; /* rules of that kind are about one */
} telling[] = {
    {"apiName", "api", false},
    {"predicateItems", "api", false},
    {"resourceMode", "gateway", true},
    {"paramItem", "gateway", true},
    {"maxQueueingTimeoutMs", "gateway", true},
    {"intervalSec", "gateway", true},
    {"intervalUnit", "gateway", true},
    {"paramIdx", "paramFlow", true},
    {"paramFlowItemList", "paramFlow", true},
    {"burstCount", "paramFlow", true},
    {"durationInSec", "paramFlow", true},
    {"timeWindow", "degrade", true},
    {"slowRatioThreshold", "degrade", true},
    {"minRequestAmount", "degrade", true},
    {"statIntervalMs", "degrade", true},
    {"rtSlowRequestAmount", "degrade", true},
    {"highestSystemLoad", "system", false},
    {"highestCpuUsage", "system", false},
    {"avgRt", "system", false},
    {"maxThread", "system", false},
    {"qps", "system", false},
    {"controlBehavior", "flow", true},
    {"warmUpPeriodSec", "flow", true},
    {"refResource", "flow", true},
    {"maxQueueingTimeMs", "flow", true},
};
enum { TELLING = sizeof(telling) / sizeof(*telling) };

static bool has(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key) != NULL;
}

static bool is_about_resource(const cJSON *element) {
    const cJSON *resource = cJSON_GetObjectItemCaseSensitive(element, "resource");
    return cJSON_IsString(resource) && resource->valuestring[0];
}

const char *bare_kind_of_fields(const cJSON *element) {
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(element, "rule"); /* the dashboard's envelope */
    if (cJSON_IsObject(rule))
        element = rule;
    bool resource = is_about_resource(element); /* then fields of the other kinds are stray ones */
    for (size_t i = 0; i < TELLING; i++)
        if ((telling[i].resource || !resource) && has(element, telling[i].field))
            return telling[i].kind;
    return has(element, "limitApp") && has(element, "resource") && !has(element, "count") && !has(element, "grade")
               ? "authority"
               : NULL;
}

const char *bare_kind_of_array(const cJSON *array, const cJSON **ret_other) {
    const char *kind = NULL;
    const cJSON *element;
    *ret_other = NULL;
    cJSON_ArrayForEach(element, array) {
        const char *here = bare_kind_of_fields(element);
        if (here && kind && strcmp(here, kind) != 0) {
            *ret_other = element;
            return NULL;
        }
        kind = here ? here : kind;
    }
    return kind;
}

/* ------------------------------------------------------------------------------------------------------- names */

/* How a name may end, without "rules" and separators; longer ones before those that end them. */
static const struct {
    const char *word, *kind;
} endings[] = {
    {"gatewayflow", "gateway"},
    {"gwflow", "gateway"},
    {"gatewayapigroup", "api"},
    {"gatewayapidefinition", "api"},
    {"gatewayapi", "api"},
    {"gwapigroup", "api"},
    {"gwapi", "api"},
    {"apidefinition", "api"},
    {"apigroup", "api"},
    {"gateway", "gateway"},
    {"hotparamflow", "paramFlow"},
    {"hotparam", "paramFlow"},
    {"paramflow", "paramFlow"},
    {"param", "paramFlow"},
    {"hotspot", "paramFlow"},
    {"circuitbreaker", "degrade"},
    {"circuitbreaking", "degrade"},
    {"degrade", "degrade"},
    {"flow", "flow"},
    {"authority", "authority"},
    {"system", "system"},
    {"isolation", "isolation"},
};
enum { ENDINGS = sizeof(endings) / sizeof(*endings) };

static bool is_separator(char c) {
    return c == '-' || c == '_' || c == '.';
}

/* Where in the name's first `length` bytes that word begins at the end of which they end, blind to case and separators;
 * -1: they end in another one. */
static int ending_at(const char *name, size_t length, const char *word) {
    size_t left = strlen(word);
    while (left) {
        while (length && is_separator(name[length - 1]))
            length--;
        if (!length || tolower((unsigned char)name[length - 1]) != word[left - 1])
            return -1;
        length--;
        left--;
    }
    bool begins = length == 0 || is_separator(name[length - 1]) || isupper((unsigned char)name[length]);
    return begins ? (int)length : -1;
}

/* "shop-flow-rules" → "shop-flow" */
static size_t without_words(const char *name, size_t length) {
    static const char *const words[] = {"config", "rules", "rule"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        int at = ending_at(name, length, words[i]);
        length = at >= 0 ? (size_t)at : length;
    }
    return length;
}

static size_t without_separators(const char *name, size_t length) {
    while (length && is_separator(name[length - 1]))
        length--;
    return length;
}

static void app_of(const char *name, size_t length, char ret_app[static LAYOUT_APP_NAME_MAX]) {
    length = without_separators(name, length);
    bool fits = length < LAYOUT_APP_NAME_MAX && name[0] != '.';
    for (size_t i = 0; i < length; i++)
        fits &= isalnum((unsigned char)name[i]) || is_separator(name[i]);
    memcpy(ret_app, name, fits ? length : 0);
    ret_app[fits ? length : 0] = '\0';
}

const char *bare_kind_of_name(const char *file, char ret_app[static LAYOUT_APP_NAME_MAX]) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file, *dot = strrchr(name, '.');
    size_t length = without_words(name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
    ret_app[0] = '\0';
    for (size_t i = 0; i < ENDINGS; i++) {
        int at = ending_at(name, length, endings[i].word);
        if (at < 0 && length && tolower((unsigned char)name[length - 1]) == 's') /* "gateway-api-groups" */
            at = ending_at(name, length - 1, endings[i].word);
        if (at < 0)
            continue;
        app_of(name, (size_t)at, ret_app);
        return endings[i].kind;
    }
    return NULL;
}

bool bare_is_dashboard_field(const char *key) {
    static const char *const fields[] = {"id", "app", "ip", "port", "gmtCreate", "gmtModified"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (strcmp(fields[i], key) == 0)
            return true;
    return false;
}
