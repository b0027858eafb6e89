/* Names that a person types: is it one, and which one was probably meant? */
#ifndef WEIR_TOOLS_NAMES_H
#define WEIR_TOOLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Index of the name nearest to `word` by edits (swaps count one), or -1 if none is near enough to be a slip. */
int names_nearest(const char *word, const char *const *names, size_t count);

/* An app's name is also a file's name: 1 … 63 of A-Z a-z 0-9 . _ -, not starting with a dot. */
bool names_app_valid(const char *app);
/* Makes an app's name out of a program's or a unit's: what may not stand in one becomes '-'. */
void names_app_from(const char *text, char *ret_app, size_t size);

#endif
