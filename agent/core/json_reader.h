/* One JSON object read into a struct by a table of its members: types, ranges, words, suggestions, duplicates, what is
 * missing.  Requests to the agent and its own configuration are read so.  (Rules have a reader of their own in
 * rules/text: it builds a ruleset out of nested objects and knows two spellings of the same rule.)
 *
 * Every member is looked at, so that all errors are found in one go, each with its place in the text. */
#ifndef WEIR_AGENT_CORE_JSON_READER_H
#define WEIR_AGENT_CORE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/text/rule_text.h"

enum json_kind {
    JSON_TEXT,    /* char[size] */
    JSON_COPY,    /* char *, malloc'ed; what was there is freed */
    JSON_LIST,    /* texts: `list` takes them */
    JSON_INTEGER, /* int64_t, min … max */
    JSON_NUMBER,  /* double, min … max */
    JSON_BOOLEAN, /* bool */
    JSON_WORD,    /* int: the number of one of `words` */
};
enum { JSON_REQUIRED = 1, JSON_NULLABLE = 2 /* JSON_COPY becomes NULL; the others stay as they are */ };

struct json_word {
    const char *word; /* NULL: the last row */
    int number;
};

struct json_list {        /* how a list of texts is taken; `clear` is called once before */
    const char *expected; /* for messages about one of them */
    void (*clear)(void *record);
    bool (*add)(void *record, const char *text); /* false: no memory */
};

struct json_field {
    const char *name; /* NULL: the last row */
    enum json_kind kind;
    unsigned flags;
    size_t at, size;                /* where in the record; size: of JSON_TEXT, its NUL included */
    double min, max;                /* of numbers; both 0: any */
    const char *expected;           /* for messages: "an absolute path"; NULL: made of the above */
    bool (*is_valid)(const char *); /* of a text, or of each text of a list; NULL: any that is not empty */
    const struct json_word *words;  /* of JSON_WORD */
    const struct json_list *list;   /* of JSON_LIST */
};

struct json_input {
    const char *name; /* of the file, for errors */
    char *text;       /* comments in it are blanked */
    size_t length;
    bool comments; /* it may have some */
    bool lenient;  /* members that the table does not have are ignored, as a newer peer may send them */
};

/* False with errors added; the record then has what was right. */
bool json_read(const struct json_input *, const struct json_field *fields, void *record, struct rule_errors *);

#endif
