/* Names of apps, which are names of files, too: 1 … 63 of A-Z a-z 0-9 . _ -, not starting with a dot. */
#ifndef WEIR_TOOLS_APP_NAME_H
#define WEIR_TOOLS_APP_NAME_H

#include <stdbool.h>
#include <stddef.h>

bool app_name_is_valid(const char *app);
/* Makes an app's name out of a program's or a unit's: what may not stand in one becomes '-'. */
void app_name_from(const char *text, char *ret_app, size_t size);

#endif
