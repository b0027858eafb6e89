/* weir enable, weir disable: a systemd unit under protection by one drop-in, and without a trace of it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules/layout.h"
#include "tools/cmd.h"
#include "tools/app_name.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/program.h"
#include "tools/unit_file.h"

enum { OPTION_ROOT = 256 };

static const struct option_row enable_rows[] = {
    {'a', "app", "APP", "name of the app (default: the unit's name)"},
    {OPTION_ROOT, "root", "DIR", "use the system below DIR; systemd is not notified"},
    {0},
};
static const struct option_set enable_options = {
    .usage = "weir enable [-a APP] [--root DIR] UNIT",
    .about =
        "Preloads libweir.so into the systemd service UNIT from its next start on, by a drop-in:\n" UNIT_DROP_IN_FOLDER
        "/UNIT.d/" UNIT_DROP_IN ".  What the unit preloads already is kept.",
    .rows = enable_rows,
    .examples = "  weir enable nginx && systemctl restart nginx\n"
                "  weir enable -a shop shop-backend.service",
};
static const struct option_set disable_options = {
    .usage = "weir disable [--root DIR] UNIT",
    .about = "Removes what `weir enable UNIT` has added, and the directory if it is then empty.",
    .rows = enable_rows + 1,
    .examples = "  weir disable nginx && systemctl restart nginx",
};

struct enable {
    const char *app, *root;
    char name[UNIT_NAME_MAX]; /* as typed, with its suffix */
    char folder[PATH_MAX];    /* UNIT.d */
    char file[PATH_MAX];
};

static int parse(struct enable *enable, const struct option_set *options, int argc, char **argv, int *ret_status) {
    int key;
    *ret_status = CMD_USAGE;
    enable->root = "";
    while ((key = options_next(options, argc, argv)) != OPTIONS_END) {
        if (key == OPTIONS_HELP)
            *ret_status = CMD_DONE;
        if (key == OPTIONS_HELP || key == OPTIONS_WRONG)
            return -1;
        if (key == 'a')
            enable->app = optarg;
        if (key == OPTION_ROOT)
            enable->root = optarg;
    }
    if (!argv[optind] || argv[optind + 1]) {
        output_error("%s; usage: %s", argv[optind] ? "one UNIT at a time" : "which UNIT?", options->usage);
        return -1;
    }
    const char *wrong = unit_name(argv[optind], enable->name);
    if (wrong) {
        output_error("'%s': %s", argv[optind], wrong);
        return -1;
    }
    if (enable->app && !app_name_is_valid(enable->app)) {
        output_error("'%s' cannot be an app's name: 1 to %d of A-Z a-z 0-9 . _ -, not starting with a dot", enable->app,
                     LAYOUT_APP_NAME_MAX - 1);
        return -1;
    }
    *ret_status = CMD_DONE;
    return 0;
}

static void set_paths(struct enable *enable, const char *name) {
    snprintf(enable->folder, sizeof enable->folder, "%s" UNIT_DROP_IN_FOLDER "/%s.d", enable->root, name);
    snprintf(enable->file, sizeof enable->file, "%s" UNIT_DROP_IN_FOLDER "/%s.d/" UNIT_DROP_IN, enable->root, name);
}

/* ------------------------------------------------------------------------------------------------- systemd */

/* systemd reads its units again.  Where none runs there is nothing to reload. */
static int reload_systemd(const struct enable *enable) {
    if (*enable->root || access("/run/systemd/system", F_OK) < 0) {
        puts(*enable->root ? "  systemd was not notified (--root)" : "  systemd does not run here: nothing to reload");
        return CMD_DONE;
    }
    char *command[] = {"systemctl", "daemon-reload", NULL};
    pid_t pid;
    int status = -1, error = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
    if (error == 0 && waitpid(pid, &status, 0) == pid && status == 0)
        return CMD_DONE;
    output_error("systemctl daemon-reload failed%s%s; run it for the change to take effect", error ? ": " : "",
                 error ? strerror(error) : "");
    return CMD_FAILED;
}

/* -------------------------------------------------------------------------------------------------- enable */

static bool below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

static void warn(const struct enable *enable, const struct unit_facts *facts, const char *library) {
    char program[2 * PATH_MAX], why[2 * PATH_MAX];
    const char *name = facts->name;
    snprintf(program, sizeof program, "%s%s", enable->root, facts->program);
    if (facts->program[0] == '/' && program_unreachable(program, library, why, sizeof why)) {
        output_note("warning: %s will run UNPROTECTED: %s", name, why);
    }
    if (facts->preload_overridden)
        output_note("warning: %s sets or unsets LD_PRELOAD in its EnvironmentFile= or UnsetEnvironment=, which wins",
                    name);
    if (facts->families_denied)
        output_note("warning: %s denies AF_UNIX (RestrictAddressFamilies=), so the agent cannot be reached", name);
    bool home = below(library, "/home") || below(library, "/root") || below(library, "/run/user");
    bool tmp = below(library, "/tmp") || below(library, "/var/tmp");
    if ((facts->home_hidden && home) || (facts->tmp_hidden && tmp)) {
        output_note("warning: %s does not see %s (ProtectHome=, PrivateTmp=); `make install` installs it elsewhere",
                    name, library);
    }
}

/* A filter that lacks what the library calls would end the service at its start: then it is left as it is. */
static int check_calls(const struct unit_facts *facts) {
    const struct call_filter *filter = &facts->filters[UNIT_WITHOUT];
    char names[CALL_NAMES_MAX];
    call_set calls;
    if (unit_calls_to_add(facts, &calls)) {
        call_set_names(calls, names);
        if (calls)
            output_note("%s lists the system calls it may make (SystemCallFilter=); the drop-in adds: %s", facts->name,
                        names);
        return CMD_DONE;
    }
    bool kills = call_filter_kills(filter);
    call_set_names(call_filter_missing(filter), names);
    (kills ? output_error : output_note)(
        "%s%s denies system calls that libweir.so makes (SystemCallFilter=), so it would %s; to allow them, `systemctl "
        "edit %s` and add there:\n  [Service]\n  SystemCallFilter=%s",
        kills ? "" : "warning: ", facts->name, kills ? "be killed" : "run UNPROTECTED", facts->name, names);
    return kills ? CMD_FAILED : CMD_DONE;
}

/* In one step, so that systemd never reads half of it. */
static int write_whole(const struct enable *enable, const char *text) {
    char temporary[PATH_MAX];
    size_t length = strlen(text);
    if (snprintf(temporary, sizeof temporary, "%s.new", enable->file) >= (int)sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, text, length);
    int error = written < 0 ? -errno : (size_t)written < length ? -ENOSPC : 0;
    if (error == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        error = -errno;
    if (close(fd) < 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(temporary, enable->file) < 0)
        error = -errno;
    if (error < 0)
        unlink(temporary);
    return error;
}

static int make_folders(const char *path) {
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        int length = slash ? (int)(slash - path) : (int)strlen(path);
        snprintf(part, sizeof part, "%.*s", length, path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        if (!slash)
            return 0;
    }
}

static int write_drop_in(const struct enable *enable, const struct unit_facts *facts, const char *library) {
    char app[LAYOUT_APP_NAME_MAX], base[UNIT_NAME_MAX];
    snprintf(base, sizeof base, "%.*s", (int)(strlen(facts->name) - strlen(".service")), facts->name);
    app_name_from(base, app, sizeof app);
    if (enable->app)
        snprintf(app, sizeof app, "%s", enable->app);
    char *text = unit_drop_in(facts, app, library);
    int error = text ? make_folders(enable->folder) : -ENOMEM;
    if (error == 0)
        error = write_whole(enable, text);
    free(text);
    if (error < 0) {
        rmdir(enable->folder); /* unless something else is in it */
        output_error("%s: %s%s", enable->file, strerror(-error),
                     error == -EACCES || error == -EPERM ? " (be root)" : "");
        return CMD_FAILED;
    }
    printf("%s: protected as app '%s' from its next start on\n  wrote %s\n", facts->name, app, enable->file);
    return CMD_DONE;
}

static int check_unit(const struct enable *enable, struct unit_facts *ret_facts) {
    int error = unit_read(enable->root, enable->name, ret_facts);
    if (error == 0)
        return CMD_DONE;
    const char *why = error == -ENOENT ? "no such unit" : error == -ERFKILL ? "the unit is masked" : strerror(-error);
    output_error("%s: %s", enable->name, why);
    return CMD_FAILED;
}

int cmd_enable(int argc, char **argv) {
    struct enable enable = {0};
    struct unit_facts facts = {0};
    char library[PATH_MAX];
    int status;
    if (parse(&enable, &enable_options, argc, argv, &status) < 0)
        return status;
    if (program_library(library, sizeof library) < 0 || !program_preloadable(library)) {
        output_error("%s: missing, or a path that LD_PRELOAD cannot contain; `make install` installs it", library);
        return CMD_FAILED;
    }
    status = check_unit(&enable, &facts);
    if (status == CMD_DONE)
        status = check_calls(&facts);
    if (status == CMD_DONE) {
        set_paths(&enable, facts.name);
        warn(&enable, &facts, library);
        status = write_drop_in(&enable, &facts, library);
    }
    if (status == CMD_DONE)
        status = reload_systemd(&enable);
    if (status == CMD_DONE)
        printf("  in force after: systemctl restart %s\n", facts.name);
    unit_clear(&facts);
    return status;
}

/* ------------------------------------------------------------------------------------------------- disable */

/* 1 if it was there, 0 if not, or -errno. */
static int remove_drop_in(struct enable *enable, const char *name) {
    set_paths(enable, name);
    if (unlink(enable->file) < 0)
        return errno == ENOENT ? 0 : -errno;
    rmdir(enable->folder); /* stays if it holds drop-ins of others */
    return 1;
}

int cmd_disable(int argc, char **argv) {
    struct enable enable = {0};
    struct unit_facts facts = {0};
    int status;
    if (parse(&enable, &disable_options, argc, argv, &status) < 0)
        return status;
    int removed = remove_drop_in(&enable, enable.name);
    /* it may have been enabled by an alias; and a unit that is gone can be disabled, too */
    if (removed == 0 && unit_read(enable.root, enable.name, &facts) == 0)
        removed = remove_drop_in(&enable, facts.name);
    unit_clear(&facts);
    if (removed < 0) {
        output_error("%s: %s%s", enable.file, strerror(-removed), removed == -EACCES ? " (be root)" : "");
        return CMD_FAILED;
    }
    if (removed == 0) {
        printf("%s: was not enabled\n", enable.name);
        return CMD_DONE;
    }
    printf("%s: no longer protected from its next start on\n  removed %s\n", enable.name, enable.file);
    return reload_systemd(&enable);
}
