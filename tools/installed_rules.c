#include "tools/installed_rules.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/text/json_position.h"
#include "tools/output.h"
#include "tools/rule_files.h"

static const char CONFIG[] = "/etc/weir/weir.json", DEFAULT[] = "/etc/weir/rules.d";
enum { CONFIG_MAX = 1 << 20 };

/* "rules" of the agent's configuration, or NULL: it says nothing of them, or is no JSON, which the agent reports. */
static cJSON *configured(void) {
    FILE *stream = fopen(CONFIG, "re");
    char *text = stream ? malloc(CONFIG_MAX) : NULL;
    size_t length = text ? fread(text, 1, CONFIG_MAX, stream) : 0;
    struct json_fault fault;
    bool good = length && json_blank_comments(text, length, &fault);
    cJSON *whole = good ? cJSON_ParseWithLength(text, length) : NULL;
    cJSON *rules = cJSON_DetachItemFromObjectCaseSensitive(whole, "rules");
    cJSON_Delete(whole);
    free(text);
    if (stream)
        fclose(stream);
    return rules;
}

static int each_of(const char *path, void (*each)(void *context, const char *file), void *context) {
    if (access(path, F_OK) < 0) {
        int error = -errno;
        output_error("%s: %s", path, strerror(-error));
        return error;
    }
    output_note("the installed rules, %s", path);
    int count = rule_files_each(path, each, context);
    if (count == 0)
        output_error("%s: no *.json files in it", path);
    return count;
}

int installed_rules_each(void (*each)(void *context, const char *file), void *context) {
    int count = 0, error = 0;
    cJSON *paths = configured(), *path;
    cJSON_ArrayForEach(path, paths) {
        int found = cJSON_IsString(path) ? each_of(path->valuestring, each, context) : 0;
        count += found > 0 ? found : 0;
        error = found < 0 ? found : error;
    }
    if (!cJSON_GetArraySize(paths))
        count = each_of(DEFAULT, each, context);
    cJSON_Delete(paths);
    return error ? error : count;
}
