/* weir run: a program under the shim, with an agent of its own in this process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "rules/layout.h"
#include "tools/cmd.h"
#include "tools/app_name.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/program.h"
#include "tools/rule_files.h"
#include "tools/run_dir.h"
#include "tools/supervise.h"

enum {
    RULE_PATHS_MAX = 64,
    NOT_FOUND = 127,
    NOT_EXECUTABLE = 126,
    OPTION_RUN_DIR = 256,
    OPTION_PORT,
    OPTION_BPF,
    INHERITED_MAX = 1024
};

static const struct option_row rows[] = {
    {'a', "app", "APP", "name of the application (default: from the rules file, else CMD's name)"},
    {'r', "rules", "FILE|DIR", "rules file, or a directory of them; may be repeated; edits are in force at once"},
    {OPTION_RUN_DIR, "run-dir", "DIR",
     "directory for sockets and shared memory (default: a new one in $WEIR_RUN_DIR or /run/weir)"},
    {OPTION_PORT, "port", "N", "HTTP interface of the agent (not supported yet)"},
    {OPTION_BPF, "bpf", NULL,
     "load the kernel programs meanwhile: counts, limits without the library, callers (as root)"},
    {'v', "verbose", NULL, "log on stderr what the agent does"},
    {0},
};
static const struct option_set options = {
    .usage = "weir run [-a APP] [-r FILE|DIR]… -- CMD [ARG…]",
    .about = "Runs CMD protected by libweir.so and the rules, without privileges or installation.\n"
             "Rules files are watched: an edit is in force at once; one with errors is reported and changes nothing.\n"
             "Signals are forwarded to CMD, and weir exits when CMD does, with its status.  With invalid rules CMD is "
             "not started (exit status 2).",
    .rows = rows,
    .examples = "  weir run -r rules.json -- nginx -g 'daemon off;'\n"
                "  weir run -a shop -r rules.d -- python3 -m http.server 8000",
    .stop_at_word = true,
};

struct run {
    const char *app; /* -a, or NULL */
    const char *run_dir_named;
    const char *rule_paths[RULE_PATHS_MAX];
    size_t rule_paths_count;
    bool verbose, bpf;
    char **command;
    char library[PATH_MAX];
    char run_dir[PATH_MAX];
    bool remove_dir;
    char app_name[LAYOUT_APP_NAME_MAX];
    struct rlimit files;
    bool inherited[INHERITED_MAX]; /* descriptors */
    struct agent *agent;
    char *early; /* what the agent said while it was being opened, a line each */
    bool opened;
    bool rules_wrong;   /* as last reported */
    size_t rules_files; /* when that was looked at */
};

/* -------------------------------------------------------------------------------------------- command line */

static int take_option(struct run *run, int key) {
    switch (key) {
    case 'a':
        run->app = optarg;
        if (app_name_is_valid(optarg))
            return CMD_DONE;
        output_error("'%s' cannot be an app's name: 1 to %d of A-Z a-z 0-9 . _ -, not starting with a dot", optarg,
                     LAYOUT_APP_NAME_MAX - 1);
        return CMD_USAGE;
    case 'r':
        if (run->rule_paths_count == RULE_PATHS_MAX) {
            output_error("more than %d times -r; give a directory", RULE_PATHS_MAX);
            return CMD_USAGE;
        }
        run->rule_paths[run->rule_paths_count++] = optarg;
        if (access(optarg, R_OK) == 0)
            return CMD_DONE;
        output_error("rules %s: %s", optarg, strerror(errno));
        return CMD_USAGE;
    case OPTION_RUN_DIR: run->run_dir_named = optarg; return CMD_DONE;
    case OPTION_BPF: run->bpf = true; return CMD_DONE;
    case OPTION_PORT:
        output_error("--port is not supported yet: the embedded agent has no HTTP interface");
        return CMD_USAGE;
    default: run->verbose = true; return CMD_DONE;
    }
}

static int parse(struct run *run, int argc, char **argv, int *ret_status) {
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        *ret_status = key == OPTIONS_HELP || key == OPTIONS_WRONG ? OPTIONS_STATUS(key) : take_option(run, key);
        if (key == OPTIONS_HELP || *ret_status != CMD_DONE)
            return -1;
    }
    run->command = argv + optind;
    if (*run->command)
        return 0;
    output_error("no command given; usage: %s", options.usage);
    *ret_status = CMD_USAGE;
    return -1;
}

/* --------------------------------------------------------------------------------------- program and app */

static int check_program(const struct run *run) {
    char path[PATH_MAX] = "", why[2 * PATH_MAX];
    const char *name = run->command[0];
    int error = program_find(name, path, sizeof path);
    if (error == -ENOENT) {
        output_error("%s: %s", name, strchr(name, '/') ? "no such file" : "command not found");
        return NOT_FOUND;
    }
    if (error < 0) {
        const char *reason = error == -EACCES ? "not executable (permission denied)" : strerror(-error);
        output_error("%s: %s", *path ? path : name, error == -EISDIR ? "is a directory, not a program" : reason);
        return NOT_EXECUTABLE;
    }
    if (program_unreachable(path, run->library, why, sizeof why))
        output_note("warning: %s runs UNPROTECTED: %s", name, why);
    return CMD_DONE;
}

static int check_library(struct run *run) {
    if (program_library(run->library, sizeof run->library) < 0) {
        output_error("libweir.so is neither next to this program nor at %s; `make install` installs it there",
                     run->library);
        return CMD_FAILED;
    }
    if (program_preloadable(run->library))
        return CMD_DONE;
    output_error("%s: LD_PRELOAD cannot contain a path with a space or a colon; install weir elsewhere", run->library);
    return CMD_FAILED;
}

/* The app that the file names: taken as ours where none was given, compared where one was. */
static void note_app(void *context, const char *file) {
    struct run *run = context;
    struct rule_errors errors = {0};
    struct rule_document *document = rule_text_load(file, NULL, &errors);
    const char *app = document ? rule_document_app(document) : ""; /* errors are the agent's to report */
    if (*app && !*run->app_name)
        snprintf(run->app_name, sizeof run->app_name, "%s", app);
    if (*app && strcmp(app, run->app_name) != 0) {
        const char *how = document && rule_document_app_by_name(document) ? " (its name says so)" : "";
        output_note("warning: %s is for the app '%s'%s, and this is '%s': its rules do not apply", file, app, how,
                    run->app_name);
    }
    rule_document_free(document);
    rule_errors_clear(&errors);
}

static void choose_app(struct run *run) {
    if (run->app)
        snprintf(run->app_name, sizeof run->app_name, "%s", run->app);
    for (size_t i = 0; i < run->rule_paths_count; i++)
        rule_files_each(run->rule_paths[i], note_app, run);
    if (*run->app_name)
        return;
    const char *slash = strrchr(run->command[0], '/');
    app_name_from(slash ? slash + 1 : run->command[0], run->app_name, sizeof run->app_name);
}

/* ------------------------------------------------------------------------------------------------- agent */

/* While the agent opens, its words wait: invalid rules are reported in another form then (open_agent). */
static void agent_log(void *context, int level, const char *message) {
    struct run *run = context;
    char *joined = NULL;
    if (level > (run->verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING)) /* sums of rejections are a notice */
        return;
    if (run->opened) {
        output_note("%s", message);
    } else if (asprintf(&joined, "%s%s\n", run->early ? run->early : "", message) >= 0) {
        free(run->early);
        run->early = joined;
    }
}

static void tell_early(struct run *run) {
    for (char *at = run->early, *end; at && (end = strchr(at, '\n')); at = end + 1)
        output_note("%.*s", (int)(end - at), at);
    free(run->early);
    run->early = NULL;
    run->opened = true;
}

/* A folder that the user named may belong to another program: only what we made is removed in the end. */
static int open_named_dir(struct run *run) {
    int made = run_dir_use(run->run_dir_named);
    if (made < 0)
        return made;
    run->remove_dir = made > 0;
    if (!realpath(run->run_dir_named, run->run_dir))
        return -errno;
    return strlen(run->run_dir) < RUN_DIR_MAX ? 0 : -ENAMETOOLONG;
}

/* The commands that the user gives with the same $WEIR_RUN_DIR look there alone. */
static void tell_other_place(const struct run *run) {
    const char *wanted = run_dir_of_environment();
    size_t length = wanted ? strlen(wanted) : 0;
    if (wanted && (strncmp(run->run_dir, wanted, length) != 0 || run->run_dir[length] != '/'))
        output_note("warning: WEIR_RUN_DIR=%s is not an absolute path of a directory that only this user can write to: "
                    "the agent is in %s; ask it with --run-dir",
                    wanted, run->run_dir);
}

static int make_run_dir(struct run *run) {
    run_dir_sweep();
    int error = run_dir_make(run->run_dir);
    run->remove_dir = error == 0;
    if (error == 0)
        tell_other_place(run);
    return error;
}

static int open_run_dir(struct run *run) {
    int error = run->run_dir_named ? open_named_dir(run) : make_run_dir(run);
    if (error < 0 && run->run_dir_named)
        output_error("--run-dir %s: %s", run->run_dir_named, strerror(-error));
    else if (error < 0)
        output_error("no directory for sockets and shared memory: %s; set one with --run-dir", strerror(-error));
    return error < 0 ? CMD_FAILED : CMD_DONE;
}

static int open_agent(struct run *run) {
    struct rule_errors errors = {0};
    int error = 0;
    const struct agent_options given = {
        .run_dir = run->run_dir,
        .rule_paths = run->rule_paths,
        .rule_paths_count = run->rule_paths_count,
        .app = run->app_name,
        .embedded = true,
        .bpf = run->bpf ? BPF_AUTO : BPF_OFF, /* unpinned: it ends with us */
        .strict_start = true,
        .log = {.write = agent_log, .context = run},
    };
    run->agent = agent_open(&given, &errors, &error);
    rule_files_report(&errors);
    bool invalid = errors.count > 0;
    rule_errors_clear(&errors);
    if (!invalid)
        tell_early(run);
    free(run->early);
    run->early = NULL;
    if (run->agent)
        return CMD_DONE;
    if (!invalid)
        output_error("the agent cannot start in %s: %s", run->run_dir, strerror(-error));
    if (invalid)
        output_error("rules invalid; did not start `%s`", run->command[0]);
    return invalid ? CMD_USAGE : CMD_FAILED;
}

static int step_agent(void *context) {
    struct run *run = context;
    int error = agent_step(run->agent, 0);
    bool wrong = agent_has_errors(run->agent);
    size_t files = agent_rule_files(run->agent);
    if (run->rules_wrong && !wrong)
        output_note(files == 0                 ? "rules file removed: no rules are in force"
                    : files < run->rules_files ? "rules file removed: the rules of the other files are in force"
                                               : "rules file fixed: the rules are in force");
    run->rules_files = files;
    run->rules_wrong = wrong;
    if (error < 0)
        output_error("the agent has failed: %s; the last rules stay in force", strerror(-error));
    return error;
}

/* ---------------------------------------------------------------------------------------------- running */

static bool is_used(void *context) {
    const struct run *run = context;
    return run_dir_is_mapped(run->run_dir);
}

static void close_run(struct run *run) {
    agent_close(run->agent);
    if (run->remove_dir)
        run_dir_remove(run->run_dir);
}

/* What the caller gave us beside the standard descriptors is the program's; the agent that stays would keep it open. */
static void note_inherited(struct run *run) {
    for (int fd = 3; fd < INHERITED_MAX; fd++)
        run->inherited[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* The program has ended, processes that it left have not: the agent goes on in the background for them, so that the
 * shell gets its prompt, and a script its status.  False: it cannot. */
static bool stay_for_others(struct run *run, struct supervise *program) {
    pid_t pid = agent_pause(run->agent) ? fork() : -1;
    if (pid != 0)
        return pid > 0;
    for (int fd = 3; fd < INHERITED_MAX; fd++)
        if (run->inherited[fd])
            close(fd);
    supervise_stay(program, is_used);
    close_run(run);
    _exit(0);
}

/* Our environment with three variables set: an array that is the process's to keep. */
static char **program_environment(const struct run *run) {
    char *preload = program_preload(run->library, getenv("LD_PRELOAD"));
    bool done = preload && setenv("LD_PRELOAD", preload, 1) == 0 && setenv("WEIR_RUN_DIR", run->run_dir, 1) == 0 &&
                setenv("WEIR_APP", run->app_name, 1) == 0;
    free(preload);
    return done ? environ : NULL;
}

static int run_program(struct run *run, int *ret_status, bool *ret_stays) {
    struct supervise program = {
        .argv = run->command,
        .environment = program_environment(run),
        .files = run->files,
        .work_fd = agent_fd(run->agent),
        .work = step_agent,
        .context = run,
    };
    int error = program.environment ? supervise_start(&program) : -ENOMEM;
    if (error < 0) {
        output_error("%s: %s", run->command[0],
                     error == -ENOENT ? "the interpreter that it names is missing" : strerror(-error));
        return NOT_EXECUTABLE;
    }
    bool others;
    *ret_status = supervise_wait(&program, &others);
    if (run->verbose)
        output_note("%s", agent_status_line(run->agent));
    *ret_stays = others && stay_for_others(run, &program);
    return CMD_DONE;
}

int cmd_run(int argc, char **argv) {
    struct run run = {0};
    int status = CMD_DONE, ended = -1;
    bool stays = false;
    note_inherited(&run);
    if (parse(&run, argc, argv, &status) < 0)
        return status;
    if ((status = check_library(&run)) != CMD_DONE || (status = check_program(&run)) != CMD_DONE)
        return status;
    choose_app(&run);
    if (run.rule_paths_count == 0)
        output_note("no rules file (-r FILE): '%s' runs without rules, and is only counted", run.app_name);
    if (getenv("WEIR_DISABLE"))
        output_note("warning: WEIR_DISABLE is set: %s runs UNPROTECTED", run.command[0]);
    if ((status = open_run_dir(&run)) != CMD_DONE)
        return status;
    getrlimit(RLIMIT_NOFILE, &run.files);
    status = open_agent(&run);
    if (status == CMD_DONE)
        status = run_program(&run, &ended, &stays);
    if (run.agent && !stays)
        close_run(&run);
    else if (run.remove_dir && !stays)
        run_dir_remove(run.run_dir);
    if (ended >= 0)
        supervise_end_like(ended);
    return status;
}
