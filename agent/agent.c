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

#include "agent/kernel/callers.h"
#include "agent/core/errors.h"
#include "agent/metrics/events.h"
#include "agent/internal.h"
#include "rules/snapshot.h"

#define MS 1000000u
static const uint64_t SECOND_NS = 1000u * MS, GROWTH_NS = 100u * MS, SAMPLE_NS = 500u * MS;
static const char LOCK_FILE[] = "agent.lock";

void agent_say(const struct agent *agent, int level, const char *format, ...) {
    char message[1024];
    va_list arguments;
    if (!agent->options.log)
        return;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    agent->options.log(agent->options.log_context, level, message);
}

uint64_t agent_engine_now_ns(const struct app *app) {
    return loop_now_ns() + app->memory.counters->clock_offset_ns;
}

/* ------------------------------------------------------------------------------------------------------ the seconds */

static uint64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* The next boundary of a second by the wall clock, on the monotonic one; if somebody sets the clock, one second is
 * short. */
static uint64_t next_second(void) {
    uint64_t wall = wall_ns();
    return loop_now_ns() + SECOND_NS - wall % SECOND_NS;
}

static void second_ended(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, second_timer);
    uint64_t now_ns = loop_now_ns();
    bool traffic = false;
    agent->second = (wall_ns() + SECOND_NS / 2) / SECOND_NS - 1; /* the one that ended just now */
    app_tick_all(agent, now_ns);
    guard_tick(agent, now_ns);
    unseen_look(agent);
    ports_tick(agent);
    for (struct app *app = agent->apps; app; app = app->next) {
        traffic |= app->metrics.traffic;
        if (app->metrics.blocks)
            block_log_add(&agent->block_log, app, &app->hits_seen, agent->second);
    }
    block_log_flush(&agent->block_log);
    attach_server_tick(&agent->attach, now_ns);
    control_tick(&agent->control, now_ns);
    if (traffic)
        loop_timer_by(&agent->growth_timer, now_ns + GROWTH_NS);
    loop_timer_set(timer, next_second());
}

/* Between the seconds, while there is traffic: names and cells can come fast, and state changes are told at once. */
static void growth_due(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, growth_timer);
    bool traffic = false;
    for (struct app *app = agent->apps; app; app = app->next) {
        events_tell(app);
        rejections_take(app);
        if (!app->metrics.traffic)
            continue;
        traffic = true;
        app_grow(app);
    }
    if (traffic)
        loop_timer_set(timer, loop_now_ns() + GROWTH_NS);
}

static void sample_due(struct loop_timer *timer) {
    struct agent *agent = LOOP_OWNER(timer, struct agent, sample_timer);
    double cpu, load1;
    cpu_sample(&agent->cpu, &cpu, &load1);
    for (struct app *app = agent->apps; app; app = app->next)
        snapshot_set_load(app->memory.rules, cpu, load1);
    loop_timer_set(timer, loop_now_ns() + SAMPLE_NS);
}

/* ---------------------------------------------------------------------------------------------------- rules changed */

static void tell_file_errors(const struct agent *agent, const struct rule_file *file) {
    for (size_t i = 0; i < file->errors.count; i++) {
        char *text = rule_error_text(&file->errors.list[i]);
        agent_say(agent, AGENT_LOG_ERROR, "%s", text ? text : "out of memory");
        free(text);
    }
    if (file->errors.count)
        agent_say(agent, AGENT_LOG_ERROR, "%s: %s", file->path,
                  file->good ? "its last good rules stay in force" : "not in force until it is mended");
    if (file->good && !app_of_file(agent, file))
        agent_say(agent, AGENT_LOG_ERROR, "%s: error: %s", file->path, RULE_FILE_NAMES_NO_APP);
}

static void rules_changed(struct rule_dir *rules) {
    struct agent *agent = LOOP_OWNER(rules, struct agent, rules);
    app_update_all(agent);
    guard_update(agent);
    callers_update(agent);
    for (size_t i = 0; i < rules->count; i++) {
        struct rule_file *file = rules->files[i];
        if (file->told_hash != file->text_hash && file->settled)
            tell_file_errors(agent, file);
        file->told_hash = file->settled ? file->text_hash : file->told_hash;
    }
}

void agent_reload(struct agent *agent) {
    for (size_t i = 0; i < agent->rules.count; i++)
        agent->rules.files[i]->told_hash = 0;
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
        agent_say(agent, AGENT_LOG_ERROR, "no group named \"%s\"", agent->options.group);
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
        agent_say(agent, AGENT_LOG_ERROR, "cannot make %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    agent->directory = open(agent->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (agent->directory < 0 || fstat(agent->directory, &status) < 0) {
        int error = -errno;
        agent_say(agent, AGENT_LOG_ERROR, "cannot open %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    if (status.st_mode & S_IWOTH) {
        agent_say(agent, AGENT_LOG_ERROR, "%s is writable by everybody: use a directory of the agent's own",
                  agent->run_dir);
        return -EPERM;
    }
    if (made || status.st_uid == geteuid())
        fchmod(agent->directory, 0751);
    if (agent->group != (gid_t)-1 && status.st_gid != agent->group &&
        fchown(agent->directory, (uid_t)-1, agent->group) < 0)
        agent_say(agent, AGENT_LOG_WARNING,
                  "%s cannot be given to the group %s: %s; only root and user %u can use the control socket",
                  agent->run_dir, agent->options.group, strerror(errno), (unsigned)geteuid());
    return 0;
}

static int take_lock(struct agent *agent) {
    agent->lock = openat(agent->directory, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (agent->lock < 0) {
        int error = -errno;
        agent_say(agent, AGENT_LOG_ERROR, "cannot write in %s: %s", agent->run_dir, strerror(-error));
        return error;
    }
    if (flock(agent->lock, LOCK_EX | LOCK_NB) < 0) {
        agent_say(agent, AGENT_LOG_ERROR, "another agent already serves %s", agent->run_dir);
        return -EBUSY;
    }
    return 0;
}

static int open_sockets(struct agent *agent) {
    int error = attach_server_open(&agent->attach, agent);
    if (!error)
        error = control_open(&agent->control, agent);
    if (error == -ENAMETOOLONG)
        agent_say(agent, AGENT_LOG_ERROR, "%s: this path is too long for a socket in it (108 bytes in all)",
                  agent->run_dir);
    else if (error)
        agent_say(agent, AGENT_LOG_ERROR, "no socket in %s: %s", agent->run_dir, strerror(-error));
    return error;
}

static void hand_over_errors(const struct agent *agent, struct rule_errors *errors) {
    for (size_t i = 0; errors && i < agent->rules.count; i++)
        errors_copy(errors, &agent->rules.files[i]->errors);
    for (const struct app *app = agent->apps; errors && app; app = app->next)
        errors_copy(errors, &app->errors);
}

static bool any_errors(const struct agent *agent) {
    bool any = false;
    for (size_t i = 0; i < agent->rules.count; i++)
        any |= agent->rules.files[i]->errors.count > 0 || !app_of_file(agent, agent->rules.files[i]);
    for (const struct app *app = agent->apps; app; app = app->next)
        any |= app->errors.count > 0;
    return any;
}

bool agent_has_errors(const struct agent *agent) {
    return any_errors(agent);
}

static void tell_missing(const struct agent *agent) {
    for (size_t i = 0; i < agent->rules.missing_count; i++)
        agent_say(agent, AGENT_LOG_WARNING, "%s: no such file or directory; it is taken up as soon as it appears",
                  agent->rules.missing[i]);
}

static int open_rules(struct agent *agent, struct rule_errors *errors) {
    app_inherit_all(agent);
    int error = rule_dir_open(&agent->rules, &agent->loop, agent->options.rule_paths, agent->options.rule_paths_count,
                              rules_changed);
    if (error) {
        agent_say(agent, AGENT_LOG_ERROR, "cannot watch the rules files: %s", strerror(-error));
        return error;
    }
    tell_missing(agent);
    rules_changed(&agent->rules);
    hand_over_errors(agent, errors);
    return agent->options.strict_start && any_errors(agent) ? -EINVAL : 0;
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
        error = bpf_open(agent);
    if (!error)
        error = block_log_open(&agent->block_log, agent->options.log_dir);
    if (error)
        return error;
    loop_timer_add(&agent->loop, &agent->second_timer, second_ended);
    loop_timer_add(&agent->loop, &agent->growth_timer, growth_due);
    loop_timer_add(&agent->loop, &agent->sample_timer, sample_due);
    loop_timer_set(&agent->second_timer, next_second());
    loop_timer_set(&agent->sample_timer, loop_now_ns());
    error = open_rules(agent, errors);
    return error ? error : open_sockets(agent); /* whoever connects finds the rules in place */
}

struct agent *agent_open(const struct agent_options *options, struct rule_errors *errors, int *ret_error) {
    struct agent *agent = calloc(1, sizeof *agent);
    if (agent) {
        agent->options = *options;
        agent->directory = agent->lock = agent->loop.epoll = agent->loop.timer_fd = -1;
        agent->attach.source.fd = agent->control.source.fd = agent->rules.watch.source.fd = -1;
        agent->since = time(NULL);
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
    for (const struct app *app = agent->apps; app; app = app->next) {
        apps++;
        processes += app->clients.count;
        errors += app->errors.count > 0;
    }
    for (size_t i = 0; i < agent->rules.count; i++)
        errors += agent->rules.files[i]->errors.count > 0 || !app_of_file(agent, agent->rules.files[i]);
    int length = snprintf(agent->status, sizeof agent->status, "%u %s, %u %s, %zu rules %s", apps,
                          apps == 1 ? "app" : "apps", processes, processes == 1 ? "process" : "processes",
                          agent->rules.count, agent->rules.count == 1 ? "file" : "files");
    if (errors)
        snprintf(agent->status + length, sizeof agent->status - (size_t)length, ", %u with errors: see `weir status`",
                 errors);
    return agent->status;
}

static void remove_run_dir(struct agent *agent) {
    static const char *const names[] = {ATTACH_SOCKET, AGENT_CONTROL_SOCKET, "agent.lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(agent->directory, names[i], 0);
    rmdir(agent->run_dir); /* stays if somebody else has something in it */
}

void agent_close(struct agent *agent) {
    bool serving = agent->control.source.fd >= 0;
    attach_server_close(&agent->attach);
    control_close(&agent->control);
    app_close_all(agent, agent->options.embedded);
    if (agent->rules.watch.source.fd >= 0)
        rule_dir_close(&agent->rules, &agent->loop);
    block_log_close(&agent->block_log);
    rejections_close(&agent->rejections);
    guard_close(agent);
    unseen_close(&agent->unseen);
    bpf_close(agent);
    loop_close(&agent->loop);
    if (agent->options.embedded && serving)
        remove_run_dir(agent);
    if (agent->lock >= 0)
        close(agent->lock);
    if (agent->directory >= 0)
        close(agent->directory);
    free(agent->run_dir);
    free(agent);
}
