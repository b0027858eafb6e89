/* All names that an HTTP request counts for by its method, path and host. */
#include <string.h>

#include "rules/engine/engine_private.h"

enum { METHOD_MAX = 24 };

struct naming {
    struct engine *engine;
    struct view *view;
    const struct route_request *request;
    const struct engine_names *names;
    bool undecided;
    char plain[LAYOUT_RESOURCE_NAME_MAX]; /* by the plain reading */
    size_t plain_length;
    /* by the reading under way: */
    char name[LAYOUT_RESOURCE_NAME_MAX], whole[ROUTE_PATH_MAX + METHOD_MAX + 2];
    struct route_found found;
};
_Static_assert(sizeof(struct naming) <= ENGINE_NAMES_ROOM, "the room is large enough");

/* What was learned is short of what the client sent: ids and siblings have become one.  Where a pattern of some rule is
 * about that very path, but not about what became of it, the path itself is the name; else whoever makes a path look
 * like an id would be rid of the rule. */
static size_t keep_path(struct naming *naming, size_t length) {
    const struct route_found *found = &naming->found;
    char *name = naming->name, *whole = naming->whole;
    size_t method = naming->request->method_length;
    if (!found->captures_count || method > METHOD_MAX || !naming->view->general_count)
        return length;
    memcpy(whole, naming->request->method, method);
    whole[method] = ':';
    memcpy(whole + method + 1, found->path, found->path_length + 1);
    size_t whole_length = method + 1 + found->path_length;
    if (!view_misses(naming->engine, naming->view, whole, whole_length, name, length))
        return length;
    length = whole_length < LAYOUT_RESOURCE_NAME_MAX ? whole_length : LAYOUT_RESOURCE_NAME_MAX - 1;
    memcpy(name, whole, length);
    name[length] = '\0';
    return length;
}

static void give_groups(struct naming *naming, unsigned reading) {
    uint32_t groups[ENGINE_RESOURCES_MAX];
    size_t count = route_groups(&naming->view->routes, &naming->found, groups, ENGINE_RESOURCES_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *group = ruleset_text(naming->view->ruleset, groups[i]);
        naming->names->take(naming->names->context, group, strlen(group), NULL, reading);
    }
}

static size_t find(struct naming *naming, unsigned reading) {
    return route_find(&naming->view->routes, naming->request, reading, naming->name, sizeof(naming->name),
                      &naming->found);
}

/* A reading but the plain one counts if rules speak of what it comes to.  Returns the readings that there are. */
static unsigned give_name(struct naming *naming, unsigned reading) {
    const struct route_found *found = &naming->found;
    const char *name = naming->name;
    size_t length = find(naming, reading);
    if (found->how == ROUTE_HOW_LEARNED)
        length = keep_path(naming, length);
    if (reading == ROUTE_READ_PLAIN) {
        memcpy(naming->plain, name, length + 1);
        naming->plain_length = length;
    }
    if (reading == ROUTE_READ_PLAIN || found->how != ROUTE_HOW_LEARNED ||
        view_misses(naming->engine, naming->view, name, length, naming->plain, naming->plain_length))
        naming->names->take(naming->names->context, name, length, found, reading);
    naming->undecided |= found->undecided;
    return found->others;
}

/* The names of all readings come before any group: room is limited, and groups must not push out what another reading
 * of the path comes to. */
static void give_others(struct naming *naming, unsigned others) {
    for (unsigned reading = 1; reading < ROUTE_READINGS; reading++)
        if ((reading & others) == reading)
            give_name(naming, reading);
    for (unsigned reading = 0; reading < ROUTE_READINGS; reading++)
        if ((reading & others) == reading) {
            find(naming, reading);
            give_groups(naming, reading);
        }
}

bool engine_names(struct engine *engine, uint32_t token, const struct route_request *request,
                  const struct engine_names *names) {
    if (token >= sizeof(engine->views) / sizeof(engine->views[0]))
        return false;
    struct naming *naming = names->room;
    naming->engine = engine;
    naming->view = &engine->views[token];
    naming->request = request;
    naming->names = names;
    naming->undecided = false;
    unsigned others = give_name(naming, ROUTE_READ_PLAIN);
    if (others)
        give_others(naming, others);
    else
        give_groups(naming, ROUTE_READ_PLAIN);
    naming->undecided |= naming->found.undecided;
    return !naming->undecided;
}

void engine_siblings(struct engine *engine, uint64_t now_ns, uint32_t resource) {
    uint32_t token = engine_read_begin(engine);
    double limit = token < sizeof(engine->views) / sizeof(engine->views[0]) ? engine->views[token].siblings.limit : 0;
    stats_event(engine, now_ns, EVENT_SIBLINGS, NULL, NULL, resource, 0, 0, limit);
    engine_read_end(engine, token);
}

void engine_crowded(struct engine *engine, uint32_t token, uint64_t now_ns, uint32_t resource) {
    if (token < sizeof(engine->views) / sizeof(engine->views[0]) &&
        !__atomic_exchange_n(&engine->views[token].crowded, true, __ATOMIC_RELAXED))
        stats_event(engine, now_ns, EVENT_CROWDED, NULL, NULL, resource, 0, 0, ENGINE_RESOURCES_MAX);
}
