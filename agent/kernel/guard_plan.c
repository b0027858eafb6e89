#include "agent/kernel/guard_plan.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/kernel/guard.h"
#include "agent/kernel/guard_rules.h"
#include "agent/internal.h"
#include "ebpf/ebpf.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

enum { READ_SHARE = 10, LINES_MAX = 2 * GUARD_MAX, CGROUP_DEPTH_MAX = 10, PATH_MAX_BYTES = 1024 };

int guard_plan_open(struct agent_guard *guard) {
    if (guard->plan.entries)
        return 0;
    guard->plan.entries = calloc(GUARD_MAX, sizeof *guard->plan.entries);
    guard->places = calloc(GUARD_PLACES_MAX, sizeof *guard->places);
    guard->members = calloc(GUARD_MEMBERS_MAX, sizeof *guard->members);
    guard->lines = calloc(LINES_MAX, sizeof *guard->lines);
    guard->plan.places = guard->places;
    guard->plan.members = guard->members;
    if (guard->plan.entries && guard->places && guard->members && guard->lines)
        return 0;
    guard_plan_close(guard);
    return -ENOMEM;
}

void guard_plan_close(struct agent_guard *guard) {
    free(guard->plan.entries);
    free(guard->places);
    free(guard->members);
    free(guard->lines);
    listeners_clear(&guard->listeners);
    guard->plan = (struct guarding_plan){0};
    guard->places = NULL;
    guard->members = NULL;
    guard->lines = NULL;
    guard->lines_count = 0;
}

/* ---------------------------------------------------------------------------------------------------------- entries */

static const void *ruleset_of(const struct app *app) {
    size_t size;
    return publish_current(&app->memory, &size);
}

static uint32_t number_of(const struct app *app) {
    return (uint32_t)hash_bytes(1, app->name, strlen(app->name)) | 1; /* the same as long as the app has its name */
}

/* The entry of that resource, made if there is none: index + 1; 0 = no limits, or no room. */
static uint32_t entry_of(struct agent_guard *guard, const struct app *app, const char *resource, enum guard_side side,
                         size_t *ret_left_out) {
    struct guarding_plan *plan = &guard->plan;
    *ret_left_out = 0;
    for (size_t i = 0; i < plan->entries_count; i++)
        if (plan->entries[i].side == side && strcmp(plan->entries[i].app, app->name) == 0 &&
            strcmp(plan->entries[i].resource, resource) == 0)
            return (uint32_t)i + 1;
    if (plan->entries_count == GUARD_MAX)
        return 0;
    struct guarding_entry *entry = &plan->entries[plan->entries_count];
    *entry = (struct guarding_entry){
        .side = side, .app_number = number_of(app), .off = snapshot_is_off(app->memory.rules)};
    snprintf(entry->app, sizeof entry->app, "%s", app->name);
    snprintf(entry->resource, sizeof entry->resource, "%s", resource);
    entry->limits_count = (uint32_t)guard_rules_compile(
        ruleset_of(app), resource, side == GUARD_INBOUND ? SIDE_INBOUND : SIDE_OUTBOUND, entry->limits, ret_left_out);
    return entry->limits_count ? (uint32_t)++plan->entries_count : 0;
}

static struct guard_line *line_of(struct agent_guard *guard, struct app *app, const char *resource) {
    for (size_t i = 0; i < guard->lines_count; i++)
        if (guard->lines[i].app == app && strcmp(guard->lines[i].resource, resource) == 0)
            return &guard->lines[i];
    if (guard->lines_count == LINES_MAX)
        return NULL;
    struct guard_line *line = &guard->lines[guard->lines_count++];
    *line = (struct guard_line){.app = app};
    snprintf(line->resource, sizeof line->resource, "%s", resource);
    return line;
}

static void add_place(struct agent_guard *guard, const struct guard_place *place, uint32_t entry) {
    for (size_t i = 0; i < guard->plan.places_count; i++)
        if (memcmp(&guard->places[i].place, place, sizeof *place) == 0) {
            if (entry == 0) /* of several sockets at one address some are a shim's: they cannot be told apart here */
                guard->places[i].entry = 0;
            return;
        }
    if (guard->plan.places_count < GUARD_PLACES_MAX)
        guard->places[guard->plan.places_count++] = (struct guarding_place){.place = *place, .entry = entry};
}

/* ---------------------------------------------------------------------------------------------------------- inbound */

static bool maybe_inbound(const void *ruleset, const struct rule *rule) {
    return rule->mode != MODE_OFF && rule->side != SIDE_OUTBOUND && !guard_rules_why_not(ruleset, rule) &&
           (rule->match != MATCH_EXACT || strncmp(ruleset_text(ruleset, rule->resource), "tcp::", 5) == 0);
}

static bool any_inbound(const struct agent *agent) {
    for (const struct app *app = agent->apps; app; app = app->next) {
        const void *ruleset = ruleset_of(app);
        for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
            if (maybe_inbound(ruleset, &ruleset_rules(ruleset)[i]))
                return true;
    }
    return false;
}

static bool has_shim(const char *proc, pid_t pid) {
    char path[64], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "%s/%d/maps", proc, (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && !found && getline(&line, &size, maps) > 0)
        found = strstr(line, "/libweir.so") != NULL;
    free(line);
    if (maps)
        fclose(maps);
    return found;
}

static struct app *app_of_process(const struct agent *agent, const struct listener_process *process) {
    struct attach_peer peer = {.pid = process->pid, .uid = process->uid};
    memcpy(peer.exe, process->exe, sizeof peer.exe);
    memcpy(peer.comm, process->comm, sizeof peer.comm);
    memcpy(peer.cgroup, process->cgroup, sizeof peer.cgroup);
    return attach_match_app(agent, &peer);
}

struct decision {
    struct app *app; /* NULL: no rule of anybody's */
    pid_t pid;
    bool shim;
};

static struct decision decide(const struct agent *agent, const struct listeners *all, const struct listener *l,
                              const char *resource) {
    struct decision decision = {0};
    struct guarding_limit limits[GUARD_LIMITS_MAX];
    size_t left_out;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct listener_process *process = &all->processes[all->holders[l->first + i]];
        struct app *app = app_of_process(agent, process);
        const void *ruleset = app ? ruleset_of(app) : NULL;
        decision.shim |= has_shim("/proc", process->pid);
        if (decision.app || !ruleset || !guard_rules_compile(ruleset, resource, SIDE_INBOUND, limits, &left_out))
            continue;
        decision.app = app;
        decision.pid = process->pid;
    }
    return decision;
}

static void put_address(const struct listener *l, struct guard_place *place) {
    if (l->family == LISTENER_V4) {
        place->address[10] = place->address[11] = 0xff;
        inet_pton(AF_INET, l->address, place->address + 12);
    } else {
        inet_pton(AF_INET6, l->address, place->address);
    }
}

static bool has_any_v4(const struct listeners *all, uint64_t own, uint16_t port) {
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].port == port && all->list[i].family == LISTENER_V4 &&
            (all->list[i].namespace == 0 || all->list[i].namespace == own) &&
            strcmp(all->list[i].address, "0.0.0.0") == 0)
            return true;
    return false;
}

static void place_listener(struct agent_guard *guard, const struct listener *l, uint64_t own, uint32_t entry) {
    struct guard_place place = {.port = l->port, .side = GUARD_INBOUND};
    put_address(l, &place);
    add_place(guard, &place, entry);
    if (l->family == LISTENER_DUAL && !has_any_v4(&guard->listeners, own, l->port)) {
        place.address[10] = place.address[11] = 0xff;
        add_place(guard, &place, entry);
    }
}

static uint32_t enforce(struct agent *agent, const struct decision *decision, const char *resource) {
    struct agent_guard *guard = &agent->guard;
    struct guard_line *line = line_of(guard, decision->app, resource);
    size_t left_out;
    uint32_t entry = decision->shim || !agent->ebpf->guarding
                         ? 0
                         : entry_of(guard, decision->app, resource, GUARD_INBOUND, &left_out);
    if (line && (line->pid == 0 || decision->shim)) {
        line->pid = decision->pid;
        line->by = decision->shim ? GUARD_BY_SHIM : entry ? GUARD_BY_KERNEL : GUARD_BY_NOBODY;
        line->why = agent->ebpf->guarding ? "too many guarded ports" : agent->ebpf->feature[EBPF_GUARD].why;
        line->entry = entry;
        line->left_out = entry ? (uint32_t)left_out : 0;
    }
    return entry;
}

static void resource_of(uint16_t port, char *text, size_t size) {
    snprintf(text, size, "tcp::%u", port);
}

/* Once a port has a guard, each listener of that port has its place: those of others are to be left alone. */
static void plan_port(struct agent *agent, uint64_t own, uint32_t first, uint32_t end) {
    struct agent_guard *guard = &agent->guard;
    const struct listeners *all = &guard->listeners;
    char resource[32];
    uint32_t entries[64];
    bool any = false;
    if (end - first > sizeof entries / sizeof *entries)
        end = first + sizeof entries / sizeof *entries;
    resource_of(all->list[first].port, resource, sizeof resource);
    for (uint32_t i = first; i < end; i++) {
        struct decision decision = decide(agent, all, &all->list[i], resource);
        entries[i - first] = decision.app ? enforce(agent, &decision, resource) : 0;
        any |= entries[i - first] != 0;
    }
    for (uint32_t i = first; any && i < end; i++)
        place_listener(guard, &all->list[i], own, entries[i - first]);
}

/* Many edits in a short time are no reason to walk through all descriptors of the host many times. */
static bool read_listeners(struct agent_guard *guard) {
    uint64_t began_ns = loop_now_ns();
    if (guard->read_ns && began_ns - guard->read_ns < READ_SHARE * guard->read_cost_ns)
        return true;
    listeners_clear(&guard->listeners);
    if (listeners_read("/proc", &guard->listeners) < 0)
        return false;
    guard->read_ns = loop_now_ns();
    guard->read_cost_ns = guard->read_ns - began_ns;
    return true;
}

static void plan_inbound(struct agent *agent) {
    const struct listeners *all = &agent->guard.listeners;
    struct stat status;
    uint64_t own = stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
    if (!read_listeners(&agent->guard))
        return;
    for (uint32_t first = 0, end; first < all->count; first = end) { /* in order of namespace and port */
        for (end = first + 1; end < all->count && all->list[end].port == all->list[first].port &&
                              all->list[end].namespace == all->list[first].namespace;
             end++)
            continue;
        if (all->list[first].namespace == 0 || all->list[first].namespace == own)
            plan_port(agent, own, first, end);
    }
}

/* --------------------------------------------------------------------------------------------------------- outbound */

static void plan_destination(struct agent *agent, struct app *app, const char *resource) {
    struct agent_guard *guard = &agent->guard;
    struct guard_place place;
    size_t left_out;
    if (!guard_rules_destination(resource, &place))
        return;
    bool able = agent->ebpf->guarding && guarding_can_outbound(agent->ebpf->guarding);
    uint32_t entry = able ? entry_of(guard, app, resource, GUARD_OUTBOUND, &left_out) : 0;
    struct guard_line *line = line_of(guard, app, resource);
    if (line) {
        line->by = entry ? GUARD_BY_KERNEL : GUARD_BY_NOBODY;
        line->why = able ? "too many guarded destinations" : agent->ebpf->feature[EBPF_GUARD].why;
        line->entry = entry;
        line->left_out = entry ? (uint32_t)left_out : 0;
    }
    if (entry) {
        place.app = number_of(app);
        add_place(guard, &place, entry);
    }
}

/* An app without a "match" cannot be recognised. */
static bool has_match(const struct agent *agent, const struct app *app) {
    for (size_t i = 0; i < agent->rules.count; i++) {
        const struct rule_file *file = agent->rules.files[i];
        const char *name = file->good ? app_of_file(agent, file) : NULL;
        if (!name || strcmp(name, app->name) != 0)
            continue;
        struct rule_app_match m = rule_document_match(file->good);
        if (m.exe || m.unit || m.cgroup || m.comm || m.uid >= 0)
            return true;
    }
    return false;
}

static bool plan_outbound(struct agent *agent) {
    size_t before = agent->guard.plan.entries_count;
    for (struct app *app = agent->apps; app; app = app->next) {
        const void *ruleset = ruleset_of(app);
        for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count && has_match(agent, app); i++) {
            const struct rule *rule = &ruleset_rules(ruleset)[i];
            if (rule->match == MATCH_EXACT && rule->mode != MODE_OFF && rule->side != SIDE_INBOUND &&
                !guard_rules_why_not(ruleset, rule))
                plan_destination(agent, app, ruleset_text(ruleset, rule->resource));
        }
    }
    return agent->guard.plan.entries_count > before;
}

/* ---------------------------------------------------------------------------------------------------------- members */

struct unit_search {
    struct agent_guard *guard;
    const struct guard_member *like;
    char name[256];
};

static void add_member(struct agent_guard *guard, const struct guard_member *member) {
    if (guard->plan.members_count < GUARD_MEMBERS_MAX)
        guard->members[guard->plan.members_count++] = *member;
}

static void add_cgroup(struct agent_guard *guard, const struct guard_member *like, const char *path, uint32_t level) {
    struct guard_member member = *like;
    struct stat status;
    if (stat(path, &status) < 0)
        return;
    member.cgroup = status.st_ino;
    member.level = level;
    add_member(guard, &member);
}

/* A unit's cgroup may be anywhere: below its slice, or in a container's. */
static void search_unit(const struct unit_search *search, const char *path, uint32_t level) {
    DIR *dir = level < CGROUP_DEPTH_MAX ? opendir(path) : NULL;
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char below[PATH_MAX_BYTES];
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            (size_t)snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= sizeof below)
            continue;
        if (strcmp(entry->d_name, search->name) == 0)
            add_cgroup(search->guard, search->like, below, level + 1);
        else
            search_unit(search, below, level + 1);
    }
    closedir(dir);
}

static uint32_t level_of(const char *path) {
    uint32_t level = 0;
    for (; *path; path++)
        level += path[0] == '/' && path[1] != '/' && path[1] != 0;
    return level;
}

static void add_members(struct agent *agent, struct guard_member *member, const struct rule_app_match *match) {
    struct agent_guard *guard = &agent->guard;
    const char *mount = agent->ebpf->cgroup_root;
    char path[PATH_MAX_BYTES];
    bool cgroups = mount[0] != 0;
    if (match->unit && cgroups) {
        struct unit_search search = {.guard = guard, .like = member};
        snprintf(search.name, sizeof search.name, "%s%s", match->unit, strchr(match->unit, '.') ? "" : ".service");
        search_unit(&search, mount, 0);
    } else if (match->cgroup && cgroups) {
        snprintf(path, sizeof path, "%s/%s", mount, match->cgroup);
        add_cgroup(guard, member, path, level_of(match->cgroup) + (match->cgroup[0] != '/' && match->cgroup[0] != 0));
    } else if (!match->unit && !match->cgroup) {
        add_member(guard, member);
    }
}

static void plan_members(struct agent *agent) {
    for (size_t i = 0; i < agent->rules.count; i++) {
        const struct rule_file *file = agent->rules.files[i];
        const char *name = file->good ? app_of_file(agent, file) : NULL;
        const struct app *app = name ? app_find(agent, name) : NULL;
        struct rule_app_match match = file->good ? rule_document_match(file->good) : (struct rule_app_match){.uid = -1};
        struct stat status;
        if (!app || (!match.exe && !match.unit && !match.cgroup && !match.comm && match.uid < 0))
            continue;
        struct guard_member member = {.app = number_of(app), .has_uid = match.uid >= 0, .uid = (uint32_t)match.uid};
        if (match.comm)
            snprintf(member.comm, sizeof member.comm, "%s", match.comm);
        if (match.exe) {
            const char *base = strrchr(match.exe, '/');
            member.never = stat(match.exe, &status) < 0;
            member.exe_inode = member.never ? 0 : status.st_ino;
            snprintf(member.exe, sizeof member.exe, "%s", base ? base + 1 : match.exe);
        }
        add_members(agent, &member, &match);
    }
}

/* -------------------------------------------------------------------------------------------------------------- all */

bool guard_plan_make(struct agent *agent) {
    struct agent_guard *guard = &agent->guard;
    guard->plan.entries_count = guard->plan.places_count = guard->plan.members_count = guard->lines_count = 0;
    bool inbound = any_inbound(agent);
    if (inbound)
        plan_inbound(agent);
    bool outbound = plan_outbound(agent);
    if (outbound)
        plan_members(agent);
    return inbound || outbound;
}
