#include "tools/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules/layout.h"
#include "rules/text/reader.h"

int names_nearest(const char *word, const char *const *names, size_t count) {
    size_t length = strlen(word), best = length < 3 ? 2 : length / 3 + 2; /* below this many edits */
    int nearest = -1;
    for (size_t i = 0; i < count; i++) {
        size_t edits = text_distance(word, names[i]);
        bool begins = length >= 2 && strncasecmp(word, names[i], length) == 0;
        if (begins)
            edits = 1;
        if (edits < best && (begins || edits < strlen(names[i])))
            best = edits, nearest = (int)i;
    }
    return nearest;
}

static bool app_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._-", c));
}

bool names_app_valid(const char *app) {
    size_t length = 0;
    while (app_char(app[length]))
        length++;
    return length > 0 && app[length] == '\0' && length < LAYOUT_APP_NAME_MAX && app[0] != '.';
}

void names_app_from(const char *text, char *ret_app, size_t size) {
    size_t length = 0;
    for (; text[length] && length + 1 < size; length++) {
        bool fits = app_char(text[length]) && !(length == 0 && text[0] == '.');
        ret_app[length] = fits ? text[length] : '-';
    }
    ret_app[length] = '\0';
}
