#include "agent/rules/validate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/errors.h"
#include "agent/rules/rule_dir.h"

static void nothing_changed(struct rule_dir *rules) {
    (void)rules;
}

static const char *app_name(const struct rule_file *file) {
    const char *name = file->good ? rule_document_app(file->good) : "";
    return name[0] ? name : NULL;
}

static bool seen_before(const struct rule_dir *rules, size_t index) {
    const char *name = app_name(rules->files[index]);
    for (size_t i = 0; i < index; i++) {
        const char *other = app_name(rules->files[i]);
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* The fragments of the app of file `index`, of which it is the first. */
static bool validate_app(const struct rule_dir *rules, size_t index, struct rule_errors *errors) {
    const char *name = app_name(rules->files[index]);
    struct rule_document **documents = calloc(rules->count, sizeof(struct rule_document *));
    size_t count = 0, size;
    for (size_t i = index; documents && i < rules->count; i++) {
        const char *other = app_name(rules->files[i]);
        if (other && strcmp(other, name) == 0)
            documents[count++] = rules->files[i]->good;
    }
    void *ruleset = documents ? rule_text_ruleset(documents, count, name, &size, errors) : NULL;
    bool good = ruleset != NULL;
    free(ruleset);
    free(documents);
    return good;
}

static bool validate_all(const struct rule_dir *rules, size_t *ret_apps, struct rule_errors *errors) {
    bool good = true;
    for (size_t i = 0; i < rules->missing_count; i++) {
        errors_add(errors, rules->missing[i], "%s", strerror(ENOENT));
        good = false;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule_file *file = rules->files[i];
        errors_copy(errors, &file->errors);
        good &= file->good != NULL;
        if (file->good && !app_name(file)) {
            errors_add(errors, file->path, "%s", RULE_FILE_NAMES_NO_APP);
            good = false;
        } else if (file->good && !seen_before(rules, i)) {
            good &= validate_app(rules, i, errors);
            ++*ret_apps;
        }
    }
    return good;
}

bool validate_paths(const char *const *paths, size_t count, size_t *ret_apps, size_t *ret_files,
                    struct rule_errors *errors) {
    struct loop loop;
    struct rule_dir rules;
    int error = loop_open(&loop);
    if (error) {
        errors_add(errors, "weir-agent", "%s", strerror(-error));
        return false;
    }
    *ret_apps = *ret_files = 0;
    error = rule_dir_open(&rules, &loop, paths, count, nothing_changed);
    bool good = error == 0 && validate_all(&rules, ret_apps, errors);
    if (error)
        errors_add(errors, "weir-agent", "cannot watch the rules files: %s", strerror(-error));
    else {
        *ret_files = rules.count;
        rule_dir_close(&rules, &loop);
    }
    loop_close(&loop);
    return good;
}
