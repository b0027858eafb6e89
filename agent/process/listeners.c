#include "agent/process/listeners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/process/tcp_table.h"

enum { NAMESPACES_MAX = 1024, SOCKETS_MAX = 1 << 16, HOLDERS_MAX = 1 << 20, DESCRIPTORS_MAX = 1 << 17 };

struct holder { /* this socket, an index in order of inodes, is held by that process */
    uint32_t socket;
    pid_t pid;
};

struct scan {
    int proc;
    struct listeners found;
    uint64_t *namespaces;
    uint32_t namespaces_count;
    struct holder *holders;
    uint32_t holders_count;
    int error;
};

/* Room for one more element; false without memory. */
static bool grow(struct scan *scan, void *array, uint32_t count, size_t size) {
    void **place = array, *more;
    if (count & (count - 1) || (count > 0 && count < 8)) /* full at 0, 8, 16, 32, … */
        return true;
    more = reallocarray(*place, count ? 2 * (size_t)count : 8, size);
    if (more)
        *place = more;
    else
        scan->error = -ENOMEM;
    return more;
}

/* ---------------------------------------------------------------------------------------------------------- sockets */

static void add_socket(struct scan *scan, const struct tcp_entry *entry, uint64_t namespace) {
    struct listeners *found = &scan->found;
    if (found->count == SOCKETS_MAX) {
        found->truncated = true;
        return;
    }
    if (!grow(scan, &found->list, found->count, sizeof *found->list))
        return;
    struct listener *listener = &found->list[found->count++];
    *listener = (struct listener){
        .inode = entry->inode,
        .namespace = namespace,
        .uid = entry->uid,
        .waiting = entry->waiting,
        .port = entry->port,
        .family = !entry->v6                              ? LISTENER_V4
                  : tcp_table_is_any(entry)               ? LISTENER_DUAL
                  : IN6_IS_ADDR_V4MAPPED(&entry->address) ? LISTENER_V4
                                                          : LISTENER_V6,
        .loopback = tcp_table_is_loopback(entry),
    };
    tcp_table_address(entry, listener->address);
}

/* The listening ones come first in the kernel's table: hundreds of thousands of connections behind them are not read.
 */
static bool read_table(struct scan *scan, int directory, const char *name, bool v6, uint64_t namespace) {
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    FILE *table = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!table) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    char line[512];
    struct tcp_entry entry;
    bool heading = true;
    while (fgets(line, sizeof line, table)) {
        bool is_socket = tcp_table_parse(line, v6, &entry);
        if (!heading && (!is_socket || entry.state != TCP_TABLE_LISTEN))
            break;
        if (is_socket && entry.state == TCP_TABLE_LISTEN)
            add_socket(scan, &entry, namespace);
        heading = false;
    }
    fclose(table);
    return true;
}

/* An IPv6 socket on `::` refuses IPv4 if it was set so; then, and only then, can the port also have an IPv4 socket
 * (or all of them are SO_REUSEPORT and take shares: rare). */
static void tell_dual(struct listeners *found, uint32_t from) {
    uint8_t has_v4[(UINT16_MAX + 1) / 8] = {0};
    for (uint32_t i = from; i < found->count; i++)
        if (found->list[i].family == LISTENER_V4)
            has_v4[found->list[i].port / 8] |= (uint8_t)(1 << found->list[i].port % 8);
    for (uint32_t i = from; i < found->count; i++)
        if (found->list[i].family == LISTENER_DUAL && has_v4[found->list[i].port / 8] & 1 << found->list[i].port % 8)
            found->list[i].family = LISTENER_V6;
}

static bool read_namespace(struct scan *scan, int directory, uint64_t namespace) {
    uint32_t from = scan->found.count;
    bool read = read_table(scan, directory, "net/tcp", false, namespace);
    read |= read_table(scan, directory, "net/tcp6", true, namespace); /* missing where there is no IPv6 */
    tell_dual(&scan->found, from);
    return read;
}

/* -------------------------------------------------------------------------------------------------------- processes */

static int open_process(const struct scan *scan, const char *pid) {
    return openat(scan->proc, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The inode in a link such as "net:[4026531833]" or "socket:[4711]"; 0: not that. */
static uint64_t linked_inode(int directory, const char *name, const char *kind) {
    char text[64];
    unsigned long long inode;
    int end = 0;
    ssize_t length = readlinkat(directory, name, text, sizeof text - 1);
    size_t prefix = strlen(kind);
    if (length <= 0)
        return 0;
    text[length] = 0;
    if (strncmp(text, kind, prefix) != 0 || sscanf(text + prefix, ":[%llu]%n", &inode, &end) != 1)
        return 0;
    return prefix + (size_t)end == (size_t)length ? inode : 0;
}

static bool knows_namespace(const struct scan *scan, uint64_t namespace) {
    for (uint32_t i = 0; i < scan->namespaces_count; i++)
        if (scan->namespaces[i] == namespace)
            return true;
    return false;
}

static void note_namespace(struct scan *scan, const char *pid) {
    int directory = open_process(scan, pid);
    uint64_t namespace = directory >= 0 ? linked_inode(directory, "ns/net", "net") : 0;
    if (namespace && !knows_namespace(scan, namespace)) {
        if (scan->namespaces_count == NAMESPACES_MAX)
            scan->found.truncated = true;
        else if (grow(scan, &scan->namespaces, scan->namespaces_count, sizeof *scan->namespaces) &&
                 read_namespace(scan, directory, namespace))
            scan->namespaces[scan->namespaces_count++] = namespace;
    }
    if (directory >= 0)
        close(directory);
}

static int by_inode(const void *a, const void *b) {
    const struct listener *one = a, *other = b;
    return (one->inode > other->inode) - (one->inode < other->inode);
}

static const struct listener *find_socket(const struct listeners *found, uint64_t inode) {
    struct listener key = {.inode = inode};
    return found->count ? bsearch(&key, found->list, found->count, sizeof key, by_inode) : NULL;
}

static void describe(struct listener_process *process, int directory) {
    char text[4096], long_comm[PROC_TEXT_MAX];
    pid_t parent;
    uid_t uid;
    process->namespace = linked_inode(directory, "ns/net", "net");
    if (proc_read_at(directory, "stat", text, sizeof text))
        process->start_ticks = proc_stat_start(text);
    if (proc_read_at(directory, "status", text, sizeof text) && proc_status_parse(text, &parent, &uid))
        process->uid = uid;
    if (!proc_exe_at(directory, process->exe))
        process->exe[0] = 0;
    if (proc_read_at(directory, "comm", long_comm, sizeof long_comm))
        snprintf(process->comm, sizeof process->comm, "%.*s", (int)strcspn(long_comm, "\n"), long_comm);
    if (proc_read_at(directory, "cgroup", text, sizeof text) && proc_cgroup_parse(text, process->cgroup))
        proc_cgroup_unit(process->cgroup, process->unit);
}

static bool add_process(struct scan *scan, int directory, pid_t pid) {
    struct listeners *found = &scan->found;
    if (!grow(scan, &found->processes, found->processes_count, sizeof *found->processes))
        return false;
    struct listener_process *process = &found->processes[found->processes_count];
    *process = (struct listener_process){.pid = pid};
    describe(process, directory);
    found->processes_count++;
    return true;
}

static void add_holder(struct scan *scan, const struct listener *listener, pid_t pid) {
    if (scan->holders_count == HOLDERS_MAX)
        scan->found.truncated = true;
    else if (grow(scan, &scan->holders, scan->holders_count, sizeof *scan->holders))
        scan->holders[scan->holders_count++] = (struct holder){(uint32_t)(listener - scan->found.list), pid};
}

static void look_at_descriptors(struct scan *scan, int directory, DIR *descriptors, pid_t pid) {
    uint32_t seen = 0;
    bool known = false;
    for (struct dirent *entry; !scan->error && (entry = readdir(descriptors));) {
        if (seen++ == DESCRIPTORS_MAX) {
            scan->found.truncated = true;
            return;
        }
        uint64_t inode = linked_inode(dirfd(descriptors), entry->d_name, "socket");
        const struct listener *listener = inode ? find_socket(&scan->found, inode) : NULL;
        if (!listener)
            continue;
        known = known || add_process(scan, directory, pid);
        if (known)
            add_holder(scan, listener, pid);
    }
}

/* Kernel threads have no descriptors, and their /proc/PID/fd may not be read either. */
static bool is_kernel_thread(int directory) {
    char text[16];
    return !proc_read_at(directory, "cmdline", text, sizeof text);
}

static void look_for_sockets(struct scan *scan, const char *pid) {
    int directory = open_process(scan, pid);
    if (directory < 0)
        return; /* gone */
    int fd = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *descriptors = fd >= 0 ? fdopendir(fd) : NULL;
    if (descriptors) {
        look_at_descriptors(scan, directory, descriptors, (pid_t)strtol(pid, NULL, 10));
        closedir(descriptors);
    } else if (fd < 0 && (errno == EACCES || errno == EPERM)) {
        scan->found.unreadable += !is_kernel_thread(directory);
    }
    close(directory);
}

static int for_each_process(struct scan *scan, void (*function)(struct scan *, const char *pid)) {
    int fd = openat(scan->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *processes = fd >= 0 ? fdopendir(fd) : NULL;
    if (!processes) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    for (struct dirent *entry; !scan->error && (entry = readdir(processes));)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            function(scan, entry->d_name);
    closedir(processes);
    return scan->error;
}

/* --------------------------------------------------------------------------------------------------------- together */

static int by_pid(const void *a, const void *b) {
    const struct listener_process *one = a, *other = b;
    return (one->pid > other->pid) - (one->pid < other->pid);
}

static int by_socket(const void *a, const void *b) {
    const struct holder *one = a, *other = b;
    if (one->socket != other->socket)
        return one->socket < other->socket ? -1 : 1;
    return (one->pid > other->pid) - (one->pid < other->pid);
}

static int in_order(const void *a, const void *b, void *own_namespace) {
    const struct listener *one = a, *other = b;
    uint64_t own = *(const uint64_t *)own_namespace;
    if (one->namespace != other->namespace) {
        if (one->namespace == own || other->namespace == own)
            return one->namespace == own ? -1 : 1;
        return one->namespace < other->namespace ? -1 : 1;
    }
    if (one->port != other->port)
        return one->port < other->port ? -1 : 1;
    int address = strcmp(one->address, other->address);
    return address ? address : by_inode(a, b);
}

/* A socket that a process has under several descriptors (dup) is held once. */
static int assign_holders(struct scan *scan) {
    struct listeners *found = &scan->found;
    found->holders = scan->holders_count ? calloc(scan->holders_count, sizeof *found->holders) : NULL;
    if (scan->holders_count && !found->holders)
        return -ENOMEM;
    if (scan->holders_count)
        qsort(scan->holders, scan->holders_count, sizeof *scan->holders, by_socket);
    for (uint32_t i = 0; i < scan->holders_count; i++) {
        struct listener *listener = &found->list[scan->holders[i].socket];
        if (i > 0 && by_socket(&scan->holders[i - 1], &scan->holders[i]) == 0)
            continue;
        if (listener->count++ == 0)
            listener->first = found->holders_count;
        found->holders[found->holders_count++] = (uint32_t)listeners_find_process(found, scan->holders[i].pid);
    }
    return 0;
}

static int pid_against(const void *pid, const void *process) {
    const struct listener_process *one = process;
    return (*(const pid_t *)pid > one->pid) - (*(const pid_t *)pid < one->pid);
}

int listeners_find_process(const struct listeners *found, pid_t pid) {
    if (found->processes_count == 0)
        return -1;
    const struct listener_process *process = bsearch(&pid, found->processes, found->processes_count, sizeof *process,
                                                     pid_against);
    return process ? (int)(process - found->processes) : -1;
}

/* The kernel's table is read in pieces; a socket that comes or goes meanwhile shifts its neighbours, and one of them
 * may be read twice: the second row would be a socket that no process holds. */
static void drop_repeated(struct listeners *found) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < found->count; i++)
        if (kept == 0 || found->list[i].inode == 0 || found->list[i].inode != found->list[kept - 1].inode)
            found->list[kept++] = found->list[i];
    found->count = kept;
}

static int read_all(struct scan *scan, uint64_t own) {
    struct listeners *found = &scan->found;
    if (!read_namespace(scan, scan->proc, own))
        return errno ? -errno : -ENOENT;
    if (own && grow(scan, &scan->namespaces, 0, sizeof *scan->namespaces))
        scan->namespaces[scan->namespaces_count++] = own;
    int error = for_each_process(scan, note_namespace);
    if (error)
        return error;
    if (found->count)
        qsort(found->list, found->count, sizeof *found->list, by_inode);
    drop_repeated(found);
    error = for_each_process(scan, look_for_sockets);
    if (error)
        return error;
    if (found->processes_count)
        qsort(found->processes, found->processes_count, sizeof *found->processes, by_pid);
    error = assign_holders(scan);
    if (!error && found->count)
        qsort_r(found->list, found->count, sizeof *found->list, in_order, &own);
    return error;
}

int listeners_read(const char *proc, struct listeners *ret_listeners) {
    struct scan scan = {.proc = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (scan.proc < 0)
        return -errno;
    int error = read_all(&scan, linked_inode(scan.proc, "self/ns/net", "net"));
    close(scan.proc);
    free(scan.namespaces);
    free(scan.holders);
    if (error)
        listeners_clear(&scan.found);
    else
        *ret_listeners = scan.found;
    return error;
}

void listeners_clear(struct listeners *listeners) {
    free(listeners->list);
    free(listeners->processes);
    free(listeners->holders);
    *listeners = (struct listeners){0};
}
