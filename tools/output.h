/* What a person reads from the `weir` command: messages, streams that may be gone or full, the terminal's abilities. */
#ifndef WEIR_TOOLS_OUTPUT_H
#define WEIR_TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

struct cJSON;
struct table;

/* From main(): a reader that leaves is noticed by output_finish, it does not kill.  output_restore_signals undoes that,
 * for a program that takes our place. */
void output_start(void);
void output_restore_signals(void);

/* "weir run: …" on stderr, one line; folded on a terminal.  output_command() sets the name after "weir"; before it,
 * just "weir: …". */
void output_command(const char *name);
void output_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void output_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line of text on `stream`, without what would act on a terminal (control characters, turned direction); on a
 * terminal folded at blanks, with an indent (text_indent). */
void output_text(FILE *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line on the terminal at stderr that the next message, or the next call, replaces; NULL or "": just removes it. */
void output_transient(const char *text);
bool output_transient_is_possible(void); /* stderr is a terminal with a cursor */

/* The table on stdout, as wide as a terminal there has room, and which columns it had none for; the text `otherwise`
 * if it has no rows. */
void output_table(const struct table *, const char *otherwise);
/* Prints the value as JSON and a line's end; indented where a person reads (a terminal). */
void output_json(FILE *, const struct cJSON *);

/* Flushes stdout.  Returns `status`, or CMD_FAILED where something was not written: with a message (full disk, closed
 * descriptor), or silently if the reader of a pipe has left. */
int output_finish(int status);

bool output_colour(FILE *); /* a terminal that knows colours, and NO_COLOR is not set */
int output_width(FILE *);   /* columns of the terminal; 0 = not a terminal: as wide as it takes, nothing is folded */

#endif
