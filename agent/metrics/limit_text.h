/* What a limit is, and what was counted against it, in words: for the journal, events and `weir why`.  One table. */
#ifndef WEIR_AGENT_METRICS_LIMIT_TEXT_H
#define WEIR_AGENT_METRICS_LIMIT_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* "limit 20 a second", "circuit open: exception ratio 0.4".  `limit_of`: enum limit_of, any number (what is none is
 * worded as a plain limit).  Pure.  Returns its length; never 0. */
size_t limit_text(uint8_t limit_of, double limit, uint64_t interval_ns, char *text, size_t size);
/* The same of several rejections, of which the last one's limit is known: those in overload are each caller's own. */
size_t limit_last_text(uint8_t limit_of, double limit, uint64_t interval_ns, char *text, size_t size);
/* What was counted then, "20 had passed", "CPU 93.1 %"; 0 and "": nothing is known of it. */
size_t limit_counted_text(uint8_t limit_of, double counted, char *text, size_t size);
/* The word for what a limit is about, in JSON: "rate", "cpu". */
const char *limit_of_word(uint8_t limit_of);
/* The word for a reason in JSON, fields and logs ("flow"), whatever the number. */
const char *limit_reason(uint8_t reason);

#endif
