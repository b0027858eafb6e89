/* Rules files: text to ruleset, and everything that can be wrong with the text, all of it at once.
 * Used by the agent and the tools; allocates, never prints. */
#ifndef WEIR_RULES_TEXT_RULE_TEXT_H
#define WEIR_RULES_TEXT_RULE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

enum { RULE_FILE_MAX = 4 << 20 }; /* bytes of one rules file */

struct rule_error {
    char *file;
    unsigned line, column; /* 1-based; 0 = about the whole file */
    char *path;            /* "$.flow[2].count"; "" = syntax */
    char *message;         /* "expected a number >= 0, got \"abc\"" (with a suggestion for a near miss) */
    bool change;           /* of a warning: no fault of the file, such as that a version changed what it means; to be
                              said once, by a check, and to fail none */
};
struct rule_errors {
    struct rule_error *list;
    size_t count;
    struct rule_error *warnings; /* what is valid, and may not be what was meant; found by rule_text_ruleset */
    size_t warnings_count;
};
void rule_errors_clear(struct rule_errors *);
/* "FILE:LINE:COL: error: PATH: MESSAGE", malloc'ed; and the same with "warning". */
char *rule_error_text(const struct rule_error *);
char *rule_warning_text(const struct rule_error *);

/* One parsed and valid rules file (or fragment). */
struct rule_document;
/* NULL with at least one error added when anything at all is wrong. `kind` is NULL, or one of "flow", "isolation",
 * "degrade", "system", "authority", "paramFlow", "gateway": a bare Sentinel array of that kind is then accepted. */
struct rule_document *rule_text_parse(const char *file, const char *text, size_t length, const char *kind,
                                      struct rule_errors *);
/* The bytes of the file (a regular one of up to RULE_FILE_MAX; never waits for a pipe's writer): free() them.  NULL and
 * an error otherwise. */
char *rule_text_read(const char *file, size_t *ret_length, struct rule_errors *);
/* The files of lists that a text seems to name, right or wrong: free() each.  They are part of the rules. */
void rule_text_lists(const char *file, const char *text, size_t length, void (*each)(void *context, char *path),
                     void *context);
/* Reads the file and parses it. */
struct rule_document *rule_text_load(const char *file, const char *kind, struct rule_errors *);
void rule_document_free(struct rule_document *);

const char *rule_document_app(const struct rule_document *);  /* "" when the file names none */
bool rule_document_app_by_name(const struct rule_document *); /* it names none, but its own name does */
size_t rule_document_rules(const struct rule_document *);     /* how many rules it holds */
/* How a process is recognised as the app's ("match"); members are NULL or -1 when not given.  All given ones must hold.
 */
struct rule_app_match {
    const char *exe, *unit, *cgroup, *comm;
    int64_t uid;
};
struct rule_app_match rule_document_match(const struct rule_document *);

/* Joins the fragments of one app, in the given order, into a ruleset (free() it).  Contradictions between fragments are
 * errors.  `app` names it where the documents do not. */
void *rule_text_ruleset(struct rule_document *const *documents, size_t count, const char *app, size_t *ret_size,
                        struct rule_errors *);
/* The same with the times of day (rule.when_first) of the year that follows `now_s`, Unix time, instead of now. */
void *rule_text_ruleset_at(struct rule_document *const *documents, size_t count, const char *app, uint64_t now_s,
                           size_t *ret_size, struct rule_errors *);

#endif
