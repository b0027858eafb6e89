#include "shim/process/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "shim/process/attach_ask.h"
#include "shim/process/attach_memory.h"
#include "shim/process/clock.h"
#include "shim/process/log.h"
#include "shim/process/pages.h"
#include "shim/process/sandbox.h"
#include "shim/process/stack.h"
#include "shim/libc/syscall_raw.h"

#define MS 1000000u
static const uint64_t LOOK_NS = 100u * MS;    /* between looks at the small things, under traffic */
static const uint64_t SAMPLE_NS = 500u * MS;  /* between samples of CPU and load for the engine */
static const uint64_t ASK_NS = 1000u * MS;    /* between questions for an agent */
static const uint64_t ANSWER_NS = 1000u * MS; /* for an answer, before we ask again */
static const uint64_t SOON_NS = 1u * MS; /* until the next look for an answer, or at rules that could not be taken */
static const uint64_t SILENCE_NS = 3000u * MS; /* without a heartbeat: the agent is gone, or serves other files */
enum { START_WAIT_MS = 200, START_STEP_MS = 5, MEMORIES = 64 };

/* What a request looks at first; the rest only when one of these says so. */
static struct {
    _Atomic(const struct layout_rules_header *) rules; /* NULL: inert */
    _Atomic uint64_t seen;                             /* its sequence when we last looked */
    _Atomic uint64_t chore_ns;                         /* when to look at the small things */
    _Atomic(struct engine *) engine;                   /* NULL: pass everything */
} hot;

static const struct layout_rules_header nowhere; /* while there is none: nothing ever changes in it */

/* Everything below is used by one thread at a time, the one that has `busy`; others go on with what they have.  Signals
 * are blocked meanwhile, so that no handler can leave with it. */
static _Atomic int busy;
static struct {
    char app[LAYOUT_APP_NAME_MAX]; /* WEIR_APP */
    char path[ATTACH_PATH_MAX];    /* of the agent's socket */
    char exe[ATTACH_EXE_MAX];      /* of this process */
    uint32_t pid_namespace;        /* inode; 0 = unknown */
    struct ask ask;
    uint64_t asked_ns;
    _Atomic uint64_t sampled_ns;
    _Atomic uint64_t loads;  /* snapshot_loads() as of then */
    _Atomic bool asking;     /* ask.fd is open */
    _Atomic bool introduced; /* the agent knows of our slot */
    _Atomic bool leftovers;  /* rulesets to be unmapped when the last request is done with them */
    bool renewed;            /* the program of this process is new, and so may be its predecessor's slot */
    bool off;
    _Atomic bool is_short; /* of memory for the rules published last */
    /* Memories are never unmapped, as tickets may still name their engines; there are few: another one comes only with
     * an agent that did not have the counters of the one before. */
    struct attach_memory memories[MEMORIES];
    int count;
} own = {.ask = {.fd = -1}, .renewed = true};

static _Atomic int memories_count; /* own.count for those who are not busy */

static struct attach_memory *current(void) {
    int count = atomic_load_explicit(&memories_count, memory_order_acquire);
    return count ? &own.memories[count - 1] : NULL;
}

static uint32_t get_pid(void) {
    return sandbox_process_id();
}

/* ------------------------------------------------------------------------------------------------------------ slot */

static struct attach_hello hello(enum attach_kind kind, const struct attach_memory *m) {
    struct attach_hello message = {
        .magic = ATTACH_MAGIC, .version = LAYOUT_VERSION, .kind = kind, .min_writer = LAYOUT_MIN_WRITER};
    if (kind == ATTACH_SLOT) {
        message.slot = m->slot;
        message.owner = m->owner;
        memcpy(message.app, m->files.rules->app, sizeof message.app);
    } else {
        memcpy(message.app, own.app, sizeof message.app);
        memcpy(message.exe, own.exe, sizeof message.exe);
    }
    if (m)
        memcpy(message.pass, m->files.rules->pass, sizeof message.pass);
    return message;
}

static void take_slot(struct attach_memory *m, uint64_t now_ns) {
    if (memory_has_slot(m))
        return;
    own.introduced = false;
    if (memory_take_slot(m, get_pid(), own.pid_namespace, own.renewed, now_ns))
        own.renewed = false;
}

/* Over the socket that is open anyway, or one of its own. */
static void introduce(struct attach_memory *m, struct ask *open) {
    if (own.introduced || !memory_has_slot(m))
        return;
    struct attach_hello message = hello(ATTACH_SLOT, m);
    own.introduced = open ? ask_tell(open, &message) : ask_once(own.path, &message);
}

/* ----------------------------------------------------------------------------------------------------------- rules */

/* An app without a single rule is left alone: its new connections are not followed, and cost nothing. */
static bool has_rules(struct engine *engine) {
    if (!engine)
        return false;
    uint32_t token = engine_read_begin(engine);
    const void *ruleset = engine_ruleset(engine);
    bool any = ruleset && ruleset_head(ruleset)->rules_count;
    engine_read_end(engine, token);
    return any;
}

/* True: all that was published is dealt with. */
static bool refresh(struct attach_memory *m, uint64_t now_ns) {
    uint64_t sequence = snapshot_sequence(m->files.rules);
    enum memory_adopted adopted = memory_adopt(m, now_ns);
    own.off = snapshot_is_off(m->files.rules);
    atomic_store_explicit(&hot.engine, own.off || !has_rules(m->engine) ? NULL : m->engine, memory_order_release);
    if (adopted == MEMORY_REFUSED)
        log_line(LOG_LEVEL_ERROR, "the rules published last are not valid; the rules before stay in force, generation",
                 (int64_t)m->adopted);
    if (adopted == MEMORY_SHORT && !own.is_short)
        log_line(LOG_LEVEL_ERROR, "no memory for the rules: is its address space limited? (RLIMIT_AS)", 0);
    own.is_short = adopted == MEMORY_SHORT;
    if (adopted != MEMORY_LATER)
        atomic_store_explicit(&hot.seen, sequence, memory_order_release);
    return adopted != MEMORY_LATER;
}

static void use_memory(const struct attach_memory *m, uint64_t *now_ns) {
    if (own.count == MEMORIES)
        return;
    own.memories[own.count++] = *m;
    clock_set_offset(m->clock_offset_ns, snapshot_alive(m->files.rules));
    *now_ns = clock_ns();
    own.introduced = false;
    own.asked_ns = 0;
    own.sampled_ns = 0;
    atomic_store_explicit(&memories_count, own.count, memory_order_release);
    struct attach_memory *mine = current();
    memory_settle(mine);
    take_slot(mine, *now_ns);
    refresh(mine, *now_ns);
    atomic_store_explicit(&hot.rules, mine->files.rules, memory_order_release);
    log_line(LOG_LEVEL_INFO, "attached, rules generation", (int64_t)mine->adopted);
}

/* ----------------------------------------------------------------------------------------------------------- agent */

static void take_answer(const struct ask_answer *answer, struct ask *open, uint64_t *now_ns) {
    struct attach_memory fresh, *m = current();
    if (answer->reply.status != ATTACH_OK) {
        log_line(LOG_LEVEL_DEBUG, "not attached, the agent's answer is", answer->reply.status);
        return;
    }
    enum memory_result result = memory_map(answer->fds, answer->reply.app, m, &fresh);
    if (result == MEMORY_OK)
        use_memory(&fresh, now_ns);
    else if (result == MEMORY_BAD)
        log_line(LOG_LEVEL_ERROR, "the shared memory that the agent gave cannot be used", 0);
    if (result != MEMORY_BAD && current()) {
        if (result == MEMORY_SAME) {
            own.introduced = false; /* this agent may not know us */
            /* (a child may have been born into another namespace of clocks) */
            clock_set_offset(current()->clock_offset_ns, snapshot_alive(current()->files.rules));
            *now_ns = clock_ns();
        }
        introduce(current(), open);
    }
}

static void look_for_answer(uint64_t *now_ns) {
    struct ask_answer answer;
    if (*now_ns - own.ask.since_ns > ANSWER_NS) {
        ask_end(&own.ask);
        return;
    }
    if (ask_poll(&own.ask, 0, true, &answer) == ASK_ANSWERED) {
        take_answer(&answer, &own.ask, now_ns);
        ask_end(&own.ask);
    }
}

/* Is an agent writing heartbeats into our file, and is it not superseded? */
static bool is_served(const struct attach_memory *m, uint64_t now_ns) {
    uint64_t alive_ns = snapshot_alive(m->files.rules) + m->clock_offset_ns;
    return !snapshot_is_retired(m->files.rules) && now_ns + SILENCE_NS > alive_ns && now_ns < alive_ns + SILENCE_NS;
}

static void ask_now_and_then(struct attach_memory *m, uint64_t now_ns) {
    if (own.ask.fd >= 0 || (own.asked_ns && now_ns - own.asked_ns < ASK_NS) || own.count == MEMORIES || sandbox_on())
        return;
    if (m && is_served(m, now_ns)) {
        if (!own.introduced)
            own.asked_ns = now_ns;
        introduce(m, NULL);
        return;
    }
    own.asked_ns = now_ns;
    if (m)
        memory_scavenge(m, own.pid_namespace);
    struct attach_hello message = hello(ATTACH_MAP, m);
    ask_begin(&own.ask, own.path, &message, now_ns);
}

/* ---------------------------------------------------------------------------------------------------------- chores */

static void sample(struct attach_memory *m, uint64_t now_ns) {
    struct engine_sample sample = {.cpu = -1, .load1 = -1, .app_cpu = -1};
    uint64_t before_ns = atomic_load_explicit(&own.sampled_ns, memory_order_relaxed), loads;
    loads = snapshot_loads(m->files.rules);
    /* As soon as there are new figures; without any, a limiter needs its steps all the same. */
    bool fresh = loads != atomic_exchange_explicit(&own.loads, loads, memory_order_relaxed);
    if ((!fresh && now_ns - before_ns < (loads ? 2 * SAMPLE_NS : SAMPLE_NS)) ||
        !atomic_compare_exchange_strong(&own.sampled_ns, &before_ns, now_ns))
        return;
    if (is_served(m, now_ns)) {
        snapshot_load(m->files.rules, &sample.cpu, &sample.load1, &sample.app_cpu);
        sample.cpus_used = snapshot_cpus_used(m->files.rules);
    }
    if (m->engine)
        engine_sample(m->engine, now_ns, &sample);
}

/* In so much time, and not later than rules come into force, or end, by themselves. */
static uint64_t next_look(const struct attach_memory *m, uint64_t now_ns, uint64_t in_ns) {
    uint64_t left_ns = m ? memory_left_ns(m, now_ns) : 0;
    return now_ns + (left_ns && left_ns < in_ns ? left_ns : in_ns);
}

static void work(uint64_t now_ns) {
    bool done = true;
    if (own.ask.fd >= 0)
        look_for_answer(&now_ns);
    struct attach_memory *m = current();
    if (m) {
        take_slot(m, now_ns);
        done = refresh(m, now_ns);
        sample(m, now_ns);
    }
    ask_now_and_then(m, now_ns);
    own.asking = own.ask.fd >= 0;
    own.leftovers = m && memory_has_leftovers(m);
    bool soon = !done || own.asking || own.leftovers;
    atomic_store_explicit(&hot.chore_ns,
                          next_look(m, now_ns,
                                    soon                 ? SOON_NS
                                    : m && !own.is_short ? LOOK_NS
                                                         : ASK_NS),
                          memory_order_relaxed);
}

/* Room for later rules: the published ones are at hand as they are, a private copy and the engine's memory come from
 * the reserve. */
static void prepare(uint64_t now_ns) {
    enum { FOR_CONNECTIONS = 4 << 20, FOR_RULES = 4 << 20 };
    struct attach_memory *m = current();
    work(now_ns);
    size_t size = m ? memory_prepare(m) : 0;
    pages_reserve(FOR_CONNECTIONS + (size ? FOR_RULES + 4 * size : 0));
}

/* Whether the threads that serve are busy without a pause, the agent finds out.  Their numbers are libc's: a filter may
 * not know gettid().  The number of a thread's CPU clock is ~tid << 3, and its kind (linux/posix-timers.h). */
static void note_thread(struct layout_process *p, uint64_t now_ns) {
    enum { NOTES = sizeof p->served_by / sizeof *p->served_by };
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        __atomic_store_n(&p->served_by[now_ns / LOOK_NS % NOTES], ~(uint32_t)(clock >> 3), __ATOMIC_RELAXED);
}

/* Is there anything that needs more than a look?  Called about every 100 ms under traffic. */
static bool needs_work(struct attach_memory *m, uint64_t now_ns) {
    bool alone = m && sandbox_on(); /* no agent can be asked: a new one is seen by what it writes */
    if (!m || own.asking || own.leftovers || own.is_short || (!alone && (!own.introduced || !is_served(m, now_ns))))
        return true;
    struct layout_process *p = memory_process(m);
    if (p) {
        __atomic_store_n(&p->seen_ns, now_ns, __ATOMIC_RELAXED);
        note_thread(p, now_ns);
    }
    return !p || memory_is_due(m, now_ns);
}

/* Of the chores: compiling regular expressions takes more than a thread of the application may have. */
static _Alignas(64) char own_stack[128 << 10];

static void locked_do(void (*what)(uint64_t), uint64_t now_ns) {
    uint64_t all = UINT64_MAX, before;
    if (atomic_exchange_explicit(&busy, 1, memory_order_acquire))
        return;
    OWN4(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof all);
    stack_call(own_stack + sizeof(own_stack), what, now_ns);
    atomic_store_explicit(&busy, 0, memory_order_release);
    OWN4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
}

static __attribute__((noinline)) void look(uint64_t now_ns) {
    uint64_t due_ns = atomic_load_explicit(&hot.chore_ns, memory_order_relaxed);
    struct attach_memory *m = current();
    bool changed = m && snapshot_sequence(m->files.rules) != atomic_load_explicit(&hot.seen, memory_order_relaxed);
    /* The thread that advances the time does the chores; no lock that a thread could be killed with. */
    if (now_ns >= due_ns && atomic_compare_exchange_strong(&hot.chore_ns, &due_ns, next_look(m, now_ns, LOOK_NS))) {
        if (!changed && !needs_work(m, now_ns)) {
            sample(m, now_ns);
            return;
        }
    } else if (!changed) {
        return;
    }
    int saved = errno;
    locked_do(work, now_ns);
    errno = saved;
}

struct engine *attach_engine(uint64_t now_ns) {
    const struct layout_rules_header *rules = atomic_load_explicit(&hot.rules, memory_order_acquire);
    if (__builtin_expect(rules && (snapshot_sequence(rules) != atomic_load_explicit(&hot.seen, memory_order_relaxed) ||
                                   now_ns >= atomic_load_explicit(&hot.chore_ns, memory_order_relaxed)),
                         0))
        look(now_ns);
    return atomic_load_explicit(&hot.engine, memory_order_acquire);
}

void attach_before_filter(void) {
    if (atomic_load(&hot.rules))
        locked_do(prepare, clock_ns());
}

bool attach_off(void) {
    const struct attach_memory *m = current();
    return m && snapshot_is_off(m->files.rules);
}

void attach_count_undecided(void) {
    const struct attach_memory *m = current();
    struct layout_process *p = m ? memory_process(m) : NULL;
    if (p)
        __atomic_fetch_add(&p->undecided, 1, __ATOMIC_RELAXED);
}

void attach_count_malformed(void) {
    const struct attach_memory *m = current();
    struct layout_process *p = m ? memory_process(m) : NULL;
    if (p)
        __atomic_fetch_add(&p->malformed, 1, __ATOMIC_RELAXED);
}

void attach_count_early(void) {
    const struct attach_memory *m = current();
    struct layout_process *p = m ? memory_process(m) : NULL;
    if (p)
        __atomic_fetch_add(&p->acted_early, 1, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------------------------------------- birth, fork, end */

static uint32_t read_pid_namespace(void) {
    char link[64];
    long length = OWN4(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", link, sizeof link - 1);
    uint32_t inode = 0;
    for (long i = 0; i < length; i++)
        if (link[i] >= '0' && link[i] <= '9')
            inode = inode * 10 + (uint32_t)(link[i] - '0');
    return inode;
}

/* An agent that is not root may not see which program another user's process runs. */
static void read_exe(void) {
    long length = OWN4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", own.exe, sizeof own.exe);
    memset(own.exe + (length < 0 ? 0 : length), 0, sizeof own.exe - (length < 0 ? 0 : (size_t)length));
    if (length == sizeof own.exe) /* a longer one is none */
        memset(own.exe, 0, sizeof own.exe);
}

static bool read_environment(void) {
    const char *disable = getenv("WEIR_DISABLE"), *app = getenv("WEIR_APP"), *run_dir = getenv("WEIR_RUN_DIR");
    if (disable && strcmp(disable, "1") == 0)
        return false;
    if (!run_dir || !run_dir[0])
        run_dir = "/run/weir";
    size_t length = strlen(run_dir);
    if ((app && strlen(app) >= sizeof own.app) || length + sizeof "/" ATTACH_SOCKET > sizeof own.path) {
        log_line(LOG_LEVEL_ERROR, "WEIR_APP or WEIR_RUN_DIR is too long: everything passes", 0);
        return false;
    }
    if (app)
        memcpy(own.app, app, strlen(app) + 1);
    memcpy(own.path, run_dir, length);
    memcpy(own.path + length, "/" ATTACH_SOCKET, sizeof "/" ATTACH_SOCKET);
    return true;
}

static void nap_ms(int ms) {
    struct timespec time = {.tv_nsec = ms * 1000000L};
    OWN5(SYS_ppoll, 0, 0, &time, 0, 0);
}

static enum ask_result first_answer(uint64_t start_ns, struct ask_answer *ret_answer) {
    enum ask_result result;
    do
        result = ask_poll(&own.ask, START_STEP_MS, true, ret_answer);
    while (result == ASK_WAITING && clock_ns() - start_ns < START_WAIT_MS * (uint64_t)MS);
    if (result == ASK_FAILED)
        nap_ms(START_STEP_MS);
    return result;
}

/* The one time that we wait: a program that starts together with its agent should be protected from its first request
 * on.  Where no agent is there is nothing to wait for. */
static void first_question(void) {
    uint64_t start_ns = clock_ns(), now_ns = start_ns;
    struct attach_hello message = hello(ATTACH_MAP, NULL);
    struct ask_answer answer;
    enum ask_result result = ASK_FAILED;
    while (result == ASK_FAILED && now_ns - start_ns < START_WAIT_MS * (uint64_t)MS) { /* its agent may be busy */
        if (ask_begin(&own.ask, own.path, &message, now_ns))
            result = first_answer(start_ns, &answer);
        else if (OWN3(SYS_faccessat, AT_FDCWD, own.path, 0) < 0)
            return;
        else
            nap_ms(START_STEP_MS);
        now_ns = clock_ns();
    }
    if (result == ASK_ANSWERED)
        take_answer(&answer, &own.ask, &now_ns);
    ask_end(&own.ask); /* an answer that comes too late is asked for again */
}

void attach_start(void) {
    int saved = errno;
    if (!getauxval(AT_SECURE) && read_environment()) {
        own.pid_namespace = read_pid_namespace();
        read_exe();
        first_question();
        if (!current())
            atomic_store(&hot.rules, &nowhere);
        atomic_store(&hot.chore_ns, clock_ns() + (current() ? LOOK_NS : ASK_NS));
    }
    errno = saved;
}

void attach_after_fork(void) {
    struct attach_memory *m = current();
    atomic_store(&busy, 0); /* its holder is not in this process */
    ask_forget(&own.ask);
    own.introduced = false;
    own.renewed = false;
    own.asked_ns = 0;
    atomic_store(&hot.chore_ns, 0);
    if (!m)
        return;
    m->slot = UINT32_MAX;
    if (!m->engine)
        return;
    engine_after_fork(m->engine);
    engine_set_slot(m->engine, UINT32_MAX, get_pid());
}

void attach_take_slot(void) {
    struct attach_memory *m = current();
    if (m)
        take_slot(m, clock_ns());
}

unsigned attach_inherited(void) {
    const struct attach_memory *m = current();
    return m ? m->inherited : 0;
}

void attach_stop(void) {
    atomic_store(&hot.rules, NULL);
    atomic_store(&hot.engine, NULL);
}
