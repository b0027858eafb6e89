#include "tools/app_name.h"

#include <string.h>

#include "rules/layout.h"

static bool app_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._-", c));
}

bool app_name_is_valid(const char *app) {
    size_t length = 0;
    while (app_char(app[length]))
        length++;
    return length > 0 && app[length] == '\0' && length < LAYOUT_APP_NAME_MAX && app[0] != '.';
}

void app_name_from(const char *text, char *ret_app, size_t size) {
    size_t length = 0;
    for (; text[length] && length + 1 < size; length++) {
        bool fits = app_char(text[length]) && !(length == 0 && text[0] == '.');
        ret_app[length] = fits ? text[length] : '-';
    }
    ret_app[length] = '\0';
}
