#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/apps/app.h"
#include "agent/apps/app_cpu.h"
#include "agent/apps/attach_server.h"
#include "agent/control/control.h"
#include "agent/core/bus.h"
#include "agent/core/errors.h"
#include "agent/core/loop.h"
#include "agent/core/worker.h"
#include "agent/kernel/bpf.h"
#include "agent/kernel/callers.h"
#include "agent/kernel/guard.h"
#include "agent/kernel/ports.h"
#include "agent/kernel/unseen.h"
#include "agent/metrics/block_log.h"
#include "agent/metrics/event_log.h"
#include "agent/metrics/event_store.h"
#include "agent/process/cpu.h"
#include "agent/rules/history.h"
#include "agent/rules/rule_dir.h"
#include "rules/snapshot.h"

#define MS 1000000u
static const uint64_t SECOND_NS = 1000u * MS, GROWTH_NS = 100u * MS, SAMPLE_NS = 500u * MS;
static const char LOCK_FILE[] = "agent.lock";
enum { EMBEDDED_EVENTS = 1 << 20 }; /* bytes: the folder of a run is in memory */

struct agent { /* its parts; each is given what it needs of the others in wire() */
    struct agent_options options;
    char *run_dir;
    int directory;       /* descriptor of run_dir */
    int state_directory; /* descriptor of the state directory, or -1 */
    int lock;
    gid_t group; /* (gid_t)-1 = none */
    struct log log;
    struct loop loop;
    struct bus bus;
    struct worker worker;
    struct loop_timer second_timer; /* at the end of each second */
    struct loop_timer growth_timer; /* between them, while there is traffic */
    struct loop_timer sample_timer; /* CPU and load */
    struct rule_dir rules;
    struct history history;
    struct app_list apps;
    struct attach_server attach;
    struct rejections recent;
    struct event_log event_log;
    struct event_store events;
    struct block_log block_log;
    struct cpu cpu;
    struct ebpf *ebpf;
    struct agent_guard guard;
    struct callers callers;
    struct unseen unseen;
    struct control_sources sources;
    struct control control;
    char status[256];
};

/* Who hears of events, in this order: a line each. */
static const struct {
    const char *name;
    void (*take)(void *context, const struct bus_event *);
    size_t context; /* offset in struct agent */
} SUBSCRIBERS[] = {
    {"log", event_log_take, offsetof(struct agent, event_log)},
    {"event store", event_store_take, offsetof(struct agent, events)},
    {"block log", block_log_take, offsetof(struct agent, block_log)},
    {"history", history_take, offsetof(struct agent, history)},
    {"guard", guard_take, offsetof(struct agent, guard)},
    {"callers", callers_take, offsetof(struct agent, callers)},
};
_Static_assert(sizeof SUBSCRIBERS / sizeof *SUBSCRIBERS <= BUS_SUBSCRIBERS_MAX, "they fit on the bus");

/* ------------------------------------------------------------------------------------------------------ the seconds */

static uint64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* The next boundary of a second by the wall clock, on the monotonic one; if the clock is set, one second is
 * short. */
static uint64_t next_second(void) {
    uint64_t wall = wall_ns();
    return loop_now_ns() + SECOND_NS - wall % SECOND_NS;
}

static void second_ended(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, second_timer);
    uint64_t now_ns = loop_now_ns();
    bool traffic = false;
    agent->apps.second = (wall_ns() + SECOND_NS / 2) / SECOND_NS - 1; /* the one that ended just now */
    app_tick_all(&agent->apps, now_ns);
    guard_tick(&agent->guard, now_ns);
    unseen_look(&agent->unseen);
    ports_tick(agent->ebpf, &agent->worker, agent->apps.second);
    app_report_rejections_all(&agent->apps);
    struct bus_event event = {.kind = BUS_SECOND};
    event.second = agent->apps.second;
    bus_publish(&agent->bus, &event);
    for (const struct app *app = agent->apps.first; app; app = app->next)
        traffic |= app->metrics.traffic;
    if (traffic)
        loop_timer_by(&agent->growth_timer, now_ns + GROWTH_NS);
    loop_timer_set(timer, next_second());
}

static void growth_due(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, growth_timer);
    if (app_follow_all(&agent->apps))
        loop_timer_set(timer, loop_now_ns() + GROWTH_NS);
}

static void sample_due(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, sample_timer);
    double cpu, load1;
    cpu_sample(&agent->cpu, &cpu, &load1);
    for (struct app *app = agent->apps.first; app; app = app->next) {
        double app_cpu = app_cpu_sample(app, loop_now_ns());
        const struct app_cpu_figures *figures = app_cpu_figures(app);
        snapshot_set_cpus_used(app->memory.rules, figures ? figures->cpus_used : -1);
        snapshot_set_load(app->memory.rules, cpu, load1, app_cpu);
    }
    app_follow_all(&agent->apps); /* of a second that began without traffic */
    loop_timer_set(timer, loop_now_ns() + SAMPLE_NS);
}

/* ---------------------------------------------------------------------------------------------------- rules changed */

static void report_file(const struct agent *agent, enum bus_kind kind, const char *path, bool has_good) {
    struct bus_event event = {.kind = kind};
    event.file.path = path;
    event.file.has_good = has_good;
    bus_publish(&agent->bus, &event);
}

static void report_file_errors(const struct agent *agent, const struct rule_file *file) {
    for (size_t i = 0; i < file->errors.count; i++) {
        struct bus_event event = {.kind = BUS_RULES_ERROR, .rule_error = &file->errors.list[i]};
        bus_publish(&agent->bus, &event);
    }
    if (file->errors.count)
        report_file(agent, BUS_FILE_REFUSED, file->path, file->good != NULL);
    if (file->good && !rule_dir_app(&agent->rules, file))
        report_file(agent, BUS_FILE_WITHOUT_APP, file->path, true);
}

static void rules_changed(struct rule_dir *rules) {
    struct agent *agent = LOOP_OWNER(rules, struct agent, rules);
    struct bus_event event = {.kind = BUS_RULES_CHANGED};
    app_update_all(&agent->apps);
    bus_publish(&agent->bus, &event);
    for (size_t i = 0; i < rules->count; i++) {
        struct rule_file *file = rules->files[i];
        if (file->reported_hash != file->text_hash && file->settled)
            report_file_errors(agent, file);
        file->reported_hash = file->settled ? file->text_hash : file->reported_hash;
    }
}

void agent_reload(struct agent *agent) {
    for (size_t i = 0; i < agent->rules.count; i++)
        agent->rules.files[i]->reported_hash = 0;
    rule_dir_reload(&agent->rules);
}

/* -------------------------------------------------------------------------------------------------------- the start */

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* a pidfd per process; what cannot be raised does for fewer */
    }
}

static int find_group(struct agent *agent) {
    agent->group = (gid_t)-1;
    if (!agent->options.group)
        return 0;
    const struct group *group = getgrnam(agent->options.group);
    if (!group) {
        log_say(&agent->log, LOG_LEVEL_ERROR, "no group named \"%s\"", agent->options.group);
        return -ENOENT;
    }
    agent->group = group->gr_gid;
    return 0;
}

/* 0751: every process may reach the socket, only the group may look around. */
static int open_run_dir(struct agent *agent) {
    struct stat status;
    bool made = mkdir(agent->run_dir, 0751) == 0;
    if (!made && errno != EEXIST) {
        int error = -errno;
        log_say(&agent->log, LOG_LEVEL_ERROR, "cannot make %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    agent->directory = open(agent->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (agent->directory < 0 || fstat(agent->directory, &status) < 0) {
        int error = -errno;
        log_say(&agent->log, LOG_LEVEL_ERROR, "cannot open %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    if (status.st_mode & S_IWOTH) {
        log_say(&agent->log, LOG_LEVEL_ERROR, "%s is writable by all users: use a directory of the agent's own",
                agent->run_dir);
        return -EPERM;
    }
    if (made || status.st_uid == geteuid())
        fchmod(agent->directory, 0751);
    if (agent->group != (gid_t)-1 && status.st_gid != agent->group &&
        fchown(agent->directory, (uid_t)-1, agent->group) < 0)
        log_say(&agent->log, LOG_LEVEL_WARNING,
                "%s cannot be given to the group %s: %s; only root and user %u can use the control socket",
                agent->run_dir, agent->options.group, strerror(errno), (unsigned)geteuid());
    return 0;
}

/* It is no reason not to serve if windows cannot be kept. */
static void open_state_dir(struct agent *agent) {
    const char *path = agent->options.state_dir;
    struct stat status;
    if (!path)
        return;
    mkdir(path, 0700);
    agent->state_directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *why = agent->state_directory < 0 || fstat(agent->state_directory, &status) < 0 ? strerror(errno)
                      : status.st_mode & S_IWOTH ? "all users may write to it"
                                                 : NULL;
    if (!why)
        return;
    log_say(&agent->log, LOG_LEVEL_ERROR, "state directory %s: %s; long windows are not kept", path, why);
    if (agent->state_directory >= 0)
        close(agent->state_directory);
    agent->state_directory = -1;
}

static int take_lock(struct agent *agent) {
    agent->lock = openat(agent->directory, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (agent->lock < 0) {
        int error = -errno;
        log_say(&agent->log, LOG_LEVEL_ERROR, "cannot write in %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    if (flock(agent->lock, LOCK_EX | LOCK_NB) < 0) {
        log_say(&agent->log, LOG_LEVEL_ERROR, "another agent already serves %s", agent->run_dir);
        return -EBUSY;
    }
    return 0;
}

static int open_sockets(struct agent *agent) {
    int error = attach_server_open(&agent->attach, &agent->apps);
    if (!error)
        error = control_open(&agent->control, &agent->sources, agent->group);
    if (error == -ENAMETOOLONG)
        log_say(&agent->log, LOG_LEVEL_ERROR, "%s: this path is too long for a socket in it (108 bytes in all)",
                agent->run_dir);
    else if (error)
        log_say(&agent->log, LOG_LEVEL_ERROR, "no socket in %s: %s", agent->run_dir, strerror(-error));
    return error;
}

static void hand_over_errors(const struct agent *agent, struct rule_errors *errors) {
    for (size_t i = 0; errors && i < agent->rules.count; i++)
        errors_copy(errors, &agent->rules.files[i]->errors);
    for (const struct app *app = agent->apps.first; errors && app; app = app->next)
        errors_copy(errors, &app->errors);
}

bool agent_has_errors(const struct agent *agent) {
    bool any = false;
    for (size_t i = 0; i < agent->rules.count; i++)
        any |= agent->rules.files[i]->errors.count > 0 || !rule_dir_app(&agent->rules, agent->rules.files[i]);
    for (const struct app *app = agent->apps.first; app; app = app->next)
        any |= app->errors.count > 0;
    return any;
}

size_t agent_rule_files(const struct agent *agent) {
    return agent->rules.count;
}

static int open_rules(struct agent *agent, struct rule_errors *errors) {
    app_inherit_all(&agent->apps);
    int error = rule_dir_open(&agent->rules, &agent->loop, agent->options.rule_paths, agent->options.rule_paths_count,
                              rules_changed);
    if (error) {
        log_say(&agent->log, LOG_LEVEL_ERROR, "cannot watch the rules files: %s", strerror(-error));
        return error;
    }
    agent->rules.default_app = agent->options.app;
    for (size_t i = 0; i < agent->rules.missing_count; i++)
        report_file(agent, BUS_FILE_MISSING, agent->rules.missing[i], false);
    rules_changed(&agent->rules);
    hand_over_errors(agent, errors);
    return agent->options.strict_start && agent_has_errors(agent) ? -EINVAL : 0;
}

static void reload(void *context) {
    agent_reload(context);
}

/* Each part gets what it needs of the others; nothing happens yet. */
static void wire(struct agent *agent) {
    const struct agent_options *options = &agent->options;
    for (size_t i = 0; i < sizeof SUBSCRIBERS / sizeof *SUBSCRIBERS; i++) {
        void *context = (char *)agent + SUBSCRIBERS[i].context;
        bus_subscribe(&agent->bus, (struct bus_subscriber){SUBSCRIBERS[i].name, SUBSCRIBERS[i].take, context});
    }
    agent->history.rules = &agent->rules;
    event_log_open(&agent->event_log, &agent->log);
    int folder = agent->state_directory >= 0 ? agent->state_directory : agent->directory;
    event_store_open(&agent->events, folder, &agent->bus, options->embedded ? EMBEDDED_EVENTS : EVENT_STORE_BYTES);
    agent->apps = (struct app_list){
        .loop = &agent->loop,
        .bus = &agent->bus,
        .rules = &agent->rules,
        .recent = &agent->recent,
        .directory = agent->directory,
        .run_dir = agent->run_dir,
        .state_directory = agent->state_directory,
        .own = options->embedded ? options->app : NULL,
        .store = options->store,
    };
    const struct agent_guard guard = {
        .ebpf = agent->ebpf,
        .apps = &agent->apps,
        .bus = &agent->bus,
        .worker = &agent->worker,
        .proc = options->proc ? options->proc : "/proc",
    };
    guard_open(&agent->guard, &guard);
    agent->callers = (struct callers){.ebpf = agent->ebpf, .apps = &agent->apps, .bus = &agent->bus};
    agent->unseen = (struct unseen){
        .ebpf = agent->ebpf, .apps = &agent->apps, .bus = &agent->bus, .worker = &agent->worker};
    agent->sources = (struct control_sources){
        .worker = &agent->worker,
        .run_dir = agent->run_dir,
        .since = time(NULL),
        .embedded = options->embedded,
        .apps = &agent->apps,
        .rules = &agent->rules,
        .attach = &agent->attach,
        .history = &agent->history,
        .recent = &agent->recent,
        .ebpf = agent->ebpf,
        .guard = &agent->guard,
        .callers = &agent->callers,
        .unseen = &agent->unseen,
        .events = &agent->events,
        .reload = reload,
        .context = agent,
    };
}

static int open_bpf(struct agent *agent) {
    const struct agent_options *options = &agent->options;
    const struct bpf_settings settings = {
        .mode = options->bpf,
        .pin_root = options->bpf_dir,
        .cgroup = options->bpf_cgroup,
        .off_why = options->embedded ? "not asked for: weir run --bpf" : "switched off",
    };
    return bpf_open(&settings, &agent->log, &agent->ebpf);
}

static int start(struct agent *agent, struct rule_errors *errors) {
    int error = find_group(agent);
    if (!error)
        error = open_run_dir(agent);
    if (!error)
        error = take_lock(agent);
    if (!error)
        error = loop_open(&agent->loop);
    if (!error)
        error = worker_open(&agent->worker, &agent->loop);
    if (!error)
        error = open_bpf(agent);
    if (!error)
        error = block_log_open(&agent->block_log, agent->options.log_dir);
    if (error)
        return error;
    open_state_dir(agent);
    wire(agent);
    loop_timer_add(&agent->loop, &agent->second_timer, second_ended);
    loop_timer_add(&agent->loop, &agent->growth_timer, growth_due);
    loop_timer_add(&agent->loop, &agent->sample_timer, sample_due);
    loop_timer_set(&agent->second_timer, next_second());
    loop_timer_set(&agent->sample_timer, loop_now_ns());
    error = open_rules(agent, errors);
    return error ? error : open_sockets(agent); /* a process that connects finds the rules in place */
}

struct agent *agent_open(const struct agent_options *options, struct rule_errors *errors, int *ret_error) {
    struct agent *agent = calloc(1, sizeof *agent);
    if (agent) {
        agent->options = *options;
        agent->directory = agent->state_directory = agent->apps.state_directory = -1;
        agent->lock = agent->loop.epoll = agent->loop.timer_fd = -1;
        agent->rules.watch.source.fd = agent->events.directory = agent->events.fd = -1;
        agent->log = options->log;
        agent->run_dir = strdup(options->run_dir);
    }
    if (!agent || !agent->run_dir) {
        free(agent);
        *ret_error = -ENOMEM;
        return NULL;
    }
    raise_descriptor_limit();
    *ret_error = start(agent, errors);
    if (*ret_error == 0)
        return agent;
    agent_close(agent);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------- in service */

int agent_fd(const struct agent *agent) {
    return agent->loop.epoll;
}

int agent_step(struct agent *agent, int timeout_ms) {
    return loop_step(&agent->loop, timeout_ms);
}

const char *agent_status_line(struct agent *agent) {
    unsigned apps = 0, processes = 0, errors = 0;
    for (const struct app *app = agent->apps.first; app; app = app->next) {
        apps++;
        processes += app->clients.count;
        errors += app->errors.count > 0;
    }
    for (size_t i = 0; i < agent->rules.count; i++)
        errors += agent->rules.files[i]->errors.count > 0 || !rule_dir_app(&agent->rules, agent->rules.files[i]);
    int length = snprintf(agent->status, sizeof agent->status, "%u %s, %u %s, %zu rules %s", apps,
                          apps == 1 ? "app" : "apps", processes, processes == 1 ? "process" : "processes",
                          agent->rules.count, agent->rules.count == 1 ? "file" : "files");
    if (errors)
        snprintf(agent->status + length, sizeof agent->status - (size_t)length, ", %u with errors: see `weir status`",
                 errors);
    return agent->status;
}

static void remove_run_dir(struct agent *agent) {
    static const char *const names[] = {ATTACH_SOCKET, CONTROL_SOCKET, EVENT_STORE_FILE, EVENT_STORE_BEFORE, LOCK_FILE};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(agent->directory, names[i], 0);
    rmdir(agent->run_dir); /* stays if something else is in it */
}

bool agent_pause(struct agent *agent) {
    return worker_pause(&agent->worker);
}

void agent_close(struct agent *agent) {
    bool serving = server_is_open(&agent->control.server);
    bool idle = worker_close(&agent->worker);
    attach_server_close(&agent->attach);
    control_close(&agent->control);
    app_close_all(&agent->apps, agent->options.embedded);
    history_close(&agent->history);
    if (agent->rules.watch.source.fd >= 0)
        rule_dir_close(&agent->rules, &agent->loop);
    event_log_close(&agent->event_log);
    event_store_close(&agent->events);
    block_log_close(&agent->block_log);
    rejections_close(&agent->recent);
    guard_close(&agent->guard);
    unseen_close(&agent->unseen);
    if (idle) /* else it is still being read */
        bpf_close(agent->ebpf);
    loop_close(&agent->loop);
    if (agent->options.embedded && serving)
        remove_run_dir(agent);
    if (agent->lock >= 0)
        close(agent->lock);
    if (agent->directory >= 0)
        close(agent->directory);
    if (agent->state_directory >= 0)
        close(agent->state_directory);
    free(agent->run_dir);
    free(agent);
}
