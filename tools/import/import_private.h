/* What was collected, for the writer and the command. */
#ifndef WEIR_TOOLS_IMPORT_IMPORT_PRIVATE_H
#define WEIR_TOOLS_IMPORT_IMPORT_PRIVATE_H

#include "rules/layout.h"
#include "tools/import/hash_set.h"
#include "tools/import/import.h"

enum import_section {
    SECTION_RESOURCES,
    SECTION_FLOW,
    SECTION_ISOLATION,
    SECTION_DEGRADE,
    SECTION_PARAM_FLOW,
    SECTION_GATEWAY,
    SECTION_AUTHORITY,
    SECTION_SYSTEM,
    SECTION_BLOCK_ACTIONS,
    SECTION_OPTIONS,
    IMPORT_SECTIONS
};
extern const char *const import_sections[IMPORT_SECTIONS];

struct import_entry {
    enum import_section section;
    char *file, *comment; /* comment: NULL = none */
    unsigned line;
    cJSON *value;                   /* of an option: an object with that one member */
    unsigned first_line, last_line; /* in the text that was written last */
    bool dropped;                   /* import_sweep() takes it out */
};

enum import_note_kind { NOTE_LEFT_OUT, NOTE_WARNING };
struct import_note {
    enum import_note_kind kind;
    char *file, *what, *why;
    unsigned line;
};

struct import_kept {
    char *path, *text;
    size_t length;
};

struct import {
    struct import_entry *entries;
    size_t entries_count, entries_capacity;
    size_t *written; /* entries in the order of the text that was written last */
    size_t written_count;
    struct hash_set contents, ids,
        resources; /* of entries: all but the id, ids, names of resources; with the section */
    struct import_note *notes;
    size_t notes_count, notes_capacity;
    struct import_kept *kept;
    size_t kept_count, kept_capacity;
    struct rule_errors errors;
    const char *kind;
    bool compat, failed;                                          /* failed: no memory */
    char app[LAYOUT_APP_NAME_MAX], app_hint[LAYOUT_APP_NAME_MAX]; /* "" = none */
    char named_app[LAYOUT_APP_NAME_MAX];                          /* by the name of a file */
    bool hints_differ, names_differ;
    char *app_file, *named_file;
    unsigned app_line, named_line;
    bool app_given; /* by -a */
};

void import_clear(struct import *);
size_t import_rules(const struct import *); /* how many: neither resources, nor options, nor block actions */
size_t import_notes(const struct import *, enum import_note_kind);
void import_sweep(struct import *);      /* what is marked as dropped */
void import_settle_app(struct import *); /* when all is read: the app, of all that was said of it */

/* The rules file, commented; free() it.  Notes each entry's lines.  NULL: no memory. */
char *import_write(struct import *, size_t *ret_length);
/* The same, made valid: what `weir check` would refuse becomes a thing left out.  Its warnings become warnings.  NULL
 * and an error if it cannot be made valid. */
char *import_write_valid(struct import *, size_t *ret_length);

#endif
