#include "agent/apps/app.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/metrics/events.h"
#include "agent/internal.h"
#include "agent/core/sigbus.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

static const uint64_t TELL_AGAIN_NS = 60ull * 1000000000u, UNUSED_NS = 60ull * 1000000000u;

struct app *app_find(const struct agent *agent, const char *name) {
    for (struct app *app = agent->apps; app; app = app->next)
        if (strcmp(app->name, name) == 0)
            return app;
    return NULL;
}

static void client_event(struct clients *clients, const struct client *client, const char *what) {
    const struct app *app = LOOP_OWNER(clients, struct app, clients);
    bool ended = strcmp(what, "gone") == 0 || strcmp(what, "left") == 0;
    (ended ? guard_shim_gone : guard_shim)(app->agent, client->pid);
    agent_say(app->agent, AGENT_LOG_INFO, "%s: process %d %s (%s, slot %u)", app->name, (int)client->pid, what,
              client->exe[0] ? client->exe : "unknown program", client->slot);
}

/* ------------------------------------------------------------------------------------------------ beginning and end */

static void use_memory(struct app *app) {
    sigbus_protect(app->memory.counters, LAYOUT_COUNTERS_BYTES, &app->damaged);
    clients_open(&app->clients, &app->agent->loop, &app->memory, client_event);
    snapshot_heartbeat(app->memory.rules, loop_now_ns());
    events_begin(app);
    rejections_begin(app);
    metrics_sample(&app->metrics, &app->memory, agent_engine_now_ns(app), app->agent->second);
}

static int open_memory(struct app *app) {
    enum publish_origin origin;
    int error = publish_open(&app->memory, app->agent->directory, app->name, &origin);
    if (error)
        return error;
    use_memory(app);
    app->inherited = origin == PUBLISH_TAKEN_UP;
    if (origin == PUBLISH_REPLACED)
        agent_say(app->agent, AGENT_LOG_WARNING,
                  "%s: shared memory in %s was of another version or damaged, and is made anew", app->name,
                  app->agent->run_dir);
    if (origin == PUBLISH_TAKEN_UP)
        clients_scan(&app->clients, agent_engine_now_ns(app));
    return 0;
}

static void close_memory(struct app *app, bool remove) {
    guard_memory_gone(app->agent, app->memory.counters);
    clients_close(&app->clients);
    free(app->hits_seen);
    app->hits_seen = NULL;
    metrics_close(&app->metrics);
    sigbus_release(app->memory.counters);
    if (remove)
        publish_remove(&app->memory);
    else
        publish_close(&app->memory);
}

/* The same complaint every second would help nobody. */
static bool is_news(uint64_t *told_ns) {
    uint64_t now_ns = loop_now_ns();
    if (*told_ns && now_ns - *told_ns < TELL_AGAIN_NS)
        return false;
    *told_ns = now_ns;
    return true;
}

static struct app *app_open(struct agent *agent, const char *name) {
    struct app *app = calloc(1, sizeof *app);
    int error = app ? 0 : -ENOMEM;
    if (app) {
        app->agent = agent;
        app->unused_since_ns = loop_now_ns();
        strncpy(app->name, name, sizeof app->name - 1);
        error = open_memory(app);
    }
    if (error) {
        if (is_news(&agent->memory_error_told_ns))
            agent_say(agent, AGENT_LOG_ERROR, "%s: no shared memory in %s: %s%s; tried again every second", name,
                      agent->run_dir, strerror(-error), error == -ENOSPC ? ": make room there" : "");
        agent->app_missing = true;
        free(app);
        return NULL;
    }
    struct app **place = &agent->apps;
    while (*place && strcmp((*place)->name, name) < 0)
        place = &(*place)->next;
    app->next = *place;
    *place = app;
    return app;
}

static void app_close(struct app *app, bool remove) {
    struct app **place = &app->agent->apps;
    while (*place != app)
        place = &(*place)->next;
    *place = app->next;
    guard_app_gone(app);
    close_memory(app, remove);
    rule_errors_clear(&app->errors);
    versions_close(&app->versions);
    free(app);
}

void app_close_all(struct agent *agent, bool remove) {
    while (agent->apps)
        app_close(agent->apps, remove);
}

/* The name stands in the file's header; the file's own name may be a shortened form of it. */
static bool read_app_name(int directory, const char *file, char ret_name[static LAYOUT_APP_NAME_MAX]) {
    struct layout_rules_header header;
    int fd = openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool whole = pread(fd, &header, sizeof header, 0) == sizeof header &&
                 snapshot_usable(&header, LAYOUT_RULES_BYTES, header.app);
    close(fd);
    if (whole)
        memcpy(ret_name, header.app, LAYOUT_APP_NAME_MAX);
    return whole && ret_name[0];
}

void app_inherit_all(struct agent *agent) {
    publish_sweep(agent->directory);
    int fd = openat(agent->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name);
        char name[LAYOUT_APP_NAME_MAX], stem[PUBLISH_STEM_MAX];
        if (length <= 6 || strcmp(entry->d_name + length - 6, ".rules") != 0 ||
            !read_app_name(agent->directory, entry->d_name, name) || app_find(agent, name))
            continue;
        publish_stem(name, stem);
        if (strlen(stem) == length - 6 && strncmp(stem, entry->d_name, length - 6) == 0)
            app_open(agent, name);
    }
    closedir(stream);
}

/* ------------------------------------------------------------------------------------------------------------ rules */

const char *app_of_file(const struct agent *agent, const struct rule_file *file) {
    const char *named = file->good ? rule_document_app(file->good) : file->claimed_app;
    return named && named[0] ? named : agent->options.app;
}

static bool belongs(const struct app *app, const struct rule_file *file) {
    const char *named = app_of_file(app->agent, file);
    return file->good && named && strcmp(named, app->name) == 0;
}

struct rule_document **app_documents(const struct app *app, size_t *ret_count) {
    const struct rule_dir *rules = &app->agent->rules;
    struct rule_document **documents = calloc(rules->count + 1, sizeof(struct rule_document *));
    *ret_count = 0;
    for (size_t i = 0; documents && i < rules->count; i++)
        if (belongs(app, rules->files[i]))
            documents[(*ret_count)++] = rules->files[i]->good;
    return documents;
}

static uint64_t hash_fragments(const struct app *app) {
    const struct rule_dir *rules = &app->agent->rules;
    uint64_t hash = 1;
    for (size_t i = 0; i < rules->count; i++)
        if (belongs(app, rules->files[i]))
            hash = hash_bytes(hash, &rules->files[i]->serial, sizeof rules->files[i]->serial);
    return hash;
}

/* After a restart a file with errors has no last good version to go by, but the rules in force have: they stay as long
 * as a file that may be a part of them is unreadable. */
static bool must_wait(const struct app *app) {
    const struct rule_dir *rules = &app->agent->rules;
    if (!app->inherited)
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule_file *file = rules->files[i];
        const char *named = app_of_file(app->agent, file);
        if (!file->good && (named ? strcmp(named, app->name) == 0 : app->fragments == 0))
            return true;
    }
    return false;
}

static void tell_errors(const struct app *app) {
    for (size_t i = 0; i < app->errors.count; i++) {
        char *text = rule_error_text(&app->errors.list[i]);
        agent_say(app->agent, AGENT_LOG_ERROR, "%s", text ? text : "out of memory");
        free(text);
    }
    agent_say(app->agent, AGENT_LOG_ERROR, "%s: the fragments contradict each other; the rules before stay in force",
              app->name);
}

static void publish(struct app *app, const void *ruleset, size_t size) {
    bool changed;
    int error = publish_ruleset(&app->memory, ruleset, size, &changed);
    app->unpublished = error != 0;
    if (error) {
        if (is_news(&app->publish_error_told_ns))
            agent_say(app->agent, AGENT_LOG_ERROR,
                      "%s: rules not published: %s; the rules before stay in force, tried again every second",
                      app->name, strerror(-error));
        app->fragments = 0;
    } else if (changed) {
        app->published_ns = agent_engine_now_ns(app);
        agent_say(app->agent, AGENT_LOG_INFO, "%s: rules version %llu published, %u rules, %u files", app->name,
                  (unsigned long long)snapshot_generation(app->memory.rules), ruleset_head(ruleset)->rules_count,
                  app->documents);
    }
    if (!error)
        app->rules = ruleset_head(ruleset)->rules_count;
    app->inherited &= error != 0;
    uint64_t generation = snapshot_generation(app->memory.rules);
    if (!error && !versions_find(&app->versions, generation))
        versions_add(&app->versions, generation, changed ? time(NULL) : 0, ruleset, &app->agent->rules);
}

static void update(struct app *app) {
    uint64_t fragments = hash_fragments(app);
    bool wait = must_wait(app);
    if (fragments == app->fragments && !(app->inherited && !wait))
        return;
    app->fragments = fragments;
    if (wait)
        return;
    size_t count, size;
    struct rule_document **documents = app_documents(app, &count);
    rule_errors_clear(&app->errors);
    void *ruleset = documents ? rule_text_ruleset(documents, count, app->name, &size, &app->errors) : NULL;
    free(documents);
    if (ruleset)
        publish(app, ruleset, size);
    else
        tell_errors(app);
    free(ruleset);
}

static void name_all(struct agent *agent) {
    for (struct app *app = agent->apps; app; app = app->next)
        app->documents = 0;
    for (size_t i = 0; i < agent->rules.count; i++) {
        const struct rule_file *file = agent->rules.files[i];
        const char *named = file->good ? app_of_file(agent, file) : NULL;
        struct app *app = named ? app_find(agent, named) : NULL;
        if (named && !app)
            app = app_open(agent, named);
        if (app)
            app->documents++;
    }
    /* `weir run`: the program's app is there, rules or not, so that its figures are. */
    if (agent->options.embedded && agent->options.app && !app_find(agent, agent->options.app))
        app_open(agent, agent->options.app);
}

void app_update_all(struct agent *agent) {
    agent->app_missing = false;
    name_all(agent);
    for (struct app *app = agent->apps; app; app = app->next)
        update(app);
}

/* ---------------------------------------------------------------------------------------------------------- upkeep */

void app_grow(struct app *app) {
    int error = publish_grow(&app->memory);
    if (error && is_news(&app->growth_error_told_ns))
        agent_say(app->agent, AGENT_LOG_ERROR,
                  "%s: shared memory in %s cannot grow: %s; new resources count as {other}, what is there goes on",
                  app->name, app->agent->run_dir, strerror(-error));
}

/* A process with write access cut the file off, and our mapping with it (sigbus.h): new files for all of them. */
static void repair(struct app *app) {
    struct publish fresh;
    enum publish_origin origin;
    snapshot_retire(app->memory.rules);
    int error = publish_open(&fresh, app->agent->directory, app->name, &origin);
    agent_say(app->agent, AGENT_LOG_ERROR, "%s: its shared memory was truncated by a process of the app%s%s", app->name,
              error ? ", and cannot be made anew: " : ", and is made anew", error ? strerror(-error) : "");
    if (error)
        return; /* tried again with the next tick */
    close_memory(app, false);
    app->memory = fresh;
    app->damaged = false;
    app->fragments = 0;
    app->inherited = false;
    use_memory(app);
}

/* Beyond what is in use nobody runs into it, but a process that comes now could not map the file. */
static bool cut_short(const struct app *app) {
    struct stat status;
    return fstat(app->memory.counters_fd, &status) == 0 && (uint64_t)status.st_size < LAYOUT_COUNTERS_BYTES;
}

static void tick(struct app *app, uint64_t now_ns) {
    if (app->damaged || cut_short(app))
        repair(app);
    snapshot_heartbeat(app->memory.rules, now_ns);
    clients_scan(&app->clients, agent_engine_now_ns(app));
    metrics_sample(&app->metrics, &app->memory, agent_engine_now_ns(app), app->agent->second);
    rejections_second_ended(app);
    events_tell(app);
    app_grow(app);
    if (app->fragments == 0 && !app->inherited)
        update(app);
}

/* Nobody's any more: no rules, and no process for a while. */
static bool unused(struct app *app, uint64_t now_ns) {
    const char *own = app->agent->options.embedded ? app->agent->options.app : NULL;
    if (app->documents || app->clients.count || app->inherited || (own && strcmp(own, app->name) == 0))
        app->unused_since_ns = now_ns;
    return now_ns - app->unused_since_ns > UNUSED_NS;
}

void app_tick_all(struct agent *agent, uint64_t now_ns) {
    if (agent->app_missing)
        app_update_all(agent);
    for (struct app *app = agent->apps, *next; app; app = next) {
        next = app->next;
        tick(app, now_ns);
        if (unused(app, now_ns)) {
            agent_say(agent, AGENT_LOG_INFO, "%s: no rules and no processes: its shared memory is removed", app->name);
            app_close(app, true);
        }
    }
}

void app_set_off(struct app *app, bool off) {
    snapshot_set_off(app->memory.rules, off);
    agent_say(app->agent, AGENT_LOG_WARNING, "%s: %s", app->name,
              off ? "switched off: all traffic passes until it is switched on" : "switched on");
    guard_switched(app->agent);
}
