/* systemd units as files: what a service sets that concerns a preload, and the drop-in that adds one. */
#ifndef WEIR_TOOLS_UNIT_FILE_H
#define WEIR_TOOLS_UNIT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "tools/call_filter.h"

enum { UNIT_NAME_MAX = 256 }; /* bytes with the NUL */
#define UNIT_DROP_IN "50-weir.conf"
#define UNIT_DROP_IN_FOLDER "/etc/systemd/system"

/* Makes a service's full name of what was typed (".service" may be left out).  NULL, or what is wrong with it. */
const char *unit_name(const char *typed, char ret_name[static UNIT_NAME_MAX]);

/* What is allowed without our drop-in; with the one that is there; with one that allows what the library needs. */
enum unit_filter { UNIT_WITHOUT, UNIT_NOW, UNIT_EXTENDED, UNIT_FILTERS };

struct unit_facts {
    const char *root;
    char name[UNIT_NAME_MAX]; /* its own, where the one asked for is an alias */
    char path[PATH_MAX];      /* of the unit file */
    char program[PATH_MAX];   /* of its first ExecStart=, or "" */
    char *preload;            /* LD_PRELOAD that it sets already, or NULL */
    bool preload_overridden;  /* an EnvironmentFile= sets LD_PRELOAD, or UnsetEnvironment= removes it */
    bool other_root;          /* RootDirectory=, RootImage=: sees neither /run/weir nor the library */
    bool run_hidden;          /* /run or /run/weir is covered by something else */
    bool home_hidden, tmp_hidden;
    bool families_listed; /* RestrictAddressFamilies= is a list of what is allowed … */
    bool families_unix;   /* … and AF_UNIX is in it */
    bool families_denied; /* AF_UNIX is denied */
    struct call_filter filters[UNIT_FILTERS];
};
/* Looks for the unit below `root` ("" = this host) where systemd looks, and reads it with its drop-ins (not ours).
 * 0, -ENOENT no such unit, -ERFKILL masked, or another -errno. */
int unit_read(const char *root, const char *name, struct unit_facts *ret_facts);
void unit_clear(struct unit_facts *);
/* What the drop-in has to add to SystemCallFilter=, if it can.  Never what the unit denies by name or group, and
 * nothing where a later file has the last word: false if something is missing all the same. */
bool unit_calls_to_add(const struct unit_facts *, call_set *ret_calls);

/* The text of the drop-in; malloc'ed. */
char *unit_drop_in(const struct unit_facts *, const char *app, const char *library);

/* The next word of a unit file's value with its quotes and escapes taken away, "%%" as "%"; false at the end. */
bool unit_word(const char **at, char *ret_word, size_t size);

#endif
