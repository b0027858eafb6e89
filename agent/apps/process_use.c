#include "agent/apps/process_use.h"

#include <string.h>

#include "rules/atomic.h"

static const uint64_t SHOWN_NS = 5000000000u;  /* so long may a parent take to wait for a child that ended */
static const uint64_t SELDOM_NS = 2000000000u; /* between looks for children, in a process that never had one */

/* ---------------------------------------------------------------------------------------------------- its threads */

static pid_t tid_of(const struct client *client, pid_t inner) {
    pid_t own = (pid_t)(client->owner & INT32_MAX); /* as the process calls itself */
    return inner == own ? client->pid : own == client->pid ? inner : thread_time_find(client->pid, inner);
}

static struct process_use_thread *find_thread(struct process_use_thread *threads, int count, pid_t inner) {
    for (int i = 0; i < count; i++)
        if (threads[i].inner == inner)
            return &threads[i];
    return NULL;
}

/* The threads that served lately, with their times of now: what the next look compares with.  A library that notes none
 * leaves the main thread, which is the one that serves in an event loop. */
static void note_threads(struct process_use *use, const struct client *client, const struct layout_process *process) {
    struct process_use_thread next[PROCESS_USE_NOTES] = {{0}};
    bool none = true;
    for (int i = 0; i < PROCESS_USE_NOTES; i++) {
        pid_t inner = (pid_t)(load_relaxed(&process->served_by[i]) & INT32_MAX);
        none &= inner == 0;
        if (inner == 0 && (i < PROCESS_USE_NOTES - 1 || !none))
            continue;
        inner = inner ? inner : (pid_t)(client->owner & INT32_MAX);
        const struct process_use_thread *known = find_thread(next, i, inner);
        known = known ? known : find_thread(use->thread, PROCESS_USE_NOTES, inner);
        next[i] = known ? *known : (struct process_use_thread){.inner = inner, .tid = tid_of(client, inner)};
        if (!known && !thread_time_read(client->pid, next[i].tid, &next[i].time))
            next[i].tid = 0;
    }
    memcpy(use->thread, next, sizeof next);
}

/* Of the time since the last look; < 0: it has ended. */
static double share_of(const struct process_use *use, struct process_use_thread *thread, uint64_t passed_ns) {
    struct thread_time before = thread->time;
    if (!thread_time_read(use->pid, thread->tid, &thread->time) || thread->time.ran_ns < before.ran_ns ||
        thread->time.waited_ns < before.waited_ns) {
        thread->tid = 0;
        return -1;
    }
    double share = (double)(thread->time.ran_ns - before.ran_ns + thread->time.waited_ns - before.waited_ns) /
                   (double)passed_ns;
    return share < 1 ? share : 1;
}

/* A thread that was noted more often counts for more: it serves more. */
static void measure_threads(struct process_use *use, uint64_t passed_ns, struct saturation_process *ret) {
    double share[PROCESS_USE_NOTES], sum = 0, distinct = 0;
    int known = 0;
    for (int i = 0; i < PROCESS_USE_NOTES; i++) {
        struct process_use_thread *thread = &use->thread[i], *same = find_thread(use->thread, i, thread->inner);
        share[i] = same ? share[same - use->thread] : share_of(use, thread, passed_ns);
        if (share[i] < 0)
            continue;
        thread->time = same ? same->time : thread->time;
        known++;
        sum += share[i];
        distinct += same ? 0 : share[i];
    }
    ret->busy = known ? sum / known : -1;
    ret->wanted = known ? distinct : -1;
}

/* ----------------------------------------------------------------------------------------------------- the process */

/* Programs that it started and that ended (CGI): the kernel adds a child's time to its parent's account when it is
 * waited for.  More than could have been used meanwhile is of a child that was running before, too: not of now. */
static double children_since(struct process_use *use, const struct process_use_look *look) {
    uint64_t total, passed_ns = look->now_ns - use->children_at_ns;
    if ((use->children_ns == 0 && passed_ns < SELDOM_NS) || !thread_time_children(use->pid, &use->parent, &total))
        return 0;
    uint64_t since = total > use->children_ns ? total - use->children_ns : 0;
    use->children_ns = total;
    use->children_at_ns = look->now_ns;
    if (look->now_ns - use->ended_at_ns > SHOWN_NS)
        use->ended_ns = 0;
    uint64_t again = since < use->ended_ns ? since : use->ended_ns;
    use->ended_ns -= again;
    double cpus = (double)(since - again) / (double)passed_ns;
    return cpus < 1.5 * look->cpus ? cpus : 0;
}

static void begin(struct process_use *use, const struct client *client, uint64_t now_ns) {
    *use = (struct process_use){.owner = client->owner, .pid = client->pid, .children_at_ns = now_ns};
    use->one_at_a_time = saturation_one_at_a_time(client->exe);
    use->ran_ns = thread_time_of_process(client->pid);
    thread_time_children(client->pid, &use->parent, &use->children_ns);
}

bool process_use_look(struct process_use *use, const struct client *client, const struct layout_process *process,
                      const struct process_use_look *look, struct saturation_process *ret_process) {
    *ret_process = (struct saturation_process){.used = -1, .busy = -1, .wanted = -1};
    uint64_t ran_ns = thread_time_of_process(client->pid);
    bool known = use->owner == client->owner && use->pid == client->pid && use->ran_ns && ran_ns >= use->ran_ns;
    if (known) {
        ret_process->used = (double)(ran_ns - use->ran_ns) / (double)look->passed_ns;
        use->ran_ns = ran_ns;
        use->children = children_since(use, look);
        use->one_at_a_time &= ret_process->used < SATURATION_PARALLEL;
        ret_process->one_at_a_time = use->one_at_a_time;
    } else {
        begin(use, client, look->now_ns);
    }
    if (known && look->serves)
        measure_threads(use, look->passed_ns, ret_process);
    if (look->serves)
        note_threads(use, client, process);
    else
        memset(use->thread, 0, sizeof use->thread);
    return known;
}

void process_use_ended(struct process_use *parent, const struct process_use *child, uint64_t now_ns) {
    parent->ended_ns += child->ran_ns + child->children_ns;
    parent->ended_at_ns = now_ns;
}
