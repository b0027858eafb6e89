/* Between the parts of Sentinel's importer. */
#ifndef WEIR_TOOLS_IMPORT_SENTINEL_PRIVATE_H
#define WEIR_TOOLS_IMPORT_SENTINEL_PRIVATE_H

#include "rules/layout.h"
#include "rules/text/document.h"
#include "tools/import/sentinel.h"

struct sentinel { /* where in a text one is */
    struct import *import;
    const struct rule_document *document;
    const char *path;
    unsigned line;                 /* of the text within a text that this is; 0: it is the file itself */
    const char *kind;              /* that a name around it tells, or NULL */
    char app[LAYOUT_APP_NAME_MAX]; /* the same, of the app; "": none */
    unsigned depth;                /* of texts within texts */
};
/* The line of the file in which a value stands. */
unsigned sentinel_line(const struct sentinel *, const cJSON *node);

/* An element of an array of that kind (rules/text/bare.h), in the form of Sentinel for Java. */
void sentinel_rule(const struct sentinel *, const char *kind, const cJSON *element);
/* Fields that only weir has stand in this member, and go to the result as they are. */
#define SENTINEL_OWN "weir"
/* The app that the element is for: its own, or that of the name around it. */
void sentinel_note_app(const struct sentinel *, const cJSON *element);

/* sentinel_other.c: is it a rule in the form of another language, or of a cloud's API?  Reads it; false: its kind
 * is not clear from it. */
bool sentinel_is_other(const cJSON *element);
bool sentinel_other(const struct sentinel *, const cJSON *element);

/* The member's value; NULL: absent or null. */
const cJSON *sentinel_get(const cJSON *object, const char *key);

enum sentinel_name {
    SENTINEL_METHOD_PATH, /* GET:/order, GET:/order/{id} */
    SENTINEL_PATH,        /* /order */
    SENTINEL_ALL,         /* * */
    SENTINEL_OUTBOUND,    /* GET:https://host/path, httpclient:… */
    SENTINEL_JAVA,        /* com.foo.Bar:hello(int) */
    SENTINEL_INTERNAL,    /* __total_inbound_traffic__ */
    SENTINEL_OTHER,
};
enum sentinel_name sentinel_name_kind(const char *name);

#endif
