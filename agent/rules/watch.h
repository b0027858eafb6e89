/* inotify over whatever must change for a rules file to change: its directory, each link on the way to it, the file
 * itself, and for what is missing the directory that it would appear in. */
#ifndef WEIR_AGENT_WATCH_H
#define WEIR_AGENT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/loop.h"

struct watch_entry {
    int descriptor;  /* inotify's */
    unsigned round;  /* of the last watch_begin … watch_end in which it was asked for */
    bool everything; /* any name that could be a rules file counts; else only `names` */
    char **names;
    size_t names_count;
};

struct watch {
    struct loop_source source;
    struct watch_entry *entries;
    size_t count;
    unsigned round;
    bool added; /* a new one since watch_begin: look again, something may have changed just before */
    void (*event)(struct watch *, bool complete); /* !complete: a file is being written to and not closed yet */
};

int watch_open(struct watch *, struct loop *, void (*event)(struct watch *, bool complete)); /* 0 or -errno */
void watch_close(struct watch *, struct loop *);

/* Between begin and end, names everything that is to be watched; what is not named any more is dropped by end. */
void watch_begin(struct watch *);
void watch_file(struct watch *, const char *path);      /* with the links on the way */
void watch_directory(struct watch *, const char *path); /* for *.json in it, with the links on the way */
bool watch_end(struct watch *);                         /* true: something new is watched, scan once more */

/* May this be the name of a rules file: "*.json", not hidden? Pure. */
bool watch_is_rules_name(const char *name);

#endif
