#include "tools/overload.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "tools/control.h"

struct out {
    char *text;
    size_t size, length;
    const char *comma; /* before the next figure */
};

/* A figure that the agent knows, behind those before it. */
static void add(struct out *out, const cJSON *overload, const char *member, double factor, const char *before,
                const char *after) {
    if (!cJSON_HasObjectItem(overload, member))
        return;
    int n = snprintf(out->text + out->length, out->size - out->length, "%s%s%.3g%s", out->comma, before,
                     control_number(overload, member) * factor, after);
    out->length += n > 0 ? (size_t)n : 0;
    if (out->length >= out->size)
        out->length = out->size - 1;
    out->comma = ", ";
}

bool overload_line(const cJSON *app, char *text, size_t size) {
    const cJSON *overload = cJSON_GetObjectItemCaseSensitive(app, "overload");
    bool simulated = control_true(overload, "simulated");
    if (!overload)
        return false;
    int n = snprintf(text, size, "%s: OVERLOAD for %.0f s (rule %s%s)", control_text(app, "app"),
                     control_number(overload, "lasted_s"), control_text(overload, "rule"),
                     simulated ? ", simulated" : "");
    struct out out = {text, size, n > 0 && (size_t)n < size ? (size_t)n : 0, ": "};
    add(&out, overload, "rejected", 100, "", simulated ? " % would be rejected" : " % rejected");
    add(&out, overload, "wait_ms", 1, "requests wait ", " ms");
    add(&out, overload, "goodput", 1, "", " answered a second");
    add(&out, overload, "goodput_before", 1, "", " before");
    return true;
}
