/* The keys of `weir top`: from the bytes that a terminal sends to what they mean.  Pure. */
#ifndef WEIR_TOOLS_TOP_KEYS_H
#define WEIR_TOOLS_TOP_KEYS_H

#include <stddef.h>

enum top_command {
    TOP_NOTHING, /* a key without a meaning */
    TOP_QUIT,
    TOP_ESCAPE, /* leaves the help, then the filter, then the program */
    TOP_ENTER,
    TOP_ERASE, /* the last character typed */
    TOP_ERASE_ALL,
    TOP_SORT_LEFT, /* by the column to the left of the present one */
    TOP_SORT_RIGHT,
    TOP_REVERSE,
    TOP_FILTER, /* what is typed from here on is the filter's, until TOP_ENTER */
    TOP_PAUSE,
    TOP_HOT, /* hot keys instead of resources, and back */
    TOP_HELP,
    TOP_UP,
    TOP_DOWN,
    TOP_PAGE_UP,
    TOP_PAGE_DOWN,
    TOP_HOME,
    TOP_END,
};

/* What the bytes of one key mean, an escape sequence or a single character. */
enum top_command top_key(const char *bytes, size_t length);

/* Lines of help, in order; NULL at the end.  `keys` and `meaning` in a column each. */
struct top_key_help {
    const char *keys, *meaning;
};
extern const struct top_key_help top_keys_help[];

#endif
