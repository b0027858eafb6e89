/* A configuration of HAProxy as its sections and lines, taken apart into words as HAProxy does.  Bounded; never prints.
 */
#ifndef WEIR_TOOLS_IMPORT_HAPROXY_CONF_H
#define WEIR_TOOLS_IMPORT_HAPROXY_CONF_H

#include <stdbool.h>
#include <stddef.h>

enum { HAPROXY_BYTES_MAX = 16 << 20, HAPROXY_LINES_MAX = 200000, HAPROXY_WORDS_MAX = 128 /* of a line */ };

struct haproxy_line {
    unsigned line;
    const char **words; /* the keyword and its arguments; NULL ends them */
    size_t count;       /* at least 1 */
};

struct haproxy_section {
    const char *kind, *name; /* "frontend", "defaults", …; "" = without a name */
    unsigned line;
    const struct haproxy_line *lines;
    size_t count;
};

struct haproxy_conf {
    char *text; /* all words lie in it */
    struct haproxy_line *lines;
    struct haproxy_section *sections;
    size_t lines_count, sections_count, lines_capacity, sections_capacity;
};

struct haproxy_error {
    unsigned line, column;
    char message[200];
};

/* False: it is not readable, `ret_error` says why.  haproxy_conf_clear() in any case. */
bool haproxy_conf_parse(struct haproxy_conf *, const char *text, size_t length, struct haproxy_error *ret_error);
void haproxy_conf_clear(struct haproxy_conf *);

/* The first line of that keyword, or NULL. */
const struct haproxy_line *haproxy_find(const struct haproxy_section *, const char *keyword);
/* "10s", "500ms", "1m", "250" (of the unit that HAProxy takes by default, in ms); negative: it is no time. */
double haproxy_time_ms(const char *text);

#endif
