#include "agent/kernel/guard_plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/apps/attach_peer.h"
#include "agent/kernel/guard_rules.h"
#include "ebpf/ebpf.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

enum { LINES_MAX = 2 * GUARD_MAX };

int guard_plan_open(struct guard_plan *plan) {
    if (plan->wanted.entries)
        return 0;
    plan->wanted.entries = calloc(GUARD_MAX, sizeof *plan->wanted.entries);
    plan->places = calloc(GUARD_PLACES_MAX, sizeof *plan->places);
    plan->members = calloc(GUARD_MEMBERS_MAX, sizeof *plan->members);
    plan->lines = calloc(LINES_MAX, sizeof *plan->lines);
    plan->wanted.places = plan->places;
    plan->wanted.members = plan->members;
    if (plan->wanted.entries && plan->places && plan->members && plan->lines)
        return 0;
    guard_plan_close(plan);
    return -ENOMEM;
}

void guard_plan_close(struct guard_plan *plan) {
    free(plan->wanted.entries);
    free(plan->places);
    free(plan->members);
    free(plan->lines);
    guard_view_clear(&plan->view);
    plan->wanted = (struct guarding_plan){0};
    plan->places = NULL;
    plan->members = NULL;
    plan->lines = NULL;
    plan->lines_count = 0;
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
static uint32_t entry_of(struct guard_plan *plan, const struct app *app, const char *resource, enum guard_side side,
                         size_t *ret_left_out) {
    struct guarding_plan *wanted = &plan->wanted;
    *ret_left_out = 0;
    for (size_t i = 0; i < wanted->entries_count; i++)
        if (wanted->entries[i].side == side && strcmp(wanted->entries[i].app, app->name) == 0 &&
            strcmp(wanted->entries[i].resource, resource) == 0)
            return (uint32_t)i + 1;
    if (wanted->entries_count == GUARD_MAX)
        return 0;
    struct guarding_entry *entry = &wanted->entries[wanted->entries_count];
    *entry = (struct guarding_entry){
        .side = side, .app_number = number_of(app), .off = snapshot_is_off(app->memory.rules)};
    snprintf(entry->app, sizeof entry->app, "%s", app->name);
    snprintf(entry->resource, sizeof entry->resource, "%s", resource);
    entry->limits_count = (uint32_t)guard_rules_compile(
        ruleset_of(app), resource, side == GUARD_INBOUND ? SIDE_INBOUND : SIDE_OUTBOUND, entry->limits, ret_left_out);
    return entry->limits_count ? (uint32_t)++wanted->entries_count : 0;
}

static struct guard_line *line_of(struct guard_plan *plan, struct app *app, const char *resource) {
    for (size_t i = 0; i < plan->lines_count; i++)
        if (plan->lines[i].app == app && strcmp(plan->lines[i].resource, resource) == 0)
            return &plan->lines[i];
    if (plan->lines_count == LINES_MAX)
        return NULL;
    struct guard_line *line = &plan->lines[plan->lines_count++];
    *line = (struct guard_line){.app = app};
    snprintf(line->resource, sizeof line->resource, "%s", resource);
    return line;
}

static void add_place(struct guard_plan *plan, const struct guard_place *place, uint32_t entry) {
    for (size_t i = 0; i < plan->wanted.places_count; i++)
        if (memcmp(&plan->places[i].place, place, sizeof *place) == 0) {
            if (entry == 0) /* of several sockets at one address some are a shim's: they cannot be distinguished here */
                plan->places[i].entry = 0;
            return;
        }
    if (plan->wanted.places_count < GUARD_PLACES_MAX)
        plan->places[plan->wanted.places_count++] = (struct guarding_place){.place = *place, .entry = entry};
}

/* ---------------------------------------------------------------------------------------------------------- inbound */

static bool maybe_inbound(const void *ruleset, const struct rule *rule) {
    return rule->mode != MODE_OFF && rule->side != SIDE_OUTBOUND && !guard_rules_why_not(ruleset, rule) &&
           (rule->match != MATCH_EXACT || strncmp(ruleset_text(ruleset, rule->resource), "tcp::", 5) == 0);
}

static bool any_inbound(const struct guard_plan *plan) {
    for (const struct app *app = plan->apps->first; app; app = app->next) {
        const void *ruleset = ruleset_of(app);
        for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
            if (maybe_inbound(ruleset, &ruleset_rules(ruleset)[i]))
                return true;
    }
    return false;
}

static struct app *app_of_process(const struct guard_plan *plan, const struct listener_process *process) {
    struct attach_peer peer = {.pid = process->pid, .uid = process->uid};
    memcpy(peer.exe, process->exe, sizeof peer.exe);
    memcpy(peer.comm, process->comm, sizeof peer.comm);
    memcpy(peer.cgroup, process->cgroup, sizeof peer.cgroup);
    return attach_match_app(plan->apps, &peer);
}

struct decision {
    struct app *app; /* NULL: no rule */
    pid_t pid;
    bool shim;
};

static struct decision decide(const struct guard_plan *plan, const struct listeners *all, const struct listener *l,
                              const char *resource) {
    struct decision decision = {0};
    struct guarding_limit limits[GUARD_LIMITS_MAX];
    size_t left_out;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct listener_process *process = &all->processes[all->holders[l->first + i]];
        struct app *app = app_of_process(plan, process);
        const void *ruleset = app ? ruleset_of(app) : NULL;
        decision.shim |= plan->view.has_shim[all->holders[l->first + i]];
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

static void place_listener(struct guard_plan *plan, const struct listener *l, uint64_t own, uint32_t entry) {
    struct guard_place place = {.port = l->port, .side = GUARD_INBOUND};
    put_address(l, &place);
    add_place(plan, &place, entry);
    if (l->family == LISTENER_DUAL && !has_any_v4(&plan->view.listeners, own, l->port)) {
        place.address[10] = place.address[11] = 0xff;
        add_place(plan, &place, entry);
    }
}

static uint32_t enforce(struct guard_plan *plan, const struct decision *decision, const char *resource) {
    struct guard_line *line = line_of(plan, decision->app, resource);
    size_t left_out;
    uint32_t entry = decision->shim || !plan->ebpf->guarding
                         ? 0
                         : entry_of(plan, decision->app, resource, GUARD_INBOUND, &left_out);
    if (line && (line->pid == 0 || decision->shim)) {
        line->pid = decision->pid;
        line->by = decision->shim ? BUS_BY_SHIM : entry ? BUS_BY_KERNEL : BUS_BY_NOTHING;
        line->why = plan->ebpf->guarding ? "too many guarded ports" : plan->ebpf->feature[EBPF_GUARD].why;
        line->entry = entry;
        line->left_out = entry ? (uint32_t)left_out : 0;
    }
    return entry;
}

static void resource_of(uint16_t port, char *text, size_t size) {
    snprintf(text, size, "tcp::%u", port);
}

/* Once a port has a plan, each listener of that port has its place: those of others are to be left alone. */
static void plan_port(struct guard_plan *plan, uint64_t own, uint32_t first, uint32_t end) {
    const struct listeners *all = &plan->view.listeners;
    char resource[32];
    uint32_t entries[64];
    bool any = false;
    if (end - first > sizeof entries / sizeof *entries)
        end = first + sizeof entries / sizeof *entries;
    resource_of(all->list[first].port, resource, sizeof resource);
    for (uint32_t i = first; i < end; i++) {
        struct decision decision = decide(plan, all, &all->list[i], resource);
        entries[i - first] = decision.app ? enforce(plan, &decision, resource) : 0;
        any |= entries[i - first] != 0;
    }
    for (uint32_t i = first; any && i < end; i++)
        place_listener(plan, &all->list[i], own, entries[i - first]);
}

static void plan_inbound(struct guard_plan *plan) {
    const struct listeners *all = &plan->view.listeners;
    uint64_t own = plan->view.own_namespace;
    for (uint32_t first = 0, end; first < all->count; first = end) { /* in order of namespace and port */
        for (end = first + 1; end < all->count && all->list[end].port == all->list[first].port &&
                              all->list[end].namespace == all->list[first].namespace;
             end++)
            continue;
        if (all->list[first].namespace == 0 || all->list[first].namespace == own)
            plan_port(plan, own, first, end);
    }
}

/* --------------------------------------------------------------------------------------------------------- outbound */

static void plan_destination(struct guard_plan *plan, struct app *app, const char *resource) {
    struct guard_place place;
    size_t left_out;
    if (!guard_rules_destination(resource, &place))
        return;
    bool able = plan->ebpf->guarding && guarding_can_outbound(plan->ebpf->guarding);
    uint32_t entry = able ? entry_of(plan, app, resource, GUARD_OUTBOUND, &left_out) : 0;
    struct guard_line *line = line_of(plan, app, resource);
    if (line) {
        line->by = entry ? BUS_BY_KERNEL : BUS_BY_NOTHING;
        line->why = able ? "too many guarded destinations" : plan->ebpf->feature[EBPF_GUARD].why;
        line->entry = entry;
        line->left_out = entry ? (uint32_t)left_out : 0;
    }
    if (entry) {
        place.app = number_of(app);
        add_place(plan, &place, entry);
    }
}

/* An app without a "match" cannot be recognised. */
static bool has_match(const struct guard_plan *plan, const struct app *app) {
    for (size_t i = 0; i < plan->apps->rules->count; i++) {
        const struct rule_file *file = plan->apps->rules->files[i];
        const char *name = file->good ? rule_dir_app(plan->apps->rules, file) : NULL;
        if (!name || strcmp(name, app->name) != 0)
            continue;
        struct rule_app_match m = rule_document_match(file->good);
        if (m.exe || m.unit || m.cgroup || m.comm || m.uid >= 0)
            return true;
    }
    return false;
}

static bool is_outbound(const void *ruleset, const struct rule *rule) {
    return rule->match == MATCH_EXACT && rule->mode != MODE_OFF && rule->side != SIDE_INBOUND &&
           !guard_rules_why_not(ruleset, rule);
}

static bool plan_outbound(struct guard_plan *plan) {
    size_t before = plan->wanted.entries_count;
    for (struct app *app = plan->apps->first; app; app = app->next) {
        const void *ruleset = ruleset_of(app);
        for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count && has_match(plan, app); i++)
            if (is_outbound(ruleset, &ruleset_rules(ruleset)[i]))
                plan_destination(plan, app, ruleset_text(ruleset, ruleset_rules(ruleset)[i].resource));
    }
    return plan->wanted.entries_count > before;
}

static bool any_outbound(const struct guard_plan *plan) {
    struct guard_place place;
    for (const struct app *app = plan->apps->first; app; app = app->next) {
        const void *ruleset = ruleset_of(app);
        for (uint32_t i = 0; ruleset && i < ruleset_head(ruleset)->rules_count; i++)
            if (is_outbound(ruleset, &ruleset_rules(ruleset)[i]) &&
                guard_rules_destination(ruleset_text(ruleset, ruleset_rules(ruleset)[i].resource), &place))
                return true;
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------------------- members */

static void add_member(struct guard_plan *plan, const struct guard_member *member) {
    if (plan->wanted.members_count < GUARD_MEMBERS_MAX)
        plan->members[plan->wanted.members_count++] = *member;
}

static void add_cgroup(struct guard_plan *plan, const struct guard_member *like, const char *path, uint32_t level) {
    struct guard_member member = *like;
    struct stat status;
    if (stat(path, &status) < 0)
        return;
    member.cgroup = status.st_ino;
    member.level = level;
    add_member(plan, &member);
}

static void unit_cgroup(const char *unit, char ret_name[static GUARD_UNIT_MAX]) {
    snprintf(ret_name, GUARD_UNIT_MAX, "%s%s", unit, strchr(unit, '.') ? "" : ".service");
}

static void add_unit(struct guard_plan *plan, const struct guard_member *like, const char *unit) {
    char name[GUARD_UNIT_MAX];
    unit_cgroup(unit, name);
    for (size_t i = 0; i < plan->view.cgroups_count; i++) {
        struct guard_member member = *like;
        if (strcmp(plan->view.cgroups[i].unit, name) != 0)
            continue;
        member.cgroup = plan->view.cgroups[i].inode;
        member.level = plan->view.cgroups[i].level;
        add_member(plan, &member);
    }
}

static uint32_t level_of(const char *path) {
    uint32_t level = 0;
    for (; *path; path++)
        level += path[0] == '/' && path[1] != '/' && path[1] != 0;
    return level;
}

static void add_members(struct guard_plan *plan, struct guard_member *member, const struct rule_app_match *match) {
    const char *mount = plan->ebpf->cgroup_root;
    char path[GUARD_PATH_MAX];
    bool cgroups = mount[0] != 0;
    if (match->unit && cgroups) {
        add_unit(plan, member, match->unit);
    } else if (match->cgroup && cgroups) {
        snprintf(path, sizeof path, "%s/%s", mount, match->cgroup);
        add_cgroup(plan, member, path, level_of(match->cgroup) + (match->cgroup[0] != '/' && match->cgroup[0] != 0));
    } else if (!match->unit && !match->cgroup) {
        add_member(plan, member);
    }
}

static void plan_members(struct guard_plan *plan) {
    for (size_t i = 0; i < plan->apps->rules->count; i++) {
        const struct rule_file *file = plan->apps->rules->files[i];
        const char *name = file->good ? rule_dir_app(plan->apps->rules, file) : NULL;
        const struct app *app = name ? app_find(plan->apps, name) : NULL;
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
        add_members(plan, &member, &match);
    }
}

/* -------------------------------------------------------------------------------------------------------------- all */

static void wish_units(const struct guard_plan *plan, struct guard_wish *wish) {
    const struct rule_dir *rules = plan->apps->rules;
    char name[GUARD_UNIT_MAX];
    for (size_t i = 0; i < rules->count; i++) {
        const char *unit = rules->files[i]->good ? rule_document_match(rules->files[i]->good).unit : NULL;
        if (!unit)
            continue;
        unit_cgroup(unit, name);
        (void)guard_wish_unit(wish, name);
    }
}

bool guard_plan_wish(const struct guard_plan *plan, const char *proc, struct guard_wish *wish) {
    *wish = (struct guard_wish){.listeners = any_inbound(plan)};
    snprintf(wish->proc, sizeof wish->proc, "%s", proc);
    snprintf(wish->cgroups, sizeof wish->cgroups, "%s", plan->ebpf->cgroup_root);
    if (any_outbound(plan))
        wish_units(plan, wish);
    return wish->listeners || wish->units_count > 0;
}

bool guard_plan_make(struct guard_plan *plan) {
    plan->wanted.entries_count = plan->wanted.places_count = plan->wanted.members_count = plan->lines_count = 0;
    bool inbound = any_inbound(plan);
    if (inbound)
        plan_inbound(plan);
    bool outbound = plan_outbound(plan);
    if (outbound)
        plan_members(plan);
    return inbound || outbound;
}
