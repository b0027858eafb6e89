/* Events of the bus in words, one line each: the only place that words them. */
#ifndef WEIR_AGENT_METRICS_EVENT_TEXT_H
#define WEIR_AGENT_METRICS_EVENT_TEXT_H

#include <stddef.h>

#include "agent/core/bus.h"

enum { EVENT_TEXT_MAX = 1024 }; /* bytes of a line, with its NUL */

/* The line, without the app's name, cut to `size`; 0: this event has no line.  Pure. */
size_t event_text(const struct bus_event *, char *text, size_t size);
/* A state that a process wrote down, without app and process.  Pure.  Returns its length. */
size_t event_text_state(const struct layout_event *, const char *resource, char *text, size_t size);
/* Bytes of the character there that may stand in a line of a log or of a terminal as it is; 0: none, its first byte has
 * to be written otherwise (control characters, C1, what turns direction, breaks lines or hides text, what is no UTF-8).
 * Pure. */
size_t event_text_printable(const char *);
/* Names come from clients and processes: bytes that may not stand there become "\xNN".  Cut to `size`, at a character's
 * end.  Pure.  Returns its length. */
size_t event_text_plain(const char *from, char *text, size_t size);

#endif
