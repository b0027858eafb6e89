#include "agent/process/coverage.h"

#include <stddef.h>
#include <sys/stat.h>

static const struct {
    const char *id, *phrase;
} causes[COVERAGE_CAUSES] = {
    [COVERAGE_PROTECTED] = {"protected", "protected"},
    [COVERAGE_GUARDED] = {"kernel", "guarded by the kernel: connections only"},
    [COVERAGE_UNKNOWN] = {"unknown", "cannot be inspected"},
    [COVERAGE_GO] = {"go", "a Go program: makes its system calls itself"},
    [COVERAGE_STATIC] = {"static", "statically linked"},
    [COVERAGE_LIBC] = {"other-libc", "made for another C library (musl)"},
    [COVERAGE_FOREIGN] = {"other-width", "of another word size or processor than libweir.so"},
    [COVERAGE_SETUID] = {"set-uid", "set-uid, set-gid or with file capabilities"},
    [COVERAGE_SECURE] = {"secure-exec", "runs in the loader's secure mode"},
    [COVERAGE_LIBRARY] = {"library-missing", "cannot read libweir.so where LD_PRELOAD says"},
    [COVERAGE_SCRUBBED] = {"scrubbed", "LD_PRELOAD was taken out of its environment"},
    [COVERAGE_BEFORE] = {"started-before", "started before weir was set up for it"},
    [COVERAGE_UNSET] = {"not-preloaded", "nothing preloads libweir.so into it"},
    [COVERAGE_DISABLED] = {"disabled", "WEIR_DISABLE=1 in its environment"},
    [COVERAGE_NAMESPACE] = {"namespace", "the agent's directory is not in its mount namespace"},
    [COVERAGE_NO_AGENT] = {"no-agent", "no agent answers in its run directory"},
    [COVERAGE_VERSION] = {"other-version", "its libweir.so and the agent are of different versions"},
    [COVERAGE_REFUSED] = {"refused", "the agent does not let its user be that app"},
    [COVERAGE_NO_APP] = {"no-app", "no rules file is for it"},
    [COVERAGE_FILTERED] = {"seccomp", "a seccomp filter keeps it from the agent"},
    [COVERAGE_ADDRESS_SPACE] = {"address-space", "its limit of address space leaves no room for the rules (RLIMIT_AS)"},
    [COVERAGE_UNATTACHED] = {"not-attached", "has not reached the agent"},
    [COVERAGE_OFF] = {"off", "`weir off` lets all its traffic pass"},
    [COVERAGE_NO_RULES] = {"no-rules", "its app has no rules"},
    [COVERAGE_IO_URING] = {"io_uring", "uses io_uring, which goes past libc"},
    [COVERAGE_PARTLY] = {"partly-seen", "some of its connections bypass the shim"},
    [COVERAGE_UNREAD] = {"unread", "reads its connections by calls that the shim does not see"},
    [COVERAGE_RAW] = {"raw-system-calls", "accepts connections without libc"},
};

const char *coverage_id(enum coverage_cause cause) {
    return causes[cause].id;
}

const char *coverage_phrase(enum coverage_cause cause) {
    return causes[cause].phrase;
}

bool coverage_is_protected(enum coverage_cause cause) {
    return cause == COVERAGE_PROTECTED || cause == COVERAGE_GUARDED;
}

/* What the program is.  COVERAGE_PROTECTED: nothing of it keeps the shim out. */
static enum coverage_cause judge_program(const struct process_facts *facts, const struct program_file *library) {
    if (facts->file_known && facts->file.go)
        return COVERAGE_GO;
    if (facts->file_known && program_file_is_static(&facts->file, facts->exe))
        return COVERAGE_STATIC;
    if (facts->musl || (facts->file_known && program_file_is_musl(&facts->file)))
        return COVERAGE_LIBC;
    if (facts->file_known && library && program_file_is_foreign(&facts->file, library))
        return COVERAGE_FOREIGN;
    if (facts->secure_known && facts->secure) {
        bool raises = facts->file_known && (facts->file.capabilities || (facts->file.mode & (S_ISUID | S_ISGID)));
        return raises ? COVERAGE_SETUID : COVERAGE_SECURE;
    }
    return COVERAGE_PROTECTED;
}

/* How it was started. */
static enum coverage_cause judge_start(const struct process_facts *facts, const struct coverage_view *view) {
    if (facts->preload[0])
        return COVERAGE_LIBRARY;
    if (facts->preloaded_by || (facts->environment_known && facts->environment_empty))
        return COVERAGE_SCRUBBED;
    if (view->enabled_since)
        return facts->started && facts->started < view->enabled_since ? COVERAGE_BEFORE : COVERAGE_SCRUBBED;
    if (view->named_since && facts->started && facts->started < view->named_since)
        return COVERAGE_BEFORE;
    return COVERAGE_UNSET;
}

/* Is so little left of its limit of address space that the shim can hardly have mapped anything? */
static bool is_cramped(const struct process_facts *facts) {
    enum { ROOM = 4 << 20 };
    return facts->space_limit && facts->space + ROOM > facts->space_limit;
}

static enum coverage_cause judge_attachment(const struct process_facts *facts, const struct coverage_view *view) {
    if (facts->disabled)
        return COVERAGE_DISABLED;
    /* With or without an agent: the rules that it has stay in force.  A pid that an agent lists can be that of a
     * program before an exec. */
    if (facts->maps_known ? facts->memory[0] != 0 : view->listed)
        return COVERAGE_PROTECTED;
    if (!facts->socket_visible && facts->other_mounts)
        return COVERAGE_NAMESPACE;
    if (!view->agent)
        return COVERAGE_NO_AGENT;
    switch (view->answer) {
    case COVERAGE_ANSWER_NO_APP: return COVERAGE_NO_APP;
    case COVERAGE_ANSWER_REFUSED: return COVERAGE_REFUSED;
    case COVERAGE_ANSWER_VERSION: return COVERAGE_VERSION;
    case COVERAGE_ANSWER_NONE: break;
    }
    if (is_cramped(facts))
        return COVERAGE_ADDRESS_SPACE;
    /* Most filters let the shim ask, and one that the program put on itself after that changes nothing. */
    return facts->filtered && view->has_asked ? COVERAGE_FILTERED : COVERAGE_UNATTACHED;
}

static enum coverage_cause judge_work(const struct process_facts *facts, const struct coverage_view *view) {
    if (view->off)
        return COVERAGE_OFF;
    if (view->no_rules)
        return COVERAGE_NO_RULES;
    if (view->short_of_memory)
        return COVERAGE_ADDRESS_SPACE;
    /* Many programs use io_uring for files alone: what the shim has seen says more. */
    if (facts->io_uring && view->traffic != COVERAGE_TRAFFIC_SEEN)
        return COVERAGE_IO_URING;
    if (view->traffic == COVERAGE_TRAFFIC_PARTLY)
        return COVERAGE_PARTLY;
    if (view->unread)
        return COVERAGE_UNREAD;
    return view->traffic == COVERAGE_TRAFFIC_UNSEEN ? COVERAGE_RAW : COVERAGE_PROTECTED;
}

static enum coverage_cause judge_shim(const struct process_facts *facts, const struct coverage_view *view,
                                      const struct program_file *library) {
    enum coverage_cause cause = judge_program(facts, library);
    if (cause != COVERAGE_PROTECTED)
        return cause;
    if (!facts->maps_known && !view->listed)
        return COVERAGE_UNKNOWN;
    if (facts->maps_known && !facts->loaded)
        return judge_start(facts, view);
    cause = judge_attachment(facts, view);
    return cause == COVERAGE_PROTECTED ? judge_work(facts, view) : cause;
}

enum coverage_cause coverage_judge(const struct process_facts *facts, const struct coverage_view *view,
                                   const struct program_file *library) {
    enum coverage_cause cause = judge_shim(facts, view, library);
    return view->guarded && cause != COVERAGE_PROTECTED ? COVERAGE_GUARDED : cause;
}

double coverage_share(uint64_t kernel_connections, uint64_t shim_connections) {
    if (kernel_connections == 0)
        return -1;
    if (shim_connections > 0 &&
        (shim_connections >= kernel_connections || kernel_connections - shim_connections <= COVERAGE_SLACK))
        return 1;
    return (double)shim_connections / (double)kernel_connections;
}

enum coverage_traffic coverage_traffic_of(uint64_t kernel_connections, uint64_t shim_connections) {
    if (shim_connections > 0)
        return COVERAGE_TRAFFIC_SEEN;
    return kernel_connections > COVERAGE_SLACK ? COVERAGE_TRAFFIC_UNSEEN : COVERAGE_TRAFFIC_UNKNOWN;
}
