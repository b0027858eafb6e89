/* Which word was probably meant by what a person typed? */
#ifndef WEIR_TOOLS_SUGGEST_H
#define WEIR_TOOLS_SUGGEST_H

#include <stddef.h>

/* Index of the candidate nearest to `word` by edits (swaps count one), or that begins with it; -1 if none is near
 * enough to be mistyped. */
int suggest_nearest(const char *word, const char *const *candidates, size_t count);

#endif
