#include "tools/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules/layout.h"

enum { WORD_MAX = 64 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Damerau's distance with adjacent swaps, in three rows; upper and lower case are the same. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), rows[3][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            bool same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0;
            now[j] = smaller(smaller(before[j], now[j - 1]) + 1, before[j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

int names_nearest(const char *word, const char *const *names, size_t count) {
    size_t length = strlen(word), best = length < 3 ? 2 : length / 3 + 2; /* below this many edits */
    int nearest = -1;
    for (size_t i = 0; i < count; i++) {
        size_t edits = distance(word, names[i]);
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
