#include "agent/rules/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct history_app {
    struct history_app *next;
    char name[LAYOUT_APP_NAME_MAX];
    struct versions versions;
};

static struct history_app **find(struct history *history, const char *app) {
    struct history_app **place = &history->first;
    while (*place && strcmp((*place)->name, app) != 0)
        place = &(*place)->next;
    return place;
}

static void forget(struct history_app **place) {
    struct history_app *app = *place;
    if (!app)
        return;
    *place = app->next;
    versions_close(&app->versions);
    free(app);
}

static struct history_app *find_or_add(struct history *history, const char *name) {
    struct history_app **place = find(history, name), *app = *place;
    if (!app && (app = calloc(1, sizeof *app)) != NULL) {
        snprintf(app->name, sizeof app->name, "%s", name);
        *place = app;
    }
    return app;
}

static void add(struct history *history, const struct bus_event *event) {
    struct history_app *app = find_or_add(history, event->app);
    time_t published = event->kind == BUS_RULES_PUBLISHED ? time(NULL) : 0;
    if (app && !versions_find(&app->versions, event->published.generation))
        versions_add(&app->versions, event->published.generation, published, event->published.ruleset, history->rules);
}

void history_take(void *context, const struct bus_event *event) {
    struct history *history = context;
    if (event->kind == BUS_RULES_PUBLISHED || event->kind == BUS_RULES_TAKEN_UP)
        add(history, event);
    else if (event->kind == BUS_APP_CLOSED)
        forget(find(history, event->app));
}

const struct versions *history_of(const struct history *history, const char *app) {
    const struct history_app *found = history->first;
    while (found && strcmp(found->name, app) != 0)
        found = found->next;
    return found ? &found->versions : NULL;
}

void history_close(struct history *history) {
    while (history->first)
        forget(&history->first);
}
