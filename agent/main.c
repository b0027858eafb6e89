/* weir-agent: the service around the agent library. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/kernel/bpf.h"
#include "agent/config.h"
#include "agent/fd_store.h"
#include "agent/journal.h"
#include "agent/options.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static void log_line(void *context, int level, const char *message) {
    const struct config *config = context;
    if (level > (int)config->log_level)
        return;
    if (config->journal)
        fprintf(stderr, "<%d>%s\n", level, message);
    else
        fprintf(stderr, "weir-agent: %s\n", message);
}

static void log_record(void *context, const struct log_record *record) {
    const struct config *config = context;
    if (record->level > (int)config->log_level)
        return;
    if (!config->journal_fields || !journal_send(record))
        log_line(context, record->level, record->line);
}

static void print_errors(const struct rule_errors *errors) {
    for (size_t i = 0; i < errors->count; i++) {
        char *text = rule_error_text(&errors->list[i]);
        fprintf(stderr, "%s\n", text ? text : "out of memory");
        free(text);
    }
}

static int signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void reload(struct agent *agent) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reading the rules files",
               (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u);
    agent_reload(agent);
    sd_notifyf(0, "READY=1\nSTATUS=%s", agent_status_line(agent));
}

/* True: it is time to go. */
static bool take_signals(int signals, struct agent *agent) {
    struct signalfd_siginfo info;
    bool stop = false;
    while (read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            reload(agent);
        else
            stop = true;
    }
    return stop;
}

/* Reports changes of the agent's state to systemd, and feeds its watchdog. */
static void notify(struct agent *agent, uint64_t watchdog_us, char *reported, size_t size) {
    static uint64_t last_us;
    struct timespec now;
    const char *status = agent_status_line(agent);
    if (strcmp(reported, status) != 0) {
        snprintf(reported, size, "%s", status);
        sd_notifyf(0, "STATUS=%s", status);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    if (watchdog_us && now_us - last_us > watchdog_us / 3) {
        last_us = now_us;
        sd_notify(0, "WATCHDOG=1");
    }
}

static int serve(struct agent *agent, int signals) {
    uint64_t watchdog_us = 0;
    char reported[256] = "";
    sd_watchdog_enabled(0, &watchdog_us);
    sd_notifyf(0, "READY=1\nSTATUS=%s", agent_status_line(agent));
    for (;;) {
        struct pollfd wait[] = {{.fd = signals, .events = POLLIN}, {.fd = agent_fd(agent), .events = POLLIN}};
        if (poll(wait, 2, 1000) < 0 && errno != EINTR)
            return EXIT_FAILED;
        if (wait[0].revents && take_signals(signals, agent))
            return EXIT_DONE;
        int error = agent_step(agent, 0);
        if (error) {
            fprintf(stderr, "weir-agent: %s\n", strerror(-error));
            return EXIT_FAILED;
        }
        notify(agent, watchdog_us, reported, sizeof reported);
    }
}

static int run(struct config *config) {
    const struct sealed_store store = fd_store_open();
    struct agent_options options = {
        .run_dir = config->run_dir,
        .rule_paths = (const char *const *)config->rules,
        .rule_paths_count = config->rules_count,
        .group = config->group,
        .log_dir = config->log_dir,
        .state_dir = config->state_dir,
        .bpf = config->bpf,
        .bpf_dir = config->bpf_dir,
        .bpf_cgroup = config->bpf_cgroup,
        .store = &store,
        .log = {log_line, config, log_record},
    };
    int signals = signals_open(), error = 0;
    struct agent *agent = signals < 0 ? NULL : agent_open(&options, NULL, &error);
    if (!agent)
        return EXIT_FAILED;
    fd_store_close();
    int status = serve(agent, signals);
    sd_notify(0, "STOPPING=1");
    agent_close(agent);
    return status;
}

int main(int argc, char **argv) {
    struct config config;
    struct rule_errors errors = {0};
    int status = EXIT_USAGE;
    config_defaults(&config);
    config.journal_fields = journal_is_ours();
    enum options_result what = options_parse(argc, argv, &config, &errors);
    print_errors(&errors);
    if (what == OPTIONS_RUN)
        status = run(&config);
    else if (what == OPTIONS_CHECK)
        status = options_check(&config) ? EXIT_DONE : EXIT_USAGE;
    else if (what == OPTIONS_UNINSTALL)
        status = !config.bpf_dir || bpf_uninstall(config.bpf_dir) ? EXIT_DONE : EXIT_FAILED;
    else if (what == OPTIONS_DONE)
        status = EXIT_DONE;
    rule_errors_clear(&errors);
    config_clear(&config);
    return status;
}
