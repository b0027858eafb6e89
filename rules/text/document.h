/* A text as a tree of JSON values that know where they stand: what is read before any meaning is looked for. */
#ifndef WEIR_RULES_TEXT_DOCUMENT_H
#define WEIR_RULES_TEXT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/text/reader.h"

/* JSON with comments: a tree whose nodes' places document_place() tells.  NULL and one error: its grammar is wrong, or
 * there is no memory.  `length` may be anything; free with rule_document_free(). */
struct rule_document *document_open(const char *file, const char *text, size_t length, struct rule_errors *);

/* The same in two steps.  `kind` is kept, not copied.  document_parse(): false with one error, or with none for want of
 * memory. */
struct rule_document *document_new(const char *file, const char *text, size_t length, const char *kind);
bool document_parse(struct rule_document *, struct rule_errors *);

/* An error about the whole file. */
void document_error(struct rule_errors *, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
