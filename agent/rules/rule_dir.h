/* The rules files: found, watched, read, parsed.  Each keeps its last good version until it has a new one or is gone.
 */
#ifndef WEIR_AGENT_RULE_DIR_H
#define WEIR_AGENT_RULE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/core/loop.h"
#include "agent/rules/rule_lists.h"
#include "agent/rules/watch.h"
#include "rules/text/rule_text.h"

struct rule_file {
    char *path;
    size_t root;                /* index of the path given that it was found under: the order of fragments */
    bool named;                 /* it is that path itself: that it is missing is an error, not the end of its rules */
    struct rule_document *good; /* the version in force, or NULL */
    uint64_t serial;            /* changes with `good` */
    struct rule_errors errors;  /* of the text as it is now; empty = it is `good` */
    time_t loaded;              /* when `good` was read */
    char *claimed_app;          /* of a text with errors: the app that it seems to name, or NULL */
    /* How the file was when it was last read. */
    struct {
        dev_t device;
        ino_t inode;
        off_t size;
        struct timespec modified, changed;
        uid_t owner;
    } seen;
    struct rule_lists lists;
    uint64_t text_hash;     /* 0 = not read yet */
    uint64_t reported_hash; /* the user's: of the text whose errors were reported */
    uint64_t text_since_ns; /* since when the text is as it is */
    uint64_t missing_ns;    /* since when the file is missing; 0 = it is there */
    uint64_t read_ns;       /* when this text was first read */
    bool confirmed;         /* and read again, after its time stamp was of the past */
    bool found;             /* in the scan going on */
    bool settled;           /* the errors are final */
    bool gone;              /* a named file that is missing, or the folder of one is: the errors say so */
};

struct rule_dir {
    struct watch watch;
    struct loop_timer timer;
    const char *const *paths;
    size_t paths_count;
    const char *default_app;  /* of files that name none; or NULL.  Set it after rule_dir_open */
    struct rule_file **files; /* in the order of fragments */
    size_t count;
    uint64_t serial;
    char **missing; /* paths given where nothing is, for status */
    size_t missing_count;
    bool patient; /* errors of a text that may still be being written are not reported yet */
    void (*changed)(struct rule_dir *);
};

/* Reads all files once, errors included as they are, and watches from then on: `changed` is called after each change
 * of what is in force or of what is wrong.  `paths` must stay valid.  0 or -errno. */
int rule_dir_open(struct rule_dir *, struct loop *, const char *const *paths, size_t count,
                  void (*changed)(struct rule_dir *));
void rule_dir_close(struct rule_dir *, struct loop *);
void rule_dir_reload(struct rule_dir *); /* reads every file again, whatever its time stamps say */

/* To which app a file belongs: the one that it names (or seems to, if it has errors), else the default; or NULL. */
const char *rule_dir_app(const struct rule_dir *, const struct rule_file *);

#define RULE_FILE_NAMES_NO_APP                                                                                         \
    "expected \"app\": the name of the app that these rules are for; an array may say it in the file's name "          \
    "(APP-flow-rules.json)"

/* The value of "app" in a text that does not parse, malloc'ed, or NULL.  Pure. */
char *rule_dir_claimed_app(const char *text, size_t length);

#endif
