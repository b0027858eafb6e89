#include "agent/apps/app.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apps/app_cpu.h"
#include "agent/apps/app_rules.h"
#include "agent/core/log.h"
#include "rules/engine/custody.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

static const uint64_t REPEAT_NS = 60ull * 1000000000u, UNUSED_NS = 60ull * 1000000000u;

uint64_t app_engine_now_ns(const struct app *app) {
    return loop_now_ns() + app->memory.counters->clock_offset_ns;
}

struct app *app_find(const struct app_list *list, const char *name) {
    for (struct app *app = list->first; app; app = app->next)
        if (strcmp(app->name, name) == 0)
            return app;
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------------- events */

static void report(const struct app *app, enum bus_kind kind) {
    struct bus_event event = {.kind = kind, .app = app->name};
    bus_publish(app->list->bus, &event);
}

static void report_memory(const struct app *app, enum bus_kind kind, int error) {
    struct bus_event event = {.kind = kind, .app = app->name, .error = error};
    event.memory.directory = app->list->run_dir;
    event.memory.counters = app->memory.counters;
    bus_publish(app->list->bus, &event);
}

void app_take_states(struct app *app) {
    const struct states_of of = {.app = app->name, .memory = &app->memory, .episodes = &app->episodes};
    states_publish(&app->states, &of, app->list->bus);
}

void app_end_episodes(struct app *app, enum episodes_end which) {
    const struct states_of of = {.app = app->name, .memory = &app->memory, .episodes = &app->episodes};
    states_end(&of, which, app->list->bus);
}

static void client_changed(struct clients *clients, const struct client *client, enum client_change change) {
    static const enum bus_kind kinds[] = {[CLIENT_ATTACHED] = BUS_PROCESS_ATTACHED,
                                          [CLIENT_FOUND] = BUS_PROCESS_FOUND,
                                          [CLIENT_LEFT] = BUS_PROCESS_LEFT,
                                          [CLIENT_GONE] = BUS_PROCESS_GONE};
    struct app *app = LOOP_OWNER(clients, struct app, clients);
    if ((change == CLIENT_LEFT || change == CLIENT_GONE) && clients->count == 1) { /* the last one */
        app_take_states(app);
        app_end_episodes(app, EPISODES_ALL);
    }
    struct bus_event event = {.kind = kinds[change], .app = app->name};
    event.process.pid = client->pid;
    event.process.slot = client->slot;
    event.process.program = client->exe;
    event.process.vouched = client->vouched;
    bus_publish(app->list->bus, &event);
}

/* ------------------------------------------------------------------------------------------------ beginning and end */

static void use_memory(struct app *app) {
    clients_open(&app->clients, app->list->loop, &app->memory, client_changed);
    snapshot_heartbeat(app->memory.rules, loop_now_ns());
    snapshot_set_wall(app->memory.rules, loop_wall_ahead_ns());
    states_begin(&app->states, &app->memory);
    rejections_begin(&app->rejections, &app->memory);
    hits_begin(&app->hits, &app->memory);
    metrics_sample(&app->metrics, &app->memory, app_engine_now_ns(app), app->list->second);
}

static void restore_windows(struct app *app) {
    struct kept_clocks clocks = kept_clocks_now();
    unsigned limits;
    bool early;
    if (app->list->state_directory < 0)
        return;
    int error = kept_windows_restore(&app->memory, app->list->state_directory, app->name, &clocks, &limits, &early);
    struct bus_event event = {.kind = error ? BUS_WINDOWS_UNUSABLE : BUS_WINDOWS_RESTORED, .app = app->name};
    event.error = error;
    event.windows.limits = limits;
    event.windows.early = early;
    if (error || limits)
        bus_publish(app->list->bus, &event);
}

static void save_windows(struct app *app, bool now) {
    struct kept_clocks clocks = kept_clocks_now();
    if (app->list->state_directory < 0)
        return;
    int error = kept_windows_save(&app->kept, &app->memory, app->list->state_directory, app->name, &clocks, now);
    struct bus_event event = {.kind = BUS_WINDOWS_UNSAVED, .app = app->name, .error = error};
    if (error && log_is_due(&app->kept_error_ns, loop_now_ns(), REPEAT_NS))
        bus_publish(app->list->bus, &event);
}

static int open_memory(struct app *app) {
    enum publish_origin origin;
    int error = publish_open_kept(&app->memory, app->list->directory, app->list->store, app->name, &origin);
    if (error)
        return error;
    if (origin != PUBLISH_TAKEN_UP)
        restore_windows(app);
    use_memory(app);
    app->inherited = origin == PUBLISH_TAKEN_UP || snapshot_generation(app->memory.rules) != 0;
    if (origin == PUBLISH_REPLACED)
        report_memory(app, BUS_MEMORY_REPLACED, 0);
    if (origin == PUBLISH_LOST)
        report_memory(app, BUS_MEMORY_LOST, 0);
    if (origin == PUBLISH_TAKEN_UP)
        clients_scan(&app->clients, app_engine_now_ns(app));
    return 0;
}

static void close_memory(struct app *app, bool remove) {
    save_windows(app, true);
    if (remove) { /* its processes end with it */
        app_take_states(app);
        app_end_episodes(app, EPISODES_ALL);
    }
    report_memory(app, BUS_MEMORY_CLOSED, 0);
    clients_close(&app->clients);
    hits_close(&app->hits);
    app_unmet_clear(&app->unmet);
    metrics_close(&app->metrics);
    if (remove)
        publish_remove(&app->memory);
    else
        publish_close(&app->memory);
}

static struct app *app_new(struct app_list *list, const char *name) {
    struct app *app = calloc(1, sizeof *app);
    if (!app)
        return NULL;
    app->list = list;
    app->unused_since_ns = loop_now_ns();
    strncpy(app->name, name, sizeof app->name - 1);
    int error = open_memory(app);
    if (!error)
        return app;
    if (log_is_due(&list->memory_error_ns, loop_now_ns(), REPEAT_NS))
        report_memory(app, BUS_MEMORY_MISSING, error);
    free(app);
    return NULL;
}

static struct app *app_open(struct app_list *list, const char *name) {
    struct app *app = app_new(list, name);
    if (!app) {
        list->missing = true;
        return NULL;
    }
    struct app **place = &list->first;
    while (*place && strcmp((*place)->name, name) < 0)
        place = &(*place)->next;
    app->next = *place;
    *place = app;
    return app;
}

static void app_close(struct app *app, bool remove) {
    struct app **place = &app->list->first;
    while (*place != app)
        place = &(*place)->next;
    *place = app->next;
    report(app, BUS_APP_CLOSED);
    close_memory(app, remove);
    rule_errors_clear(&app->errors);
    app_cpu_close(app);
    free(app);
}

void app_close_all(struct app_list *list, bool remove) {
    while (list->first)
        app_close(list->first, remove);
}

/* The name stands in the file's header; the file's own name may be a shortened form of it. */
static bool read_app_name(int directory, const char *file, char ret_name[static LAYOUT_APP_NAME_MAX]) {
    struct layout_rules_header header;
    struct stat status;
    int fd = openat(directory, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool whole = pread(fd, &header, sizeof header, 0) == sizeof header && fstat(fd, &status) == 0 &&
                 snapshot_usable(&header, (uint64_t)status.st_size, header.app);
    close(fd);
    if (whole)
        memcpy(ret_name, header.app, LAYOUT_APP_NAME_MAX);
    return whole && ret_name[0];
}

void app_inherit_all(struct app_list *list) {
    publish_sweep(list->directory);
    int fd = openat(list->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
            !read_app_name(list->directory, entry->d_name, name) || app_find(list, name))
            continue;
        publish_stem(name, stem);
        if (strlen(stem) == length - 6 && strncmp(stem, entry->d_name, length - 6) == 0)
            app_open(list, name);
    }
    closedir(stream);
}

/* ------------------------------------------------------------------------------------------------------------ rules */

static void name_all(struct app_list *list) {
    for (struct app *app = list->first; app; app = app->next)
        app->documents = 0;
    for (size_t i = 0; i < list->rules->count; i++) {
        const struct rule_file *file = list->rules->files[i];
        const char *named = file->good ? rule_dir_app(list->rules, file) : NULL;
        struct app *app = named ? app_find(list, named) : NULL;
        if (named && !app)
            app = app_open(list, named);
        if (app)
            app->documents++;
    }
    if (list->own && !app_find(list, list->own)) /* its metrics are wanted, rules or not */
        app_open(list, list->own);
}

void app_update_all(struct app_list *list) {
    list->missing = false;
    name_all(list);
    for (struct app *app = list->first; app; app = app->next)
        app_rules_update(app);
}

/* ---------------------------------------------------------------------------------------------------------- upkeep */

void app_grow(struct app *app) {
    int error = publish_grow(&app->memory);
    if (error && log_is_due(&app->growth_error_ns, loop_now_ns(), REPEAT_NS))
        report_memory(app, BUS_MEMORY_FULL, error);
}

enum { CUSTODY_EVERY = 10 /* seconds */, DAY_S = 86400 };

static void tick(struct app *app, uint64_t now_ns) {
    struct rejections *recent = app->list->recent;
    snapshot_heartbeat(app->memory.rules, now_ns);
    snapshot_set_wall(app->memory.rules, loop_wall_ahead_ns());
    clients_scan(&app->clients, app_engine_now_ns(app));
    if (app->list->second % CUSTODY_EVERY == 0)
        custody_settle(&app->memory.map, app_engine_now_ns(app));
    metrics_sample(&app->metrics, &app->memory, app_engine_now_ns(app), app->list->second);
    rejections_take(recent, &app->rejections, &app->memory);
    rejections_second_ended(recent, &app->memory, &app->metrics);
    app_take_states(app);
    episodes_second(&app->episodes, &app->metrics, now_ns);
    app_end_episodes(app, EPISODES_SILENT);
    app_grow(app);
    save_windows(app, false);
    app_rules_tick(app, now_ns);
    app_unmet_tick(app);
}

/* Neither rules nor processes, for a while. */
static bool unused(struct app *app, uint64_t now_ns) {
    const char *own = app->list->own;
    if (app->documents || app->clients.count || app->inherited || (own && strcmp(own, app->name) == 0))
        app->unused_since_ns = now_ns;
    return now_ns - app->unused_since_ns > UNUSED_NS;
}

/* Times of day are published as the moments of a year: these are found out again each day, and when the date is set. */
static void renew_times(struct app_list *list) {
    if (list->second / DAY_S == list->day)
        return;
    list->day = list->second / DAY_S;
    for (struct app *app = list->first; app; app = app->next)
        if (app->when) {
            app->renewing = true;
            app->fragments = 0;
        }
}

void app_tick_all(struct app_list *list, uint64_t now_ns) {
    if (list->missing)
        app_update_all(list);
    renew_times(list);
    for (struct app *app = list->first, *next; app; app = next) {
        next = app->next;
        tick(app, now_ns);
        if (unused(app, now_ns)) {
            report(app, BUS_APP_UNUSED);
            app_close(app, true);
        }
    }
}

void app_report_rejections_all(struct app_list *list) {
    for (struct app *app = list->first; app; app = app->next) {
        const struct hits_of of = {.app = app->name,
                                   .memory = &app->memory,
                                   .metrics = &app->metrics,
                                   .recent = list->recent,
                                   .second = list->second};
        if (app->metrics.blocks)
            hits_publish(&app->hits, &of, list->bus);
    }
}

bool app_follow_all(struct app_list *list) {
    bool traffic = false;
    for (struct app *app = list->first; app; app = app->next) {
        app_take_states(app);
        rejections_take(list->recent, &app->rejections, &app->memory);
        traffic |= app->metrics.traffic;
        if (app->metrics.traffic)
            app_grow(app);
    }
    return traffic;
}

void app_set_off(struct app *app, bool off) {
    snapshot_set_off(app->memory.rules, off);
    if (off) /* nothing is looked at any more */
        app_end_episodes(app, EPISODES_ALL);
    report(app, off ? BUS_APP_OFF : BUS_APP_ON);
}
