#include "tools/rule_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/rules/watch.h"
#include "rules/text/document.h"
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
    int files = 0;
    bool slash = path[strlen(path) - 1] == '/';
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s%s%s", path, slash ? "" : "/", entries[i]->d_name) < 0)
            file = NULL;
        if (file && !(stat(file, &status) == 0 && S_ISDIR(status.st_mode))) { /* as the agent passes them over */
            each(context, file);
            files++;
        }
        free(file);
        free(entries[i]);
    }
    free(entries);
    return files;
}

const char *rule_files_name(const char *file) {
    return strcmp(file, "-") == 0 ? "<stdin>" : file;
}

static bool is_pipe(const char *file) {
    struct stat status;
    return strncmp(file, "/dev/", 5) == 0 && stat(file, &status) == 0 && S_ISFIFO(status.st_mode); /* <(command) */
}

char *rule_files_read(const char *file, size_t *ret_length, struct rule_errors *errors) {
    bool is_stdin = strcmp(file, "-") == 0;
    FILE *stream = is_stdin ? stdin : is_pipe(file) ? fopen(file, "re") : NULL;
    if (!stream)
        return rule_text_read(file, ret_length, errors); /* it words the error, too */
    char *text = malloc(RULE_FILE_MAX + 1);
    *ret_length = text ? fread(text, 1, RULE_FILE_MAX + 1, stream) : 0;
    if (!is_stdin)
        fclose(stream);
    if (!text)
        document_error(errors, rule_files_name(file), "not enough memory");
    return text;
}

void rule_files_report(const struct rule_errors *errors) {
    for (size_t i = 0; i < errors->count; i++) {
        char *text = rule_error_text(&errors->list[i]);
        output_text(stderr, "%s", text ? text : errors->list[i].message);
        free(text);
    }
}
