#include "tools/rule_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/rules/watch.h"
#include "tools/output.h"

static int is_rules_file(const struct dirent *entry) {
    return watch_is_rules_name(entry->d_name);
}

int rule_files_each(const char *path, void (*each)(void *context, const char *file), void *context) {
    struct stat status;
    struct dirent **entries;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        each(context, path);
        return 1;
    }
    int count = scandir(path, &entries, is_rules_file, alphasort);
    if (count < 0) {
        int error = -errno;
        output_error("%s: cannot be read: %s", path, strerror(-error));
        return error;
    }
    bool slash = path[strlen(path) - 1] == '/';
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s%s%s", path, slash ? "" : "/", entries[i]->d_name) < 0)
            file = NULL;
        if (file)
            each(context, file);
        free(file);
        free(entries[i]);
    }
    free(entries);
    return count;
}

void rule_files_report(const struct rule_errors *errors) {
    for (size_t i = 0; i < errors->count; i++) {
        char *text = rule_error_text(&errors->list[i]);
        output_text(stderr, "%s", text ? text : errors->list[i].message);
        free(text);
    }
}
