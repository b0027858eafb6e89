/* The rules of the service, for commands that are given none: the files and directories that "rules" in weir.json
 * names, or /etc/weir/rules.d. */
#ifndef WEIR_TOOLS_INSTALLED_RULES_H
#define WEIR_TOOLS_INSTALLED_RULES_H

/* Says on stderr where they are, and calls `each` for every rules file there.  Returns how many there were; -errno or 0
 * and an error reported: there are none, or they cannot be read. */
int installed_rules_each(void (*each)(void *context, const char *file), void *context);

#endif
