/* `weir check`: validates rules files as the agent would: each alone, then the fragments of an app together. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rules/ruleset.h"
#include "rules/text/rule_text.h"
#include "tools/cmd.h"
#include "tools/installed_rules.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/rule_files.h"
#include "tools/times.h"

struct checked {
    char *file;
    struct rule_document *document; /* NULL: not valid */
    bool joined;
};

struct check {
    struct checked *list;
    size_t count, capacity;
    struct rule_errors errors;
    cJSON *times; /* of rules with times of day: when they are in force */
    const char *kind;
    bool strict; /* warnings count as errors */
    struct progress progress;
    bool failed; /* something could not be checked, and that has been reported */
};

static const struct option_row rows[] = {
    {'k', "kind", "KIND",
     "a bare array holds flow, degrade, system, authority, paramFlow, gateway or api (default: by its fields)"},
    {'s', "strict", NULL, "warnings make the exit status 2, too, but for those that a meaning changed since a version"},
    {'j', "json", NULL, "print the result as JSON"},
    {0},
};
static const struct option_set options = {
    .usage = "weir check [OPTION]… [FILE]…",
    .about = "Checks rules files as the agent would, and prints all errors at once.\n"
             "A directory means its *.json files, in the order of their names; - means stdin.  Without FILE the\n"
             "installed rules are checked (/etc/weir/rules.d, or what weir.json names).\n"
             "Files of the same app are checked together, as fragments of one set of rules.\n"
             "Warnings report what is valid, but can never match, may not be intended, or has changed its meaning.\n"
             "Exit status: 0 all valid, 2 errors, or with --strict warnings (but notes on an upgrade,\n"
             "\"meaning changed since\", count as none).",
    .rows = rows,
    .examples = "  weir check /etc/weir/rules.d\n"
                "  weir check --kind flow sentinel-flow-rules.json",
};

static struct rule_document *load(struct check *check, const char *file) {
    size_t length;
    char *text = rule_files_read(file, &length, &check->errors);
    struct rule_document *document = text ? rule_text_parse(rule_files_name(file), text, length, check->kind,
                                                            &check->errors)
                                          : NULL;
    free(text);
    return document;
}

static void no_memory(struct check *check, const char *what) {
    output_error("not enough memory for %s", what);
    check->failed = true;
}

static void check_file(void *context, const char *file) {
    struct check *check = context;
    progress_step(&check->progress, check->count, 0);
    if (check->count == check->capacity) {
        size_t capacity = check->capacity * 2 + 16;
        struct checked *list = realloc(check->list, capacity * sizeof(*list));
        if (!list) {
            no_memory(check, file);
            return;
        }
        check->list = list;
        check->capacity = capacity;
    }
    char *name = strdup(rule_files_name(file));
    if (name)
        check->list[check->count++] = (struct checked){.file = name, .document = load(check, file)};
    else
        no_memory(check, file);
}

static void add_times(struct check *check, const void *ruleset) {
    for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        struct times times;
        if (!rule->when_count || rule->mode == MODE_OFF)
            continue;
        times_of(ruleset, rule, (uint64_t)time(NULL), &times);
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "file", ruleset_text(ruleset, rule->file));
        cJSON_AddNumberToObject(entry, "line", rule->line);
        cJSON_AddStringToObject(entry, "rule", ruleset_text(ruleset, rule->id));
        cJSON_AddStringToObject(entry, "when", ruleset_text(ruleset, rule->when));
        cJSON_AddBoolToObject(entry, "now", times.now);
        cJSON_AddNumberToObject(entry, "until", (double)times.until);
        cJSON_AddNumberToObject(entry, "next", (double)times.next);
        cJSON_AddItemToArray(check->times, entry);
    }
}

static void print_times(const struct check *check) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, check->times) {
        struct times times = {cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(entry, "now")),
                              (uint64_t)cJSON_GetObjectItemCaseSensitive(entry, "until")->valuedouble,
                              (uint64_t)cJSON_GetObjectItemCaseSensitive(entry, "next")->valuedouble};
        char text[TIMES_TEXT];
        times_text(&times, text);
        output_text(stdout, "%s:%d: rule %s, %s: %s", cJSON_GetObjectItemCaseSensitive(entry, "file")->valuestring,
                    cJSON_GetObjectItemCaseSensitive(entry, "line")->valueint,
                    cJSON_GetObjectItemCaseSensitive(entry, "rule")->valuestring,
                    cJSON_GetObjectItemCaseSensitive(entry, "when")->valuestring, text);
    }
}

/* Joins the documents of the app of the first that is not joined yet; false when all are. */
static bool join_next(struct check *check) {
    struct rule_document **documents = calloc(check->count + 1, sizeof(struct rule_document *));
    const char *app = NULL;
    size_t count = 0, size;
    if (!documents)
        no_memory(check, "the rules together");
    for (size_t i = 0; documents && i < check->count; i++) {
        struct checked *checked = &check->list[i];
        if (!checked->document || checked->joined || (app && strcmp(app, rule_document_app(checked->document)) != 0))
            continue;
        app = rule_document_app(checked->document);
        checked->joined = true;
        documents[count++] = checked->document;
    }
    void *ruleset = count ? rule_text_ruleset(documents, count, "app", &size, &check->errors) : NULL;
    add_times(check, ruleset);
    free(ruleset);
    free(documents);
    return count != 0;
}

static bool has_errors(const struct check *check, const char *file) {
    for (size_t i = 0; i < check->errors.count; i++)
        if (strcmp(check->errors.list[i].file, file) == 0)
            return true;
    return false;
}

static void print_text(const struct check *check) {
    rule_files_report(&check->errors);
    for (size_t i = 0; i < check->errors.warnings_count; i++) {
        char *text = rule_warning_text(&check->errors.warnings[i]);
        output_text(stderr, "%s", text ? text : check->errors.warnings[i].message);
        free(text);
    }
    for (size_t i = 0; i < check->count; i++) {
        const struct checked *checked = &check->list[i];
        if (!checked->document || has_errors(check, checked->file))
            continue;
        const char *app = rule_document_app(checked->document);
        size_t rules = rule_document_rules(checked->document);
        output_text(stdout, "%s: ok, %s%s, %zu rule%s", checked->file, app[0] ? "app " : "no app named", app, rules,
                    rules == 1 ? "" : "s");
    }
    print_times(check);
}

/* Those of one file. */
static cJSON *list_json(const struct rule_error *list, size_t count, const char *file) {
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].file, file) != 0)
            continue;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddNumberToObject(entry, "line", list[i].line);
        cJSON_AddNumberToObject(entry, "column", list[i].column);
        cJSON_AddStringToObject(entry, "path", list[i].path);
        cJSON_AddStringToObject(entry, "message", list[i].message);
        cJSON_AddItemToArray(array, entry);
    }
    return array;
}

static void print_json(const struct check *check) {
    cJSON *root = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(root, "files");
    cJSON_AddBoolToObject(root, "ok", check->errors.count == 0 && !check->failed);
    for (size_t i = 0; i < check->count; i++) {
        const struct checked *checked = &check->list[i];
        const struct rule_errors *found = &check->errors;
        cJSON *file = cJSON_CreateObject();
        cJSON_AddStringToObject(file, "file", checked->file);
        cJSON_AddBoolToObject(file, "ok", checked->document && !has_errors(check, checked->file));
        if (checked->document) {
            cJSON_AddStringToObject(file, "app", rule_document_app(checked->document));
            cJSON_AddNumberToObject(file, "rules", (double)rule_document_rules(checked->document));
        }
        cJSON_AddItemToObject(file, "errors", list_json(found->list, found->count, checked->file));
        cJSON_AddItemToObject(file, "warnings", list_json(found->warnings, found->warnings_count, checked->file));
        cJSON_AddItemToArray(files, file);
    }
    cJSON_AddItemReferenceToObject(root, "times", check->times);
    output_json(stdout, root);
    cJSON_Delete(root);
}

/* Warnings about the file itself, not about an upgrade. */
static bool has_faults(const struct rule_errors *errors) {
    for (size_t i = 0; i < errors->warnings_count; i++)
        if (!errors->warnings[i].change)
            return true;
    return false;
}

static void check_clear(struct check *check) {
    for (size_t i = 0; i < check->count; i++) {
        rule_document_free(check->list[i].document);
        free(check->list[i].file);
    }
    free(check->list);
    cJSON_Delete(check->times);
    rule_errors_clear(&check->errors);
}

int cmd_check(int argc, char **argv) {
    struct check check = {.times = cJSON_CreateArray()};
    bool json = false;
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == 'k')
            check.kind = optarg;
        else if (key == 's')
            check.strict = true;
        else if (key == 'j')
            json = true;
        else
            return OPTIONS_STATUS(key);
    }
    progress_begin(&check.progress, "checking", "files", false);
    if (optind == argc && installed_rules_each(check_file, &check) <= 0) {
        progress_end(&check.progress);
        output_error("nothing to check: `weir check FILE…` checks others; - is stdin");
        check_clear(&check);
        return CMD_USAGE;
    }
    for (int i = optind; i < argc; i++) {
        int count = rule_files_each(argv[i], check_file, &check);
        check.failed |= count < 0;
        if (count == 0)
            output_note("%s: no *.json files in it", argv[i]);
    }
    while (join_next(&check))
        progress_step(&check.progress, check.count, 0);
    progress_end(&check.progress);
    json ? print_json(&check) : print_text(&check);
    bool refused = check.errors.count || (check.strict && has_faults(&check.errors));
    int status = refused || check.failed ? CMD_USAGE : CMD_DONE;
    check_clear(&check);
    return status;
}
