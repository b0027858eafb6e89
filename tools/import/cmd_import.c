/* `weir import`: what another product limits, as a rules file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/app_name.h"
#include "tools/cmd.h"
#include "tools/import/import_private.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/rule_files.h"
#include "tools/suggest.h"
#include "tools/write_file.h"

enum { OPTION_FORCE = 256, OPTION_STRICT, OPTION_COMPAT };

static char from_help[400]; /* with the products: list_products() */
static const struct option_row rows[] = {
    {'f', "from", "PRODUCT", from_help},
    {'k', "kind", "KIND",
     "Sentinel's arrays: flow, degrade, system, authority, paramFlow, gateway, api (default: from fields and name)"},
    {'a', "app", "APP", "the app that the rules are for (default: the one that the files name)"},
    {'o', "output", "FILE", "the rules file to write (default, and -: stdout)"},
    {OPTION_FORCE, "force", NULL, "with -o: replace FILE if it exists"},
    {OPTION_COMPAT, "compat", NULL, "make the rules behave exactly as Sentinel's own (Sentinel only)"},
    {OPTION_STRICT, "strict", NULL, "fail, and write nothing, if anything cannot be converted"},
    {0},
};
static const struct option_set options = {
    .usage = "weir import [OPTION]… FILE…",
    .about =
        "Converts the configuration of another product to a rules file.  Several files are combined; - means stdin.\n"
        "A comment on each rule gives the line it came from.  What cannot be converted is listed, and in comments at "
        "the\n"
        "end.  The result is validated as by `weir check`.  An existing file is overwritten only with --force.\n"
        "Exit status: 0 done, 1 not read, not written or (with --strict) incomplete, 2 usage error or invalid input.",
    .rows = rows,
    .examples = "  weir import shop-flow-rules.json shop-degrade-rules.json -o rules.json\n"
                "  curl -s localhost:8719/getRules?type=flow | weir import -a shop -",
};

struct command {
    struct import import;
    const struct importer *from; /* NULL: found from the content */
    const char *output;
    bool force, strict, failed;
    const struct importer *used[8]; /* with something to finish */
};

/* ------------------------------------------------------------------------------------------------------ options */

static int choose_importer(struct command *command, const char *name) {
    const char *names[32];
    size_t count = 0;
    for (const struct importer *importer = importers; importer->name && count < 32; importer++) {
        names[count++] = importer->name;
        if (strcmp(importer->name, name) == 0)
            command->from = importer;
    }
    if (command->from)
        return CMD_DONE;
    int near = suggest_nearest(name, names, count);
    if (near >= 0) {
        output_error("--from %s: unknown; did you mean '%s'?", name, names[near]);
        return CMD_USAGE;
    }
    char list[400] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    output_error("--from %s: unknown; expected one of %s", name, list);
    return CMD_USAGE;
}

static int choose_app(struct command *command, const char *app) {
    if (!app_name_is_valid(app)) {
        output_error("'%s' cannot be an app's name: 1 to %d of A-Z a-z 0-9 . _ -, not starting with a dot", app,
                     LAYOUT_APP_NAME_MAX - 1);
        return CMD_USAGE;
    }
    snprintf(command->import.app, sizeof command->import.app, "%s", app);
    command->import.app_given = true;
    return CMD_DONE;
}

static int take_option(struct command *command, int key) {
    switch (key) {
    case 'f': return choose_importer(command, optarg);
    case 'a': return choose_app(command, optarg);
    case 'k': command->import.kind = optarg; return CMD_DONE;
    case 'o': command->output = strcmp(optarg, "-") == 0 ? NULL : optarg; return CMD_DONE;
    case OPTION_FORCE: command->force = true; return CMD_DONE;
    case OPTION_COMPAT: command->import.compat = true; return CMD_DONE;
    default: command->strict = true; return CMD_DONE;
    }
}

/* -------------------------------------------------------------------------------------------------------- input */

/* The one importer that the text is for; NULL and an error: none, or several. */
static const struct importer *detect(struct import *import, const char *path, const char *text, size_t length) {
    const struct importer *best = NULL, *other = NULL;
    int most = IMPORT_NO;
    for (const struct importer *importer = importers; importer->name; importer++) {
        int score = importer->looks_like ? importer->looks_like(text, length, path) : IMPORT_NO;
        if (score > most)
            best = importer, other = NULL, most = score;
        else if (score && score == most)
            other = importer;
    }
    if (!best)
        import_error(import, path, 0, 0, "cannot tell what this is; say it with --from (see --help)");
    else if (other)
        import_error(import, path, 0, 0, "could be of %s or %s; say it with --from", best->name, other->name);
    return other ? NULL : best;
}

/* Importers finish once, however many files they have read. */
static void note_used(struct command *command, const struct importer *importer) {
    size_t count = sizeof command->used / sizeof *command->used;
    for (size_t i = 0; importer->finish && i < count; i++) {
        if (command->used[i] && command->used[i]->finish == importer->finish)
            return;
        if (!command->used[i]) {
            command->used[i] = importer;
            return;
        }
    }
}

static void read_file(struct command *command, const char *file) {
    size_t length;
    struct import *import = &command->import;
    const char *path = rule_files_name(file);
    size_t before = import->errors.count;
    char *text = rule_files_read(file, &length, &import->errors);
    command->failed |= !text;
    if (text && length > RULE_FILE_MAX)
        import_error(import, path, 0, 0, "is too large: expected at most %d bytes", RULE_FILE_MAX);
    const struct importer *importer = command->from;
    if (import->errors.count == before && !importer)
        importer = detect(import, path, text, length);
    if (import->errors.count == before && importer) {
        importer->parse(import, path, text, length);
        note_used(command, importer);
    }
    free(text);
}

/* ------------------------------------------------------------------------------------------------------- output */

static void print_note(const struct import_note *note) {
    const char *kind = note->kind == NOTE_WARNING ? "warning" : "not carried over";
    if (note->line)
        output_text(stderr, "%s:%u: %s: %s: %s", note->file, note->line, kind, note->what, note->why);
    else
        output_text(stderr, "%s: %s: %s: %s", note->file, kind, note->what, note->why);
}

static void print_summary(const struct command *command, size_t rules) {
    size_t left = import_notes(&command->import, NOTE_LEFT_OUT),
           warnings = import_notes(&command->import, NOTE_WARNING);
    char more[100] = "";
    if (warnings)
        snprintf(more, sizeof more, ", %zu warning%s", warnings, warnings == 1 ? "" : "s");
    if (left)
        snprintf(more + strlen(more), sizeof more - strlen(more), ", %zu not carried over (listed above)", left);
    output_note("%zu rule%s imported%s", rules, rules == 1 ? "" : "s", more);
    if (!command->import.app[0])
        output_note("no app is named: give one with -a, here or with `weir run`");
}

static int write_result(const struct command *command, const char *text, size_t length) {
    if (!command->output) {
        fwrite(text, 1, length, stdout);
        return CMD_DONE;
    }
    struct stat status;
    if (stat(command->output, &status) == 0 && !S_ISREG(status.st_mode)) {
        output_error("%s is not a regular file; nothing was written.  Leave -o out to write to stdout",
                     command->output);
        return CMD_FAILED;
    }
    int error = write_file(command->output, text, length, command->force);
    if (error == -EEXIST)
        output_error("%s exists; nothing was written.  --force replaces it", command->output);
    else if (error < 0)
        output_error("%s: cannot be written: %s", command->output, strerror(-error));
    return error < 0 ? CMD_FAILED : CMD_DONE;
}

static void finish_import(struct command *command) {
    struct import *import = &command->import;
    for (size_t i = 0; i < sizeof command->used / sizeof *command->used && command->used[i]; i++)
        command->used[i]->finish(import);
    import_settle_app(import);
}

static int finish(struct command *command) {
    struct import *import = &command->import;
    finish_import(command);
    size_t length = 0;
    char *text = import->errors.count ? NULL : import_write_valid(import, &length);
    size_t rules = import_rules(import), left = import_notes(import, NOTE_LEFT_OUT);
    int status = import->errors.count ? command->failed ? CMD_FAILED : CMD_USAGE : CMD_DONE;
    for (size_t i = 0; i < import->notes_count; i++)
        print_note(&import->notes[i]);
    rule_files_report(&import->errors);
    if (status == CMD_DONE && command->strict && left) {
        output_error("%zu not carried over (listed above); nothing was written, because of --strict", left);
        status = CMD_FAILED;
    } else if (status == CMD_DONE && rules == 0 && (left || !import->entries_count)) {
        output_error("%s; nothing was written",
                     left ? "none of the rules could be carried over (listed above)" : "no rules in what was read");
        status = CMD_FAILED;
    }
    if (status == CMD_DONE)
        status = write_result(command, text, length);
    if (status == CMD_DONE)
        print_summary(command, rules);
    free(text);
    return status;
}

static void list_products(void) {
    size_t at = 0, size = sizeof from_help;
    for (const struct importer *importer = importers; importer->name && at < size; importer++)
        at += (size_t)snprintf(from_help + at, size - at, "%s%s", at ? ", " : "", importer->name);
    if (at < size)
        snprintf(from_help + at, size - at, " (default: as they look)");
}

int cmd_import(int argc, char **argv) {
    struct command command = {0};
    int key, status = CMD_DONE;
    list_products();
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        status = key == OPTIONS_HELP || key == OPTIONS_WRONG ? OPTIONS_STATUS(key) : take_option(&command, key);
        if (key == OPTIONS_HELP || status != CMD_DONE)
            return status;
    }
    if (optind == argc) {
        output_error("which files? `weir import FILE…`; - is stdin");
        return CMD_USAGE;
    }
    for (int i = optind; i < argc; i++)
        read_file(&command, argv[i]);
    status = finish(&command);
    import_clear(&command.import);
    return status;
}
