/* How far a long task is: a line on a terminal at stderr, from two seconds on, gone when it ends.  A pipe or a file
 * gets nothing. */
#ifndef WEIR_TOOLS_PROGRESS_H
#define WEIR_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_TEXT_MAX = 512 /* bytes with the NUL */ };

struct progress {
    const char *what; /* "replaying trace.csv" */
    const char *unit; /* "rows": of what is done, to be shown where the whole is not known */
    bool on;          /* there is a terminal */
    int64_t begun_ms, drawn_ms;
};

/* Begins.  `quiet`: nothing is to be shown, as the command itself prints meanwhile.  The texts have to stay. */
void progress_begin(struct progress *, const char *what, const char *unit, bool quiet);
/* So much is done, of `total` (0: unknown).  Cheap enough for every file, not for every row. */
void progress_step(struct progress *, uint64_t done, uint64_t total);
void progress_end(struct progress *);

/* Is the line to be drawn at `now_ms`: after two seconds, and not more than five times a second?  Pure. */
bool progress_is_due(const struct progress *, int64_t now_ms);
/* The line for a terminal of `width` columns.  Pure.  Nothing (an empty text) where not even the task's name fits. */
void progress_text(const struct progress *, int64_t now_ms, uint64_t done, uint64_t total, size_t width,
                   char ret_text[static PROGRESS_TEXT_MAX]);

#endif
