/* Text for a terminal: made harmless, measured in columns, cut and folded.  UTF-8; the width of a character is
 * wcwidth()'s, so LC_CTYPE counts.  Pure; from any thread. */
#ifndef WEIR_TOOLS_TEXT_H
#define WEIR_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Text made fit for a terminal in place: control characters and broken UTF-8 become '?'.  Returns the columns it takes.
 * The functions below expect text that is clean. */
size_t text_clean(char *text);
/* Bytes of the character at `text` if it would act on a terminal (a control, or one that turns or hides text), and its
 * code; 0: it would not. */
size_t text_harmful(const char *text, uint32_t *ret_code);
size_t text_columns(const char *text);

/* Bytes at the beginning of `text` that fit into `width` columns, in whole characters; and the columns they take. */
size_t text_within(const char *text, size_t width, size_t *ret_columns);
/* The same at the end of `text`. */
size_t text_within_end(const char *text, size_t width, size_t *ret_columns);

/* The next line of `text`, which is to be folded to `width` columns: its length in bytes, without the blank at which it
 * ends.  `ret_next` is where the following line begins.  Lines end at blanks, and between backquotes only where there
 * is no other place.  A word that is longer than a line stays whole, so that it can be copied; with `split` it is
 * divided (behind a '/', ':', '-' or the like in its second half, if there is one). */
size_t text_line(const char *text, size_t width, bool split, size_t *ret_next);

/* Prints `text` and a line's end, folded to `width` columns (0 = not at all), all lines but the first indented by
 * `indent`; the first is expected to begin in column `at`. */
void text_fold(FILE *, const char *text, size_t width, size_t at, size_t indent);
/* The indent that suits a text: that of its second column ("origin   10.0.0.1"), that of its first line, or 4. */
size_t text_indent(const char *text);

#endif
