#include "tools/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/suggest.h"
#include "tools/output.h"
#include "tools/text.h"

enum { ROWS_MAX = 24, HELP_COLUMN = 26, HELP_WIDTH = 80, HELP_WIDEST = 120 /* lines longer are hard to read */ };

static size_t help_width(void) {
    int width = output_width(stdout);
    return width <= 0 ? HELP_WIDTH : width > HELP_WIDEST ? HELP_WIDEST : (size_t)width;
}

static void print_row(int key, const char *name, const char *argument, const char *help) {
    char left[80] = "";
    int at = 0;
    if (key > 0 && key < 256)
        at += snprintf(left + at, sizeof left - at, "-%c%s", key, name ? ", " : "");
    if (name)
        at += snprintf(left + at, sizeof left - at, "--%s", name);
    if (argument)
        at += snprintf(left + at, sizeof left - at, " %s", argument);
    if (at > HELP_COLUMN - 4)
        printf("  %s\n%*s", left, HELP_COLUMN, "");
    else
        printf("  %-*s", HELP_COLUMN - 2, left);
    text_fold(stdout, help, help_width(), HELP_COLUMN, HELP_COLUMN);
}

/* Lines of the source are joined, up to one that ends a sentence. */
static void print_about(const char *about) {
    char paragraph[2048] = "";
    while (*about) {
        size_t at = 0;
        for (bool ended = false; *about && !ended && at < sizeof paragraph - 1; about++) {
            ended = *about == '\n' && (at == 0 || strchr(".:", paragraph[at - 1]));
            paragraph[at++] = *about == '\n' ? ' ' : *about;
        }
        while (at > 0 && paragraph[at - 1] == ' ')
            at--;
        paragraph[at] = '\0';
        text_fold(stdout, paragraph, help_width(), 0, 0);
    }
}

static void print_help(const struct option_set *set) {
    fputs("Usage: ", stdout);
    text_fold(stdout, set->usage, help_width(), strlen("Usage: "), strlen("Usage: weir "));
    putchar('\n');
    print_about(set->about);
    fputs("\nOptions:\n", stdout);
    for (const struct option_row *row = set->rows; row->key; row++)
        print_row(row->key, row->name, row->argument, row->help);
    print_row('h', "help", NULL, "this text");
    if (set->examples)
        printf("\nExamples:\n%s\n", set->examples);
}

static int wrong_option(const struct option_set *set, char **argv, const struct option *longs, size_t count) {
    const char *word = argv[optind - 1];
    if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
        output_error("unknown option -%c; see --help", optopt);
        return OPTIONS_WRONG;
    }
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *names[ROWS_MAX + 1];
    for (size_t i = 0; i < count; i++)
        names[i] = longs[i].name;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            output_error("option --%s takes no argument; see --help", name);
            return OPTIONS_WRONG;
        }
    }
    int near = suggest_nearest(name, names, count);
    if (near >= 0) {
        output_error("unknown option --%s; did you mean --%s?", name, names[near]);
    } else {
        output_error("unknown option --%s; usage: %s", name, set->usage);
    }
    return OPTIONS_WRONG;
}

int options_next(const struct option_set *set, int argc, char **argv) {
    struct option longs[ROWS_MAX + 2] = {0};
    char shorts[2 * ROWS_MAX + 8] = "";
    size_t count = 0, at = 0;
    if (set->stop_at_word)
        shorts[at++] = '+';
    shorts[at++] = ':';
    shorts[at++] = 'h';
    for (const struct option_row *row = set->rows; row->key && count < ROWS_MAX; row++) {
        if (row->key < 256)
            shorts[at++] = (char)row->key;
        if (row->key < 256 && row->argument)
            shorts[at++] = ':';
        if (row->name) {
            longs[count++] = (struct option){row->name, row->argument ? required_argument : no_argument, NULL,
                                             row->key};
        }
    }
    longs[count++] = (struct option){"help", no_argument, NULL, 'h'};

    opterr = 0;
    int key = getopt_long(argc, argv, shorts, longs, NULL);
    if (key == -1)
        return OPTIONS_END;
    if (key == '?')
        return wrong_option(set, argv, longs, count);
    if (key == ':') {
        output_error("option %s needs an argument; see --help", argv[optind - 1]);
        return OPTIONS_WRONG;
    }
    if (key == 'h') {
        print_help(set);
        return OPTIONS_HELP;
    }
    return key;
}
