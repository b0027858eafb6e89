/* weir off, weir on: break glass, and mend it. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/control.h"
#include "tools/suggest.h"
#include "tools/options.h"
#include "tools/output.h"

enum { OPTION_RUN_DIR = 256, APPS_MAX = 1024 };

static const struct option_row rows[] = {
    {OPTION_RUN_DIR, "run-dir", "DIR", "use the agent in DIR only (default: all that know APP)"},
    {0},
};
static const struct option_set off_options = {
    .usage = "weir off [--run-dir DIR] APP",
    .about = "Lets all traffic of APP pass, in all of its processes at once, until `weir on APP`.",
    .rows = rows,
    .examples = "  weir off shop",
};
static const struct option_set on_options = {
    .usage = "weir on [--run-dir DIR] APP",
    .about = "Reverts `weir off APP`: the rules are in force again.",
    .rows = rows,
    .examples = "  weir on shop",
};

/* Asks the agents that know the app.  Returns how many have done it, or -1 where one refused or failed. */
static int switch_app(const struct control_answers *answers, const char *cmd, const char *app) {
    int done = 0, failed = 0;
    for (size_t i = 0; i < answers->count; i++) {
        const struct control_answer *answer = &answers->list[i];
        const cJSON *known;
        cJSON_ArrayForEach(known, cJSON_GetObjectItemCaseSensitive(answer->reply, "apps")) {
            if (strcmp(control_text(known, "app"), app) != 0)
                continue;
            cJSON *reply = NULL;
            int error = control_ask(answer->run_dir, cmd, app, CONTROL_TIMEOUT_MS, &reply);
            const char *why = error < 0 ? strerror(-error) : control_text(reply, "error");
            if (error == 0 && control_true(reply, "ok")) {
                done++;
            } else {
                output_error("%s: %s: %s", answer->run_dir, app, *why ? why : "the agent gave no answer to this");
                failed++;
            }
            cJSON_Delete(reply);
        }
    }
    return failed ? -1 : done;
}

static bool is_among(const char *name, const char *const *names, size_t count) {
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i < count;
}

static void unknown_app(const struct control_answers *answers, const char *app) {
    const char *names[APPS_MAX] = {0};
    size_t count = 0;
    char list[1024] = "";
    for (size_t i = 0; i < answers->count; i++) {
        const cJSON *known;
        cJSON_ArrayForEach(known, cJSON_GetObjectItemCaseSensitive(answers->list[i].reply, "apps")) {
            const char *name = control_text(known, "app");
            if (count == APPS_MAX || is_among(name, names, count))
                continue; /* several agents may have it */
            names[count++] = name;
            size_t at = strlen(list);
            snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", names[count - 1]);
        }
    }
    int near = suggest_nearest(app, names, count);
    if (near >= 0) {
        output_error("no app '%s'; did you mean '%s'?", app, names[near]);
    } else if (count > 0) {
        output_error("no app '%s'; there are: %s", app, list);
    } else {
        output_error("no app '%s': no agent has any", app);
    }
}

static int run(const struct option_set *options, int argc, char **argv) {
    const char *run_dir = NULL;
    int key;
    while ((key = options_next(options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return OPTIONS_STATUS(key);
        run_dir = optarg;
    }
    const char *cmd = argv[0], *app = argv[optind];
    if (!app || argv[optind + 1]) {
        output_error("%s; usage: %s", app ? "one APP at a time" : "which APP?", options->usage);
        return CMD_USAGE;
    }
    struct control_answers answers;
    control_ask_all(run_dir, "status", CONTROL_TIMEOUT_MS, &answers);
    int status = control_report(&answers, run_dir);
    int switched = status == CMD_DONE ? switch_app(&answers, cmd, app) : 0;
    if (status == CMD_DONE && switched == 0)
        unknown_app(&answers, app);
    if (status == CMD_DONE && switched <= 0)
        status = CMD_FAILED;
    if (status == CMD_DONE && strcmp(cmd, "off") == 0)
        printf("%s: OFF, all traffic passes until `weir on %s`\n", app, app);
    if (status == CMD_DONE && strcmp(cmd, "on") == 0)
        printf("%s: on, the rules are in force\n", app);
    control_answers_clear(&answers);
    return status;
}

int cmd_off(int argc, char **argv) {
    return run(&off_options, argc, argv);
}

int cmd_on(int argc, char **argv) {
    return run(&on_options, argc, argv);
}
