/* `weir import`: another product's configuration to a rules file.  An importer reads a text and says, rule by rule,
 * what it becomes; this collects it, with the place that each came from, for the writer.  Not thread-safe; never
 * prints. */
#ifndef WEIR_TOOLS_IMPORT_IMPORT_H
#define WEIR_TOOLS_IMPORT_IMPORT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "rules/text/rule_text.h"

struct import;

enum { IMPORT_NO = 0, IMPORT_MAYBE = 1, IMPORT_SURELY = 2 };

struct importer {
    const char *name, *what; /* of --from; what it reads, for --help */
    /* Does a text look like that?  IMPORT_NO … IMPORT_SURELY.  NULL: only with --from. */
    int (*looks_like)(const char *text, size_t length, const char *path);
    /* Reads it; `path` is "<stdin>" for that.  What is wrong is said by import_error(), and it goes on as far as it
     * can. */
    void (*parse)(struct import *, const char *path, const char *text, size_t length);
    /* Once, when all files are read; NULL: nothing is left to do. */
    void (*finish)(struct import *);
};
extern const struct importer importers[]; /* ends with a row without name */

/* Each of these copies its texts, and takes `value` over: an object with the fields that the section's elements have in
 * rules files (docs/rules.md), in any order; NULL is no memory.  `line` is 1-based, 0: the whole file.  `comment` may
 * be NULL; it follows "from FILE:LINE". */

/* `section`: flow, isolation, degrade, paramFlow, gateway, authority, system. */
void import_rule(struct import *, const char *section, const char *file, unsigned line, const char *comment,
                 cJSON *value);
/* An element of "resources".  The same one again is left out. */
void import_resource(struct import *, const char *file, unsigned line, const char *comment, cJSON *value);
void import_block_action(struct import *, const char *file, unsigned line, const char *comment, cJSON *value);
/* A member of "options".  The same name with another value is an error. */
void import_option(struct import *, const char *file, unsigned line, const char *name, cJSON *value);
/* The app that the content names; -a goes before it.  Two different ones are an error. */
void import_app(struct import *, const char *file, unsigned line, const char *app);

/* The app that a file's kind suggests: it counts where nothing else names one. */
void import_app_hint(struct import *, const char *app);
/* The app that the name of a file, or of a registry's entry, tells of rules that name none themselves.  Another one
 * than that of other rules is an error, as with import_app(). */
void import_app_by_name(struct import *, const char *file, unsigned line, const char *app);

/* What cannot be carried over: `what` names it, the rest says why, and what to do instead. */
void import_left_out(struct import *, const char *file, unsigned line, const char *what, const char *why, ...)
    __attribute__((format(printf, 5, 6)));
/* What is carried over, and does not mean quite the same, or will not do anything as it is. */
void import_warning(struct import *, const char *file, unsigned line, const char *what, const char *why, ...)
    __attribute__((format(printf, 5, 6)));
/* What makes the file unreadable.  No file is written. */
void import_error(struct import *, const char *file, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Those of rules/text. */
struct rule_errors *import_errors(struct import *);

/* What the command line says. */
const char *import_kind(const struct import *); /* --kind, or NULL */
bool import_compat(const struct import *);      /* --compat: the result is for Sentinel's own behaviour */

/* What was said until now.  Is there an element of that section ("resources", "flow", …) with that text as `key`? */
bool import_has(const struct import *, const char *section, const char *key, const char *value);
/* Is there one with that id?  One that is the same but for its id? */
bool import_has_id(const struct import *, const char *section, const char *id);
bool import_has_same(const struct import *, const char *section, const cJSON *value);
/* A resource with that name? */
bool import_has_resource(const struct import *, const char *name);
/* All rules, in the order in which they were said. */
void import_each_rule(const struct import *,
                      void (*each)(void *context, const char *section, const char *file, unsigned line,
                                   const cJSON *value),
                      void *context);

/* A text for finish(), where files are understood together: copied. */
void import_keep(struct import *, const char *path, const char *text, size_t length);
void import_each_kept(const struct import *,
                      void (*each)(void *context, const char *path, const char *text, size_t length), void *context);

#endif
