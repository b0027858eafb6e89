#include "agent/apps/clients.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/process/proc.h"
#include "rules/atomic.h"
#include "rules/engine/engine.h"

/* A slot whose process lives in a pid namespace that we cannot look into, and which never introduced itself, is taken
 * back when it has not been seen for this long. */
static const uint64_t UNKNOWN_NS = 600ull * 1000000000u;

static int open_pidfd(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Where /proc is closed to us (hidepid, another user's process) the pid alone has to do. */
static bool same_start(pid_t pid, uint64_t start) {
    uint64_t now = start ? proc_start_time(pid) : 0;
    return now == 0 || now == start;
}

bool clients_alive(pid_t pid, uint64_t start) {
    return pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH) && same_start(pid, start);
}

static uint64_t owner_of(const struct clients *c, uint32_t slot) {
    return __atomic_load_n(&publish_process(c->memory, slot)->owner, __ATOMIC_ACQUIRE);
}

static void describe(struct client *client) {
    char text[PROC_TEXT_MAX];
    if (client->pid <= 0)
        return;
    if (proc_exe(client->pid, text))
        snprintf(client->exe, sizeof client->exe, "%.*s", (int)sizeof client->exe - 1, text);
    else if (proc_comm(client->pid, text))
        snprintf(client->exe, sizeof client->exe, "[%.100s]", text);
}

static void forget(struct clients *c, struct client *client) {
    loop_forget(c->loop, &client->source);
    c->slot[client->slot] = NULL;
    c->count--;
    free(client);
}

static void take_back(struct clients *c, uint32_t slot, uint64_t owner) {
    engine_reclaim(&c->memory->map, slot, owner);
}

static void died(struct loop_source *source, uint32_t events) {
    struct client *client = LOOP_OWNER(source, struct client, source);
    struct clients *c = client->clients;
    (void)events;
    take_back(c, client->slot, client->owner);
    c->changed(c, client, CLIENT_GONE);
    forget(c, client);
}

/* Notes in the process table what another agent will need to find the process again. */
static void write_down(const struct clients *c, const struct client *client) {
    struct layout_process *p = publish_process(c->memory, client->slot);
    uint32_t namespace = client->pid > 0 ? proc_pid_namespace(client->pid) : 0;
    p->host_start = client->start;
    p->host_pid = (uint32_t)client->pid;
    if (namespace)
        p->pid_namespace = namespace;
    if (client->vouched) {
        c->memory->rules->vouched_pid[client->slot] = (uint32_t)client->pid;
        c->memory->rules->vouched_start[client->slot] = client->start;
    }
}

static bool was_vouched_for(const struct clients *c, const struct client *client) {
    const struct layout_rules_header *rules = c->memory->rules;
    return client->start && rules->vouched_pid[client->slot] == (uint32_t)client->pid &&
           rules->vouched_start[client->slot] == client->start;
}

/* Takes the process up; a pidfd of -1 leaves it to clients_scan to notice its end. */
static bool add(struct clients *c, uint32_t slot, uint64_t owner, pid_t pid, int pidfd, enum client_change how) {
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        if (pidfd >= 0)
            close(pidfd);
        return false;
    }
    *client = (struct client){.clients = c, .slot = slot, .owner = owner, .pid = pid, .since = time(NULL)};
    client->source = (struct loop_source){.fd = -1, .ready = died};
    client->start = proc_start_time(pid);
    client->vouched = how == CLIENT_ATTACHED || was_vouched_for(c, client);
    describe(client);
    if (pidfd >= 0 && loop_watch(c->loop, &client->source, pidfd, EPOLLIN) < 0)
        close(pidfd);
    c->slot[slot] = client;
    c->count++;
    write_down(c, client);
    c->changed(c, client, how);
    return true;
}

/* A process has one slot: another one with its pid is of the program that it replaced by exec. */
static void forget_former_life(struct clients *c, pid_t pid, uint32_t slot) {
    for (uint32_t i = 0; i < LAYOUT_PROCESSES; i++) {
        struct client *client = c->slot[i];
        if (!client || i == slot || client->pid != pid)
            continue;
        take_back(c, i, client->owner);
        forget(c, client);
    }
}

bool clients_introduce(struct clients *c, uint32_t slot, uint64_t owner, pid_t pid, int pidfd) {
    bool right = slot < LAYOUT_PROCESSES && owner != 0 && owner_of(c, slot) == owner && pid > 0;
    struct client *known = right ? c->slot[slot] : NULL;
    if (!right || (known && known->owner == owner && known->source.fd >= 0 && known->vouched)) {
        if (pidfd >= 0)
            close(pidfd);
        return right && known->pid == pid; /* a slot that is watched does not change hands */
    }
    if (known)
        forget(c, known);
    forget_former_life(c, pid, slot);
    if (pidfd < 0)
        pidfd = open_pidfd(pid);
    if (pidfd < 0 && errno == ESRCH) { /* it came and went */
        take_back(c, slot, owner);
        return true;
    }
    return add(c, slot, owner, pid, pidfd, CLIENT_ATTACHED);
}

/* A slot that is taken by an unknown process: the process of an earlier agent's time, or one that found no agent when
 * it took it.  Its numbers are untrusted: they are compared with what the kernel says.  They may
 * also be its predecessor's still, in a process that is just taking the slot: judged dead is only who was there last
 * time.
 */
static void meet(struct clients *c, uint32_t slot, uint64_t owner, uint64_t engine_now_ns, uint32_t own_namespace) {
    const struct layout_process *p = publish_process(c->memory, slot);
    bool again = c->stranger[slot] == owner;
    c->stranger[slot] = owner;
    uint64_t seen_ns = __atomic_load_n(&p->seen_ns, __ATOMIC_RELAXED), attached_ns = p->attached_ns;
    uint32_t noted_pid = load_relaxed(&p->host_pid);
    uint64_t noted_start = load_relaxed(&p->host_start);
    pid_t host_pid = (pid_t)noted_pid;
    bool noted = host_pid > 0 && noted_start != 0;
    if (!noted && own_namespace && p->pid_namespace == own_namespace) {
        host_pid = (pid_t)(owner & INT32_MAX);
        noted = true;
    }
    if (noted) {
        if (clients_alive(host_pid, noted_pid == (uint32_t)host_pid ? noted_start : 0))
            add(c, slot, owner, host_pid, open_pidfd(host_pid), CLIENT_FOUND);
        else if (again)
            take_back(c, slot, owner);
        return;
    }
    uint64_t last_ns = seen_ns > attached_ns ? seen_ns : attached_ns;
    if (engine_now_ns > last_ns && engine_now_ns - last_ns > UNKNOWN_NS)
        take_back(c, slot, owner);
}

void clients_scan(struct clients *c, uint64_t engine_now_ns) {
    uint32_t own_namespace = 0;
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++) {
        uint64_t owner = owner_of(c, slot);
        struct client *client = c->slot[slot];
        if (client && client->owner != owner) { /* it gave the slot back itself */
            c->changed(c, client, CLIENT_LEFT);
            forget(c, client);
            client = NULL;
        }
        if (client && client->source.fd < 0 && !clients_alive(client->pid, client->start)) {
            died(&client->source, 0);
            continue;
        }
        if (client || owner == 0)
            continue;
        if (!own_namespace)
            own_namespace = proc_pid_namespace(getpid());
        meet(c, slot, owner, engine_now_ns, own_namespace);
    }
}

void clients_open(struct clients *c, struct loop *loop, struct publish *memory,
                  void (*changed)(struct clients *, const struct client *, enum client_change)) {
    memset(c, 0, sizeof *c);
    c->loop = loop;
    c->memory = memory;
    c->changed = changed;
}

void clients_close(struct clients *c) {
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (c->slot[slot])
            forget(c, c->slot[slot]);
}
