/* Resource patterns: prefix, glob, regular expressions.  The only file of the engine that knows PCRE2.
 *
 * Compiled when rules are adopted, matched once per resource and rule set, never per request.  PCRE2 gets its memory
 * from the engine's own arena (never malloc) and is held to match limits, so that no pattern can take the thread away.
 * */
#ifndef WEIR_RULES_ENGINE_PATTERN_H
#define WEIR_RULES_ENGINE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pattern_arena { /* what patterns are compiled into; emptied as a whole */
    char *memory;
    size_t size, used;
    /* A further block of at least so many bytes, when this one is used up; NULL: there is none.  May be NULL. */
    void *(*more)(void *context, size_t at_least, size_t *ret_size);
    void *context;
};

struct pattern; /* compiled regular expression */

/* NULL: not a regular expression, or no room. Whole names match, as in Sentinel. */
const struct pattern *pattern_compile(struct pattern_arena *, const char *regex);
enum { PATTERN_SCRATCH = 96 << 10 }; /* bytes one match may need */
enum { PATTERN_TEXT_MAX = 2048 }; /* bytes that are looked at; the rest of a longer text is as if it were not there */
enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_GAVE_UP };
/* Does the whole of it match?  What would take more than some milliseconds is given up. */
enum pattern_result pattern_try(const struct pattern *, void *scratch, const char *text, size_t length);
/* The same, given up after a tenth of that: for those that have many to try. */
enum pattern_result pattern_try_briefly(const struct pattern *, void *scratch, const char *text, size_t length);
/* '*' any run of characters but '/', '**' any run, '?' one character but '/', "[a-z]" one of, '\' the next as it is. */
bool pattern_glob(const char *glob, const char *text, size_t length);

#endif
