#include "agent/kernel/unseen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ebpf/counting.h"
#include "rules/rule.h"
#include "rules/snapshot.h"

enum { OWNERS_EVERY = 10 /* looks */ };

/* ----------------------------------------------------------------------------------------------------- comparison */

uint16_t unseen_port_of(const char *resource) {
    static const char prefix[] = "tcp::";
    char *end;
    if (strncmp(resource, prefix, sizeof prefix - 1) != 0)
        return 0;
    unsigned long port = strtoul(resource + sizeof prefix - 1, &end, 10);
    return *end == 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

static uint64_t missing(const struct unseen_port *port) {
    return port->kernel > port->shim ? port->kernel - port->shim : 0;
}

/* The kernel's count is the one of the look before: what the program has not accepted in a second is in its queue
 * (`waiting`), or went by.  Reported again when it has doubled. */
bool unseen_compare(struct unseen_port *port, uint64_t kernel, uint64_t shim, uint64_t waiting) {
    port->shim = shim >= port->shim_base ? shim - port->shim_base : 0;
    bool behind = missing(port) > UNSEEN_SLACK + waiting;
    port->behind = behind ? port->behind + 1 : 0;
    bool report = port->behind >= UNSEEN_LOOKS && missing(port) >= 2 * port->reported;
    if (report)
        port->reported = missing(port);
    port->kernel = kernel >= port->kernel_base ? kernel - port->kernel_base : 0;
    return report;
}

/* ---------------------------------------------------------------------------------------------------------- looking */

static uint32_t own_namespace(void) {
    struct stat status;
    return stat("/proc/self/ns/net", &status) == 0 ? (uint32_t)status.st_ino : 0;
}

static struct unseen_port *find(const struct unseen *unseen, const struct app *app, uint16_t port) {
    for (size_t i = 0; i < unseen->count; i++)
        if (unseen->list[i].app == app && unseen->list[i].port == port)
            return &unseen->list[i];
    return NULL;
}

static struct unseen_port *add(struct unseen *unseen, const struct app *app, uint16_t port) {
    if (unseen->count == unseen->room) {
        size_t room = unseen->room ? unseen->room * 2 : 16;
        struct unseen_port *list = realloc(unseen->list, room * sizeof *list);
        if (!list)
            return NULL;
        unseen->list = list;
        unseen->room = room;
    }
    struct unseen_port *new = &unseen->list[unseen->count++];
    *new = (struct unseen_port){.app = app, .port = port};
    return new;
}

/* In the accept queue of a port. */
static uint64_t waiting_on(const struct unseen *unseen, uint32_t namespace, uint16_t port) {
    uint64_t waiting = 0;
    for (size_t i = 0; i < unseen->waiting_count; i++)
        if (unseen->waiting[i].netns == namespace && unseen->waiting[i].port == port)
            waiting += unseen->waiting[i].waiting;
    return waiting;
}

/* A process that ends takes with it what waited in its accept queue: no process will ever see that. */
static uint64_t processes_of(const struct app *app) {
    uint64_t mixed = 0;
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (app->clients.slot[slot])
            mixed += (app->clients.slot[slot]->owner ^ slot) * 0x9e3779b97f4a7c15u;
    return mixed;
}

static void look_at(struct unseen *unseen, const struct app *app, uint16_t number, uint64_t shim, uint32_t namespace) {
    uint64_t kernel = counting_opened(unseen->ebpf->counting, namespace, number), processes = processes_of(app);
    struct unseen_port *port = find(unseen, app, number);
    if (!port)
        port = add(unseen, app, number);
    if (!port)
        return;
    if (!port->kept || port->processes != processes) {
        *port = (struct unseen_port){.app = app,
                                     .port = number,
                                     .processes = processes,
                                     .kernel_base = kernel,
                                     .shim_base = shim,
                                     .seen = true,
                                     .kept = true};
        return;
    }
    port->seen = true;
    uint64_t waiting = port->behind ? waiting_on(unseen, namespace, number) : 0;
    if (!unseen_compare(port, kernel, shim, waiting))
        return;
    struct bus_event event = {.kind = BUS_UNSEEN, .app = app->name};
    event.unseen.port = number;
    event.unseen.missing = missing(port);
    event.unseen.all = port->kernel;
    bus_publish(unseen->bus, &event);
}

static void forget_old(struct unseen *unseen) {
    size_t kept = 0;
    for (size_t i = 0; i < unseen->count; i++) {
        if (unseen->list[i].seen)
            unseen->list[kept++] = unseen->list[i];
    }
    unseen->count = kept;
}

/* ----------------------------------------------------------------------------------------- by walks over the host */

struct reading {
    struct work work;
    struct unseen *unseen;
    const struct ebpf *ebpf;
    bool want_owners, want_waiting;
    struct listening_owner *owners;
    struct count_listener *waiting;
    size_t owners_count, waiting_count;
};

static void reading_run(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    if (reading->want_owners)
        (void)owners_read(reading->ebpf->owners, &reading->owners, &reading->owners_count);
    if (reading->want_waiting)
        (void)counting_pass(reading->ebpf->counting, &reading->waiting, &reading->waiting_count);
}

static void reading_done(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    struct unseen *unseen = reading->unseen;
    unseen->reading = false;
    if (reading->want_owners) {
        free(unseen->owners);
        unseen->owners = reading->owners;
        unseen->owners_count = reading->owners_count;
        reading->owners = NULL;
    }
    free(unseen->waiting);
    unseen->waiting = reading->waiting;
    unseen->waiting_count = reading->waiting_count;
    reading->waiting = NULL;
}

static void reading_drop(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    free(reading->owners);
    free(reading->waiting);
    free(reading);
}

/* Who listens, now and then; what waits, while something seems to be missing.  Both for the next look. */
static void read_host(struct unseen *unseen) {
    bool behind = false;
    for (size_t i = 0; i < unseen->count; i++)
        behind |= unseen->list[i].behind > 0;
    bool owners = unseen->ebpf->owners && unseen->looks++ % OWNERS_EVERY == 0;
    struct reading *reading = (owners || behind) && !unseen->reading ? calloc(1, sizeof *reading) : NULL;
    if (!reading)
        return;
    unseen->reading = true;
    *reading = (struct reading){.work = {reading_run, reading_done, reading_drop, NULL},
                                .unseen = unseen,
                                .ebpf = unseen->ebpf,
                                .want_owners = owners,
                                .want_waiting = behind};
    worker_ask(unseen->worker, &reading->work);
}

/* ---------------------------------------------------------------------------------------------------------- looking */

static bool has_process(const struct app *app, uint32_t pid) {
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (app->clients.slot[slot] && app->clients.slot[slot]->pid == (pid_t)pid)
            return true;
    return false;
}

/* Connections that an app's processes have seen on a port. */
static uint64_t seen_on(const struct app *app, uint16_t port) {
    for (uint32_t i = 0; i < app->metrics.count; i++) {
        const struct metrics_resource *r = &app->metrics.resources[i];
        if (r->side == SIDE_INBOUND && unseen_port_of(r->name) == port)
            return r->total.pass + r->total.block;
    }
    return 0;
}

static bool is_seen(const struct unseen *unseen, const struct app *app, uint16_t number) {
    const struct unseen_port *port = find(unseen, app, number);
    return port && port->seen;
}

/* The ports that its processes listen on; where that is not known, those that it has seen something of. */
static void look_at_app(struct unseen *unseen, const struct app *app, uint32_t namespace) {
    for (size_t i = 0; i < unseen->owners_count; i++) {
        const struct listening_owner *owner = &unseen->owners[i];
        if (owner->netns == namespace && !is_seen(unseen, app, owner->port) && has_process(app, owner->pid))
            look_at(unseen, app, owner->port, seen_on(app, owner->port), namespace);
    }
    for (uint32_t i = 0; i < app->metrics.count; i++) {
        const struct metrics_resource *r = &app->metrics.resources[i];
        uint16_t port = r->side == SIDE_INBOUND ? unseen_port_of(r->name) : 0;
        if (port && !is_seen(unseen, app, port))
            look_at(unseen, app, port, r->total.pass + r->total.block, namespace);
    }
}

/* An app without rules is not looked into by its shims. */
static bool is_compared(const struct app *app) {
    return app->clients.count > 0 && (app->inherited || app->rules > 0) && !snapshot_is_off(app->memory.rules);
}

void unseen_look(struct unseen *unseen) {
    uint32_t namespace = own_namespace();
    bool any = false;
    if (!unseen->ebpf->feature[EBPF_COUNT].on)
        return;
    for (const struct app *app = unseen->apps->first; app; app = app->next)
        any |= is_compared(app);
    for (size_t i = 0; i < unseen->count; i++)
        unseen->list[i].seen = false;
    for (const struct app *app = unseen->apps->first; app; app = app->next)
        if (is_compared(app))
            look_at_app(unseen, app, namespace);
    forget_old(unseen);
    if (any)
        read_host(unseen);
}

void unseen_close(struct unseen *unseen) {
    free(unseen->list);
    free(unseen->owners);
    free(unseen->waiting);
    *unseen = (struct unseen){0};
}

static void add_port(const struct unseen_port *port, struct json_writer *w) {
    json_open(w, NULL);
    json_count(w, "port", port->port);
    json_count(w, "kernel", port->kernel);
    json_count(w, "shim", port->shim);
    json_count(w, "missing", port->behind >= UNSEEN_LOOKS ? missing(port) : 0);
    json_close(w);
}

void unseen_report(const struct unseen *unseen, const struct app *app, struct json_writer *w) {
    if (!unseen->ebpf->feature[EBPF_COUNT].on)
        return;
    json_open_list(w, "coverage");
    for (size_t i = 0; i < unseen->count; i++)
        if (unseen->list[i].app == app)
            add_port(&unseen->list[i], w);
    json_close_list(w);
}
