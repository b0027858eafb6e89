/* Reading one JSON object by a table of its fields: types, ranges, words, suggestions, duplicates, what is missing.
 * Every reader goes on after an error, so that all of them are found in one go. */
#ifndef WEIR_RULES_TEXT_READER_H
#define WEIR_RULES_TEXT_READER_H

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/text/json_position.h"
#include "rules/text/rule_text.h"
#include "rules/ruleset.h"

enum { RULE_ERRORS_MAX = 1000 }; /* of one file: a file that is wrong all over need not fill the memory */

struct rule_document {
    char *file;
    char *text; /* comments blanked */
    size_t length;
    uint32_t *lines; /* offsets of line starts */
    size_t lines_count;
    struct json_place *places; /* cJSON's valueint of a node is its index here */
    size_t places_count;
    cJSON *root;
    const char *kind; /* of a bare array (rules/text/bare.h), or what was asked for; else NULL */
    bool bare;        /* it is one */
    char *app;        /* "" = none */
    bool app_by_name; /* the file's name says it */
    char *exe, *unit, *cgroup, *comm;
    int64_t uid;
    size_t rules; /* how many it holds */
};

struct path { /* a JSON path as a chain of stack frames */
    const struct path *up;
    const char *key; /* NULL: an index */
    int index;
};

struct join;
struct reader {
    const struct rule_document *document;
    struct rule_errors *errors;
    size_t errors_of_document;
    struct ruleset_builder *builder;
    struct join *join;
    bool compat;         /* options.compat is "sentinel" */
    uint64_t lists_hash; /* of all that was read from lists in files */
    bool whole;          /* all files of an app are read together */
    uint64_t now_s;      /* Unix time, for times of day */
};

struct place_text { /* where something stands, for messages about two places */
    const char *file;
    unsigned line, column;
};
struct place_text document_place(const struct rule_document *, const cJSON *node);
unsigned document_line(const struct rule_document *, size_t offset);

/* Adds an error about a value, about the key of a value, or about the whole file. */
void reader_error(struct reader *, const struct path *, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void reader_error_at_key(struct reader *, const struct path *, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "expected WHAT, got VALUE" */
void reader_expected(struct reader *, const struct path *, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A warning: it is valid, and may not be what was meant.  Reported once, when all files of an app are read together. */
void reader_warn(struct reader *, const struct path *, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* An error if that feature is in the table of what is not enforced yet.  True if it is supported. */
bool reader_supported(struct reader *, const struct path *, const cJSON *node, const char *feature);

struct word {
    const char *word; /* a word that repeats an earlier number is another spelling of it, not offered in messages */
    int number;
};

enum field_type {
    FIELD_NUMBER,  /* double */
    FIELD_INTEGER, /* 1, 2, 4 bytes */
    FIELD_TIME,    /* a number of `unit` nanoseconds, stored as uint64_t ns */
    FIELD_BOOLEAN, /* uint8_t */
    FIELD_CODE,    /* a word or its number, uint8_t */
    FIELD_WORD,    /* a word, uint8_t */
    FIELD_TEXT,    /* ruleset_string; min and max are bytes */
    FIELD_CUSTOM,  /* `custom` does it all */
};
enum { FIELD_REQUIRED = 1, FIELD_NULLABLE = 2 /* null is the same as absent */ };

struct field {
    const char *name;
    enum field_type type;
    int flags;
    size_t at, size; /* where in the record; size 0: checked, not stored */
    double min, max, unit;
    const struct word *words;
    void (*custom)(struct reader *, const struct path *, const cJSON *, void *record);
};

struct field_table {
    const char *what;              /* "a flow rule", for messages */
    const struct field *fields[2]; /* each ends with a row without name; [1] may be NULL */
};

/* Reads an object into `record`.  False if it is none; errors in fields do not make it false. */
bool reader_object(struct reader *, const struct path *, const cJSON *node, const struct field_table *, void *record);
/* One value; for custom fields. */
void reader_field(struct reader *, const struct path *, const cJSON *node, const struct field *, void *record);
/* The word's number, or -1 and an error. `code`: numbers are welcome, too. */
int reader_word(struct reader *, const struct path *, const cJSON *node, const struct word *words, bool code);
/* Text of min … max bytes without control characters, or NULL and an error. */
const char *reader_text(struct reader *, const struct path *, const cJSON *node, size_t min, size_t max);
ruleset_string reader_add(struct reader *, const char *text);
ruleset_string reader_add_lower(struct reader *, const char *text); /* a header's name: at most 100 bytes */
bool reader_is_set(const cJSON *object, const char *key);           /* present and not null */
bool reader_is_whole(const cJSON *node, double min, double max);

/* Edits (insert, delete, replace, swap neighbours) between two words, letters of either case alike; many where a word
 * is too long to be a typo. */
size_t text_distance(const char *a, const char *b);
/* The candidate nearest to `word` by edits (swaps count one, case counts nothing), at most one for every three letters
 * of four or more, else NULL.  Among equally near ones that which lacks or swaps letters, not one that has others. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* errors.c */
void rule_errors_add(struct rule_errors *, const char *file, unsigned line, unsigned column, const char *path,
                     const char *format, va_list arguments);
void rule_warnings_add(struct rule_errors *, const char *file, unsigned line, unsigned column, const char *path,
                       const char *format, va_list arguments);
/* By line and column, from the `first` on: those of one file. */
void rule_errors_sort(struct rule_errors *, size_t first);

/* foreign_keys.c: what a key is that other products' files have, or NULL.  `whole`: a key of the whole file. */
const char *foreign_key_message(const char *key, bool whole);

/* not_yet.c: why that feature is refused in this version, or NULL. */
const char *not_yet_message(const char *feature);

#endif
