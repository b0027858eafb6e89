/* JSON, written as it comes: no tree is built, one buffer grows up to a limit or is the caller's.
 *
 * A member has a name, an element of an array has NULL.  What is wrong with a text is repaired, as names come from
 * clients' requests and other people's files: a byte that is no UTF-8 becomes "?".  Numbers are written as cJSON writes
 * them.  Once there is no memory or no room, nothing more is written and json_finish says so: callers need not check in
 * between.  Not for several threads at once. */
#ifndef WEIR_AGENT_CORE_JSON_WRITER_H
#define WEIR_AGENT_CORE_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_WRITER_DEPTH = 32 };

struct json_writer {
    char *text;
    size_t length, room, limit;
    bool own;      /* `text` is malloc'ed */
    bool failed;   /* no memory, too long, or nested too deeply */
    uint32_t some; /* bit per depth: it has a member already, so that the next one needs a comma */
    unsigned depth;
};

/* Grows by itself up to `limit` bytes (its NUL included). */
struct json_writer json_writer_growing(size_t limit);
/* In a buffer of the caller's. */
struct json_writer json_writer_in(char *buffer, size_t size);
/* The text with its NUL, or NULL if it failed.  A growing one is the caller's to free; until then json_writer_clear. */
char *json_finish(struct json_writer *, size_t *ret_length);
void json_writer_clear(struct json_writer *);

void json_open(struct json_writer *, const char *name); /* an object */
void json_close(struct json_writer *);
void json_open_list(struct json_writer *, const char *name);
void json_close_list(struct json_writer *);

void json_text(struct json_writer *, const char *name, const char *value); /* up to its NUL */
void json_bytes(struct json_writer *, const char *name, const void *bytes, size_t length);
void json_number(struct json_writer *, const char *name, double value); /* null where it is no finite number */
void json_integer(struct json_writer *, const char *name, int64_t value);
void json_count(struct json_writer *, const char *name, uint64_t value);
void json_bool(struct json_writer *, const char *name, bool value);
void json_null(struct json_writer *, const char *name);
/* A value that is JSON already. */
void json_raw(struct json_writer *, const char *name, const char *value, size_t length);
/* Behind the value that is complete: a newline. */
void json_newline(struct json_writer *);

#endif
