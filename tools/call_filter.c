#include "tools/call_filter.h"

#include <stdio.h>
#include <string.h>

#include "tools/unit_file.h"

/* Groups of systemd's that hold some of them; @system-service and @known hold all. */
enum group {
    DEFAULT = 1 << 0,
    BASIC_IO = 1 << 1,
    FILE_SYSTEM = 1 << 2,
    IO_EVENT = 1 << 3,
    NETWORK_IO = 1 << 4,
    PROCESS = 1 << 5,
    SIGNAL = 1 << 6,
    TIMER = 1 << 7,
    SERVICE = 1 << 8,
};

static const struct {
    const char *name;
    unsigned groups;
} groups[] = {
    {"@default", DEFAULT},        {"@basic-io", BASIC_IO}, {"@file-system", FILE_SYSTEM}, {"@io-event", IO_EVENT},
    {"@network-io", NETWORK_IO},  {"@process", PROCESS},   {"@signal", SIGNAL},           {"@timer", TIMER},
    {"@system-service", SERVICE}, {"@known", SERVICE},
};

/* OWNn of the shim, and the kinds of call that it makes where the application made another of the kind (a read of a
 * connection is a recvfrom). */
static const struct {
    const char *name;
    unsigned groups;
} needed[] = {
    {"clock_gettime", DEFAULT | SERVICE},
    {"clock_nanosleep", DEFAULT | SERVICE},
    {"close", BASIC_IO | FILE_SYSTEM | SERVICE},
    {"connect", NETWORK_IO | SERVICE},
    {"epoll_ctl", IO_EVENT | SERVICE},
    {"faccessat", FILE_SYSTEM | SERVICE},
    {"fcntl", FILE_SYSTEM | SERVICE},
    {"fstat", FILE_SYSTEM | SERVICE},
    {"getpeername", NETWORK_IO | SERVICE},
    {"getpid", DEFAULT | SERVICE},
    {"getsockname", NETWORK_IO | SERVICE},
    {"getsockopt", NETWORK_IO | SERVICE},
    {"kill", PROCESS | SERVICE},
    {"lseek", BASIC_IO | SERVICE},
    {"madvise", SERVICE},
    {"mmap", DEFAULT | SERVICE},
    {"mprotect", DEFAULT | SERVICE},
    {"mremap", SERVICE},
    {"munmap", DEFAULT | SERVICE},
    {"openat", FILE_SYSTEM | SERVICE},
    {"ppoll", IO_EVENT | SERVICE},
    {"prlimit64", DEFAULT | SERVICE},
    {"pselect6", IO_EVENT | SERVICE},
    {"read", BASIC_IO | SERVICE},
    {"readlinkat", FILE_SYSTEM | SERVICE},
    {"recvfrom", NETWORK_IO | SERVICE},
    {"recvmsg", NETWORK_IO | SERVICE},
    {"rt_sigprocmask", SIGNAL | SERVICE},
    {"sendmsg", NETWORK_IO | SERVICE},
    {"sendto", NETWORK_IO | SERVICE},
    {"setsockopt", NETWORK_IO | SERVICE},
    {"shutdown", NETWORK_IO | SERVICE},
    {"sigaltstack", SIGNAL | SERVICE},
    {"socket", NETWORK_IO | SERVICE},
    {"timerfd_create", TIMER | SERVICE},
    {"timerfd_settime", TIMER | SERVICE},
    {"write", BASIC_IO | SERVICE},
    {"writev", BASIC_IO | SERVICE},
};
enum { NEEDED = sizeof needed / sizeof *needed };
_Static_assert(NEEDED < 64, "a bit each");
static const call_set all = ((call_set)1 << NEEDED) - 1;

static call_set in_groups(unsigned mask) {
    call_set set = 0;
    for (int i = 0; i < NEEDED; i++)
        if (needed[i].groups & mask)
            set |= (call_set)1 << i;
    return set;
}

/* Of a call's or a group's name. */
static call_set set_of(const char *name) {
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, name) == 0)
            return in_groups(groups[i].groups);
    for (int i = 0; i < NEEDED; i++)
        if (strcmp(needed[i].name, name) == 0)
            return (call_set)1 << i;
    return 0;
}

static void begin(struct call_filter *filter, bool denies) {
    filter->kind = denies ? CALL_FILTER_DENIES : CALL_FILTER_ALLOWS;
    filter->allowed = denies ? all : in_groups(DEFAULT);
}

static void allow(struct call_filter *filter, call_set set) {
    filter->allowed |= set;
    filter->denied &= ~set;
    filter->answered &= ~set;
}

static void deny(struct call_filter *filter, call_set set, const char *answer) {
    filter->allowed &= ~set;
    filter->denied |= set;
    filter->answered &= ~set;
    if (answer && strcmp(answer, "kill") != 0)
        filter->answered |= set;
}

void call_filter_take(struct call_filter *filter, const char *value) {
    char word[256];
    bool denies = *value == '~';
    if (*value == '\0') {
        *filter = (struct call_filter){.answers = filter->answers};
        return;
    }
    if (filter->kind == CALL_FILTER_NONE)
        begin(filter, denies);
    for (value += denies; unit_word(&value, word, sizeof word);) {
        char *answer = strchr(word, ':');
        if (answer)
            *answer++ = '\0';
        if (denies)
            deny(filter, set_of(word), answer);
        else if (!answer) /* (systemd ignores what is allowed with an error) */
            allow(filter, set_of(word));
    }
}

void call_filter_take_answer(struct call_filter *filter, const char *value) {
    filter->answers = *value != '\0' && strcmp(value, "kill") != 0;
}

void call_filter_extend(struct call_filter *filter) {
    if (filter->kind != CALL_FILTER_NONE)
        allow(filter, all);
}

call_set call_filter_missing(const struct call_filter *filter) {
    return filter->kind == CALL_FILTER_NONE ? 0 : all & ~filter->allowed;
}

bool call_filter_kills(const struct call_filter *filter) {
    return !filter->answers && (call_filter_missing(filter) & ~filter->answered) != 0;
}

void call_set_names(call_set set, char ret_names[static CALL_NAMES_MAX]) {
    size_t length = 0;
    ret_names[0] = '\0';
    for (int i = 0; i < NEEDED; i++)
        if (set >> i & 1)
            length += (size_t)snprintf(ret_names + length, CALL_NAMES_MAX - length, "%s%s", length ? " " : "",
                                       needed[i].name);
}
