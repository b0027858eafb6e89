/* State changes that the processes of an app wrote down: told in the log. */
#ifndef WEIR_AGENT_EVENTS_H
#define WEIR_AGENT_EVENTS_H

#include <stddef.h>

#include "rules/layout.h"

struct app;

void events_begin(struct app *); /* what happened before is not told again */
void events_tell(struct app *);
/* One event in words.  Pure.  Returns its length. */
size_t events_text(char *text, size_t size, const struct layout_event *, const char *resource);

#endif
