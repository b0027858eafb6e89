/* Who listens on TCP: the listening sockets of every network namespace that can be seen, and the processes that hold
 * them, from /proc.  A moment's picture: processes come and go while it is taken.  Without privileges a process sees
 * every socket of its own namespace, and the descriptors of its own user's processes: sockets of others have no process
 * here, and `unreadable` says that there are some. */
#ifndef WEIR_AGENT_LISTENERS_H
#define WEIR_AGENT_LISTENERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/process/proc.h"

enum listener_family {
    LISTENER_V4 = 1,
    LISTENER_V6 = 2,
    LISTENER_DUAL = LISTENER_V4 | LISTENER_V6, /* `::` that takes IPv4, too */
};

struct listener_process {
    pid_t pid;
    uint32_t uid;            /* effective */
    uint64_t start_ticks;    /* since boot; with the pid it names a process permanently */
    uint64_t namespace;      /* network namespace: inode, 0 = unknown */
    char exe[PROC_TEXT_MAX]; /* each empty where it may not be read */
    char comm[64];
    char cgroup[PROC_TEXT_MAX];
    char unit[PROC_TEXT_MAX]; /* of systemd */
};

struct listener {
    uint64_t inode;
    uint64_t namespace; /* network namespace: inode, 0 = unknown (our own) */
    uint32_t uid;       /* of the user that opened the socket */
    uint32_t waiting;   /* connections in the accept queue */
    uint16_t port;
    enum listener_family family;
    bool loopback; /* reachable from its own namespace only */
    char address[INET6_ADDRSTRLEN];
    uint32_t first, count; /* its processes: holders[first] … holders[first + count - 1] */
};

struct listeners {
    struct listener *list; /* in order of namespace (our own first), port, address, inode */
    uint32_t count;
    struct listener_process *processes; /* those that hold a listening socket, in order of pid */
    uint32_t processes_count;
    uint32_t *holders; /* indices of `processes`, a run for each listener */
    uint32_t holders_count;
    uint32_t unreadable; /* processes whose descriptors we may not see */
    bool truncated;      /* there was more than is looked at: namespaces, sockets, or descriptors of one process */
};

/* `proc`: where procfs is mounted ("/proc").  0, or -errno if not even our own sockets can be read. */
int listeners_read(const char *proc, struct listeners *ret_listeners);
void listeners_clear(struct listeners *);

/* The index of that process in `processes`, or -1: it holds no listening socket that we know of. */
int listeners_find_process(const struct listeners *, pid_t pid);

#endif
