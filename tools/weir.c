/* `weir`: finds the subcommand.  One table; each subcommand is a file of its own. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/suggest.h"
#include "tools/output.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "run a program under protection, with an agent of its own", cmd_run},
    {"check", "check rules files, as the agent would", cmd_check},
    {"import", "convert the configuration of Sentinel or another product to rules", cmd_import},
    {"explain", "show which resources and rules a request would meet", cmd_explain},
    {"replay", "run a trace through the engine on a virtual clock", cmd_replay},
    {"status", "apps, processes, rules files and their errors", cmd_status},
    {"top", "live metrics, one line per resource", cmd_top},
    {"events", "what happened: rules, processes, circuits, rejections", cmd_events},
    {"why", "explain a rejection by the id in its response", cmd_why},
    {"ports", "listening ports, their traffic, and what protects them", cmd_ports},
    {"off", "emergency switch: let all traffic of an app pass, at once", cmd_off},
    {"on", "revert `weir off`: rules are in force again", cmd_on},
    {"enable", "protect a systemd unit", cmd_enable},
    {"disable", "undo `weir enable`", cmd_disable},
    {"doctor", "find processes that are not protected, with cause and remedy", cmd_doctor},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    puts("Usage: weir COMMAND [OPTION]… [ARG]…\n\n"
         "Rate limits, circuit breakers and overload protection for unmodified programs.\n\nCommands:");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-10s%s\n", commands[i].name, commands[i].summary);
    puts("\nMore: `weir COMMAND --help`, `man weir-COMMAND`; `weir --version`.\n\n"
         "Examples:\n"
         "  weir run -r rules.json -- nginx -g 'daemon off;'\n"
         "  weir check rules.json\n"
         "  weir top\n\n"
         "Exit status: 0 done, 1 failed, 2 usage error or invalid rules,\n"
         "             69 no agent can be reached.");
}

/* Descriptors 0, 1, 2 that the caller closed would otherwise be taken by one of our sockets, and printed into.  The
 * stand-ins are the wrong way round, so that use fails, and close on exec, so that a program we run finds them closed.
 */
static void fill_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd)
            return;
    }
}

static int find_command(const char *name) {
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return i;
    }
    return -1;
}

static int unknown_command(const char *name) {
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    int near = suggest_nearest(name, names, COMMANDS);
    if (near >= 0) {
        output_error("unknown %s '%s'; did you mean '%s'?", name[0] == '-' ? "option" : "command", name, names[near]);
    } else {
        output_error("unknown %s '%s'; `weir --help` lists them", name[0] == '-' ? "option" : "command", name);
    }
    return CMD_USAGE;
}

static int run_command(int argc, char **argv) {
    int index = find_command(argv[0]);
    if (index < 0)
        return unknown_command(argv[0]);
    output_command(argv[0]);
    return commands[index].run(argc, argv);
}

static int dispatch(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        output_error("no command given; `weir --help` lists them");
        return CMD_USAGE;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("weir " WEIR_VERSION);
        return CMD_DONE;
    }
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (help && argc > 2) {
        char *of[] = {argv[2], "--help", NULL};
        return run_command(2, of);
    }
    if (help) {
        print_help();
        return CMD_DONE;
    }
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    fill_standard_descriptors();
    output_start();
    setlocale(LC_CTYPE, "");
    return output_finish(dispatch(argc, argv));
}
