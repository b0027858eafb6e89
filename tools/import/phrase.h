/* Texts that an importer puts together: comments, names, and regular expressions made of those of others.  Bounded:
 * what does not fit is cut, and `full` says so.  Pure; never prints. */
#ifndef WEIR_TOOLS_IMPORT_PHRASE_H
#define WEIR_TOOLS_IMPORT_PHRASE_H

#include <stdbool.h>
#include <stddef.h>

enum { PHRASE_MAX = 2000, PHRASE_PATTERN_MAX = 1000 /* bytes that a pattern may have in a rules file */ };

struct phrase {
    char bytes[PHRASE_MAX + 1]; /* terminated */
    size_t length;
    bool full;
};

void phrase_add(struct phrase *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a part of a regular expression that matches just these bytes. */
void phrase_add_literal(struct phrase *, const char *literal, size_t length);
/* A given regular expression as a part of another: groups lose their names, so that several can stand together.
 * False: it refers to its own groups, and cannot be moved (nothing is added). */
bool phrase_add_regex(struct phrase *, const char *regex, bool caseless);

/* Does `text` end with / begin with that? */
bool phrase_ends(const char *text, const char *end);
bool phrase_begins(const char *text, const char *begin);

#endif
