#include "tools/fates.h"

#include <stdio.h>
#include <string.h>

#include "tools/control.h"

void fates_add(struct fates *sum, const cJSON *listener) {
    const cJSON *reason;
    sum->judged += control_number(listener, "judged");
    sum->empty += control_number(listener, "empty");
    sum->unread += control_number(listener, "unread");
    sum->refused += control_number(listener, "refused");
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(listener, "opaque"))
        sum->opaque += cJSON_IsNumber(reason) ? reason->valuedouble : 0;
}

static void add_text(char text[static FATES_TEXT], const char *what, double count) {
    size_t length = strlen(text);
    if (count > 0)
        snprintf(text + length, FATES_TEXT - length, "%s%s %.0f", length ? ", " : "", what, count);
}

void fates_text(const cJSON *listener, char ret_text[static FATES_TEXT]) {
    const cJSON *reason;
    ret_text[0] = 0;
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(listener, "opaque"))
        add_text(ret_text, reason->string ? reason->string : "", cJSON_IsNumber(reason) ? reason->valuedouble : 0);
    add_text(ret_text, "unread", control_number(listener, "unread"));
    add_text(ret_text, "refused", control_number(listener, "refused"));
}
