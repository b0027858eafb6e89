/* Lines for people: where they go is the caller's (stderr, the journal, the terminal of `weir run`). */
#ifndef WEIR_AGENT_CORE_LOG_H
#define WEIR_AGENT_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { /* as syslog */
                 LOG_LEVEL_ERROR = 3,
                 LOG_LEVEL_WARNING = 4,
                 LOG_LEVEL_NOTICE = 5,
                 LOG_LEVEL_INFO = 6,
                 LOG_LEVEL_DEBUG = 7
};

struct log_field { /* as the journal has them: NAME=value */
    const char *name, *value;
};

struct log_record {
    int level;
    const char *line;       /* without a newline */
    const char *message_id; /* 32 hexadecimal digits, the same for all messages of its kind */
    const struct log_field *fields;
    size_t fields_count;
};

struct log {
    void (*write)(void *context, int level, const char *line); /* without a newline; NULL: lines are dropped */
    void *context;
    void (*record)(void *context, const struct log_record *); /* NULL: level and line are given to `write` */
};

/* A line of up to 1023 bytes; what is longer is cut.  Of the loop's thread only, as `write` is the caller's. */
void log_say(const struct log *, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line with its fields. */
void log_record_say(const struct log *, const struct log_record *);

/* Is it time to repeat something that was last said at `*last_ns` (CLOCK_MONOTONIC, 0 = never)?  Then notes the time.
 */
bool log_is_due(uint64_t *last_ns, uint64_t now_ns, uint64_t pause_ns);

#endif
