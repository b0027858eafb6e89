#include "agent/apps/process_use.h"

#include <string.h>

#include "rules/atomic.h"

static const uint64_t SHOWN_NS = 5000000000u; /* so long may a parent take to wait for a child that ended */

/* ---------------------------------------------------------------------------------------------------- its threads */

static pid_t tid_of(const struct process_use *use, const struct client *client, pid_t inner) {
    pid_t own = (pid_t)(client->owner & INT32_MAX); /* as the process calls itself */
    for (int i = 0; i < PROCESS_USE_NOTES; i++)
        if (use->thread[i].inner == inner && use->thread[i].tid)
            return use->thread[i].tid;
    return inner == own ? client->pid : own == client->pid ? inner : thread_time_find(client->pid, inner);
}

/* The threads that served lately, with their times of now: what the next look compares with.  A library that notes none
 * leaves the main thread, which is the one that serves in an event loop. */
static void note_threads(struct process_use *use, const struct client *client, const struct layout_process *process) {
    struct process_use_thread next[PROCESS_USE_NOTES] = {{0}};
    for (int i = 0; i < PROCESS_USE_NOTES; i++) {
        pid_t inner = (pid_t)(load_relaxed(&process->served_by[i]) & INT32_MAX);
        int same = 0;
        while (same < i && next[same].inner != inner)
            same++;
        if (same < i) {
            next[i] = next[same];
            continue;
        }
        next[i].inner = inner;
        next[i].tid = inner ? tid_of(use, client, inner) : 0;
        if (!thread_time_read(client->pid, next[i].tid, &next[i].time))
            next[i].tid = 0;
    }
    bool none = true;
    for (int i = 0; i < PROCESS_USE_NOTES; i++)
        none &= next[i].inner == 0;
    if (none && thread_time_read(client->pid, client->pid, &next[0].time))
        next[0].tid = next[0].inner = client->pid;
    memcpy(use->thread, next, sizeof next);
}

static double share_of(const struct process_use *use, const struct process_use_thread *before, uint64_t passed_ns) {
    struct thread_time now;
    if (!thread_time_read(use->pid, before->tid, &now) || now.ran_ns < before->time.ran_ns ||
        now.waited_ns < before->time.waited_ns)
        return -1;
    double share = (double)(now.ran_ns - before->time.ran_ns + now.waited_ns - before->time.waited_ns) /
                   (double)passed_ns;
    return share < 1 ? share : 1;
}

/* A thread that was noted more often counts for more: it serves more. */
static void measure_threads(const struct process_use *use, uint64_t passed_ns, struct saturation_process *ret) {
    double share[PROCESS_USE_NOTES], sum = 0, distinct = 0;
    int known = 0;
    for (int i = 0; i < PROCESS_USE_NOTES; i++) {
        const struct process_use_thread *thread = &use->thread[i];
        int same = 0;
        while (same < i && use->thread[same].tid != thread->tid)
            same++;
        share[i] = same < i ? share[same] : thread->tid ? share_of(use, thread, passed_ns) : -1;
        if (share[i] < 0)
            continue;
        known++;
        sum += share[i];
        distinct += same < i ? 0 : share[i];
    }
    ret->busy = known ? sum / known : -1;
    ret->wanted = known ? distinct : -1;
}

/* ----------------------------------------------------------------------------------------------------- the process */

/* Programs that it started and that ended (CGI): the kernel adds a child's time to its parent's account when it is
 * waited for.  More than could have been used meanwhile is of a child that was running before, too: not of now. */
static double children_since(struct process_use *use, const struct process_use_look *look) {
    uint64_t total;
    if (!thread_time_children(use->pid, &use->parent, &total))
        return 0;
    uint64_t since = total > use->children_ns ? total - use->children_ns : 0;
    use->children_ns = total;
    if (look->now_ns - use->ended_at_ns > SHOWN_NS)
        use->ended_ns = 0;
    uint64_t again = since < use->ended_ns ? since : use->ended_ns;
    use->ended_ns -= again;
    double cpus = (double)(since - again) / (double)look->passed_ns;
    return cpus < 1.5 * look->cpus ? cpus : 0;
}

static bool begin(struct process_use *use, const struct client *client, const struct layout_process *process) {
    *use = (struct process_use){.owner = client->owner, .pid = client->pid};
    use->one_at_a_time = saturation_one_at_a_time(client->exe);
    use->ran_ns = thread_time_of_process(client->pid);
    thread_time_children(client->pid, &use->parent, &use->children_ns);
    note_threads(use, client, process);
    return false;
}

bool process_use_look(struct process_use *use, const struct client *client, const struct layout_process *process,
                      const struct process_use_look *look, struct saturation_process *ret_process) {
    *ret_process = (struct saturation_process){.used = -1, .busy = -1, .wanted = -1};
    uint64_t ran_ns = thread_time_of_process(client->pid);
    if (use->owner != client->owner || use->pid != client->pid || use->ran_ns == 0 || ran_ns < use->ran_ns)
        return begin(use, client, process);
    ret_process->used = (double)(ran_ns - use->ran_ns) / (double)look->passed_ns;
    use->ran_ns = ran_ns;
    use->children = children_since(use, look);
    use->one_at_a_time &= ret_process->used < SATURATION_PARALLEL;
    ret_process->one_at_a_time = use->one_at_a_time;
    if (look->serves)
        measure_threads(use, look->passed_ns, ret_process);
    note_threads(use, client, process);
    return true;
}

void process_use_ended(struct process_use *parent, const struct process_use *child, uint64_t now_ns) {
    parent->ended_ns += child->ran_ns + child->children_ns;
    parent->ended_at_ns = now_ns;
}
