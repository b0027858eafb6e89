#include "tools/suggest.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "rules/text/reader.h"

int suggest_nearest(const char *word, const char *const *candidates, size_t count) {
    size_t length = strlen(word), best = length < 3 ? 2 : length / 3 + 2; /* below this many edits */
    int nearest = -1;
    for (size_t i = 0; i < count; i++) {
        size_t edits = text_distance(word, candidates[i]);
        bool begins = length >= 2 && strncasecmp(word, candidates[i], length) == 0;
        if (begins)
            edits = 1;
        if (edits < best && (begins || edits < strlen(candidates[i])))
            best = edits, nearest = (int)i;
    }
    return nearest;
}
