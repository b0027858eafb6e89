#include "agent/options.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/rules/validate.h"
#include "ebpf/pins.h"

static const char HELP[] =
    "usage: weir-agent [-c FILE] [-r PATH]... [--run-dir DIR] [--group GROUP] [-n]\n"
    "\n"
    "Publishes rules to the programs on this host that run with libweir.so, and collects their metrics.\n"
    "\n"
    "  -c, --config FILE   configuration (default " CONFIG_FILE ", if it exists)\n"
    "  -r, --rules PATH    rules file or directory of *.json; may be repeated; replaces the list in the\n"
    "                      configuration (default /etc/weir/rules.d)\n"
    "      --run-dir DIR   sockets and shared memory (default $WEIR_RUN_DIR or /run/weir)\n"
    "      --group GROUP   group that may use the control socket, in addition to root and the agent's user\n"
    "      --log-dir DIR   directory of weir-block.log (default: none)\n"
    "      --state-dir DIR where windows of a minute and more are saved (default: none)\n"
    "      --bpf MODE      kernel programs: auto (as far as possible; the default), off, required\n"
    "      --bpf-dir DIR   where they are pinned (default " PINS_ROOT ")\n"
    "      --bpf-cgroup DIR  cgroup v2 directory that they count (default: the whole host)\n"
    "      --debug         log more\n"
    "  -n, --check         check the configuration and the rules, and exit: 0 if valid, else 2\n"
    "      --uninstall     remove everything pinned in the kernel, and exit\n"
    "      --version       print the version\n"
    "      --help          print this\n"
    "\n"
    "SIGHUP makes the agent read all files again; it is not needed after an edit of a rules file.\n"
    "\n"
    "examples:\n"
    "  weir-agent -r ./rules.json --run-dir /tmp/me/weir     next to the system's agent, without privileges\n"
    "  weir-agent -n && systemctl reload weir-agent\n";

enum {
    OPTION_RUN_DIR = 256,
    OPTION_GROUP,
    OPTION_LOG_DIR,
    OPTION_STATE_DIR,
    OPTION_BPF,
    OPTION_BPF_DIR,
    OPTION_BPF_CGROUP,
    OPTION_UNINSTALL,
    OPTION_DEBUG,
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option LONG[] = {
    {"config", required_argument, NULL, 'c'},
    {"rules", required_argument, NULL, 'r'},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"group", required_argument, NULL, OPTION_GROUP},
    {"log-dir", required_argument, NULL, OPTION_LOG_DIR},
    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
    {"bpf", required_argument, NULL, OPTION_BPF},
    {"bpf-dir", required_argument, NULL, OPTION_BPF_DIR},
    {"bpf-cgroup", required_argument, NULL, OPTION_BPF_CGROUP},
    {"uninstall", no_argument, NULL, OPTION_UNINSTALL},
    {"debug", no_argument, NULL, OPTION_DEBUG},
    {"check", no_argument, NULL, 'n'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static bool take_option(struct config *config, int option, bool *own_rules) {
    switch (option) {
    case 'r':
        if (!*own_rules)
            config_clear_rules(config);
        *own_rules = true;
        return config_add_rules(config, optarg);
    case OPTION_RUN_DIR: return config_set(&config->run_dir, optarg);
    case OPTION_GROUP: return config_set(&config->group, optarg);
    case OPTION_LOG_DIR: return config_set(&config->log_dir, optarg);
    case OPTION_STATE_DIR: return config_set(&config->state_dir, optarg);
    case OPTION_BPF_DIR: return config_set(&config->bpf_dir, optarg);
    case OPTION_BPF_CGROUP: return config_set(&config->bpf_cgroup, optarg);
    case OPTION_BPF: (void)config_set_bpf(config, optarg); return true; /* find_file() has looked at it */
    case OPTION_DEBUG: config->log_level = LOG_LEVEL_DEBUG; return true;
    default: return true;
    }
}

static bool bpf_word(const char *where, const char *word) {
    struct config unused = {0};
    if (config_set_bpf(&unused, word))
        return true;
    fprintf(stderr, "weir-agent: %s: expected auto, off or required, got \"%s\"\n", where, word);
    return false;
}

/* The configuration file first, whatever the order of the options: they win over it. */
static enum options_result find_file(int argc, char **argv, const char **ret_file) {
    enum options_result what = OPTIONS_RUN;
    for (int option; (option = getopt_long(argc, argv, "c:r:n", LONG, NULL)) != -1;) {
        if (option == 'c')
            *ret_file = optarg;
        else if (option == 'n')
            what = OPTIONS_CHECK;
        else if (option == OPTION_UNINSTALL)
            what = OPTIONS_UNINSTALL;
        else if (option == OPTION_BPF && !bpf_word("--bpf", optarg))
            return OPTIONS_WRONG;
        else if (option == OPTION_HELP) {
            fputs(HELP, stdout);
            return OPTIONS_DONE;
        } else if (option == OPTION_VERSION) {
            printf("weir-agent %s\n", WEIR_VERSION);
            return OPTIONS_DONE;
        } else if (option == '?') {
            fputs("weir-agent --help explains the options\n", stderr);
            return OPTIONS_WRONG;
        }
    }
    if (optind == argc)
        return what;
    fprintf(stderr, "weir-agent: unexpected argument \"%s\"; rules files are given with -r\n", argv[optind]);
    return OPTIONS_WRONG;
}

enum options_result options_parse(int argc, char **argv, struct config *config, struct rule_errors *errors) {
    const char *file = NULL;
    bool own_rules = false;
    enum options_result what = find_file(argc, argv, &file);
    if (what == OPTIONS_DONE || what == OPTIONS_WRONG)
        return what;
    if (!config_load(config, file ? file : CONFIG_FILE, file != NULL, errors))
        return OPTIONS_WRONG;
    const char *run_dir = getenv("WEIR_RUN_DIR"); /* the programs that are to find us look there */
    const char *bpf = getenv("WEIR_BPF");
    if (bpf && bpf[0] && !bpf_word("WEIR_BPF", bpf))
        return OPTIONS_WRONG;
    if (bpf && bpf[0])
        (void)config_set_bpf(config, bpf);
    bool memory = !run_dir || !run_dir[0] || config_set(&config->run_dir, run_dir);
    optind = 1;
    for (int option; memory && (option = getopt_long(argc, argv, "c:r:n", LONG, NULL)) != -1;)
        memory = take_option(config, option, &own_rules);
    if (memory)
        return what;
    fputs("weir-agent: out of memory\n", stderr);
    return OPTIONS_WRONG;
}

bool options_check(const struct config *config) {
    struct rule_errors errors = {0};
    size_t apps = 0, files = 0;
    bool good = validate_paths((const char *const *)config->rules, config->rules_count, &apps, &files, &errors);
    for (size_t i = 0; i < errors.count; i++) {
        char *text = rule_error_text(&errors.list[i]);
        fprintf(stderr, "%s\n", text ? text : "out of memory");
        free(text);
    }
    rule_errors_clear(&errors);
    if (good)
        printf("%zu rules %s of %zu %s: no errors\n", files, files == 1 ? "file" : "files", apps,
               apps == 1 ? "app" : "apps");
    return good;
}
