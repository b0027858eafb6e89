#include "agent/apps/cpu_room.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/process/proc.h"
#include "rules/hash.h"

enum { TEXT_MAX = 4096 };
static const uint64_t FRESH_NS = 2000000000u; /* quotas are changed by hand, or by an autoscaler */

static bool read_cgroups(pid_t pid, char text[static TEXT_MAX]) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    return proc_read_at(AT_FDCWD, path, text, TEXT_MAX);
}

uint64_t cpu_room_hash(pid_t pid) {
    char text[TEXT_MAX];
    return read_cgroups(pid, text) ? hash_bytes(0, text, strlen(text)) | 1 : 0;
}

void cpu_room_begin(struct cpu_room *room) {
    if (!room->found)
        room->found = cgroup_find(&room->mounts);
    CPU_ZERO(&room->allowed);
    room->crowded = false;
    for (int i = 0; i < CPU_ROOM_GROUPS; i++) {
        if (!room->group[i].here)
            room->group[i].hash = 0;
        room->group[i].here = false;
    }
}

static struct cpu_room_group *group_of(struct cpu_room *room, uint64_t hash) {
    struct cpu_room_group *unused = NULL;
    for (int i = 0; i < CPU_ROOM_GROUPS; i++) {
        if (room->group[i].hash == hash)
            return &room->group[i];
        if (!room->group[i].hash && !unused)
            unused = &room->group[i];
    }
    if (unused)
        *unused = (struct cpu_room_group){.hash = hash};
    return unused;
}

static void refresh(struct cpu_room *room, struct cpu_room_group *group, pid_t pid, uint64_t now_ns) {
    char text[TEXT_MAX];
    bool is_new = group->read_ns == 0;
    if ((!is_new && now_ns - group->read_ns < FRESH_NS) || !read_cgroups(pid, text))
        return;
    cgroup_limit_of(&room->mounts, text, &group->limit);
    group->read_ns = now_ns;
    if (!is_new)
        return;
    cgroup_read_waits(group->limit.limiting, &group->limiting);
    cgroup_read_waits(group->limit.own, &group->own);
}

void cpu_room_add(struct cpu_room *room, pid_t pid, uint64_t hash, uint64_t now_ns) {
    cpu_set_t allowed;
    if (sched_getaffinity(pid, sizeof allowed, &allowed) == 0)
        CPU_OR(&room->allowed, &room->allowed, &allowed);
    struct cpu_room_group *group = hash ? group_of(room, hash) : NULL;
    room->crowded |= !group;
    if (!group)
        return;
    group->here = true;
    refresh(room, group, pid, now_ns);
}

/* The same cgroup limits the groups of an earlier number, too: its quota is there once. */
static bool is_first_of_its_limit(const struct cpu_room *room, int number) {
    for (int i = 0; i < number; i++)
        if (room->group[i].here && strcmp(room->group[i].limit.limiting, room->group[number].limit.limiting) == 0)
            return false;
    return true;
}

double cpu_room_size(const struct cpu_room *room, double host) {
    double allowed = CPU_COUNT(&room->allowed), quota = 0;
    double cpus = allowed > 0 && allowed < host ? allowed : host;
    for (int i = 0; i < CPU_ROOM_GROUPS; i++) {
        if (!room->group[i].here)
            continue;
        if (room->crowded || !(room->group[i].limit.cpus > 0))
            return cpus;
        quota += is_first_of_its_limit(room, i) ? room->group[i].limit.cpus : 0;
    }
    return quota > 0 && quota < cpus ? quota : cpus;
}

double cpu_room_used(struct cpu_room *room) {
    struct cpu_times before = room->times;
    bool same = CPU_EQUAL(&room->allowed, &room->measured);
    if (!cpu_times_of(&room->allowed, &room->times)) {
        CPU_ZERO(&room->measured);
        return -1;
    }
    room->measured = room->allowed;
    if (!same || room->times.all <= before.all || room->times.busy < before.busy)
        return -1;
    double share = (double)(room->times.busy - before.busy) / (double)(room->times.all - before.all);
    return share < 1 ? share : 1;
}

double cpu_room_throttled(struct cpu_room *room) {
    double throttled = 0, periods = 0;
    for (int i = 0; i < CPU_ROOM_GROUPS; i++) {
        struct cpu_room_group *group = &room->group[i];
        struct cgroup_waits now;
        if (!group->here || !(group->limit.cpus > 0) || !cgroup_read_waits(group->limit.limiting, &now))
            continue;
        if (now.periods > group->limiting.periods && now.throttled >= group->limiting.throttled &&
            is_first_of_its_limit(room, i)) {
            throttled += (double)(now.throttled - group->limiting.throttled);
            periods += (double)(now.periods - group->limiting.periods);
        }
        group->limiting = now;
    }
    return periods > 0 ? throttled / periods : -1;
}

double cpu_room_pressure(struct cpu_room *room, const int *pids, unsigned count, uint64_t passed_ns) {
    struct cpu_room_group *only = NULL;
    for (int i = 0; i < CPU_ROOM_GROUPS; i++) {
        if (!room->group[i].here)
            continue;
        if (only || room->crowded)
            return -1;
        only = &room->group[i];
    }
    struct cgroup_waits now;
    if (!only || !cgroup_has_only(only->limit.own, pids, count) || !cgroup_read_waits(only->limit.own, &now))
        return -1;
    uint64_t before_us = only->own.some_us;
    only->own = now;
    if (!before_us || now.some_us < before_us)
        return -1;
    double share = 1000 * (double)(now.some_us - before_us) / (double)passed_ns;
    return share < 1 ? share : 1;
}
