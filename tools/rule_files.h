/* Rules files as they are named on a command line: files, and folders of them. */
#ifndef WEIR_TOOLS_RULE_FILES_H
#define WEIR_TOOLS_RULE_FILES_H

#include "rules/text/rule_text.h"

/* Calls `each` for the file, or for the rules files of the folder in the order of their names, as the agent reads them.
 * Returns how many there were, or -errno and an error reported: the folder cannot be read. */
int rule_files_each(const char *path, void (*each)(void *context, const char *file), void *context);

/* Every error, a line each, to stderr. */
void rule_files_report(const struct rule_errors *);

#endif
