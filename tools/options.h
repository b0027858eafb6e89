/* Options of a subcommand as a table: from it come the parsing, the suggestions and the text of --help. */
#ifndef WEIR_TOOLS_OPTIONS_H
#define WEIR_TOOLS_OPTIONS_H

#include <stdbool.h>

struct option_row {
    int key;              /* what options_next() returns: the short option's letter, or any number > 255 */
    const char *name;     /* long name without dashes, or NULL */
    const char *argument; /* name of its argument in --help, or NULL if it takes none */
    const char *help;
};
struct option_set {
    const char *usage;             /* what follows "Usage: " */
    const char *about;             /* what the command does; a line or more */
    const struct option_row *rows; /* ends with a row of zeros; --help is added to them */
    const char *examples;          /* lines */
    bool stop_at_word;             /* what follows the first word that is no option belongs to another program */
};

enum { OPTIONS_END = -1, OPTIONS_HELP = -2, OPTIONS_WRONG = -3 };

/* The key of the next option, its argument in `optarg`; OPTIONS_END when only words are left, from argv[optind] on.
 * OPTIONS_HELP: the help has been printed.  OPTIONS_WRONG: the message has been printed.  Both end the command
 * (see OPTIONS_STATUS). */
int options_next(const struct option_set *, int argc, char **argv);
#define OPTIONS_STATUS(key) ((key) == OPTIONS_HELP ? CMD_DONE : CMD_USAGE)

#endif
