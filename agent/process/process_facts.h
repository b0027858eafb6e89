/* What /proc shows of one process that decides whether the shim is in it, and works.  Every fact may be unknown: of
 * other users' processes the kernel shows little to who is not root. */
#ifndef WEIR_AGENT_PROCESS_FACTS_H
#define WEIR_AGENT_PROCESS_FACTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "agent/process/proc.h"
#include "agent/process/program_file.h"
#include "rules/layout.h"

struct process_facts {
    pid_t pid, parent;
    uid_t uid;            /* effective */
    uint64_t start_ticks; /* since boot */
    time_t started;       /* Unix time, about; 0 = unknown */
    bool forked;          /* and has not gone through exec: its parent's program goes on in it */
    char exe[PROC_TEXT_MAX], comm[64], cgroup[PROC_TEXT_MAX], unit[PROC_TEXT_MAX];

    bool file_known;
    struct program_file file;
    bool secure_known;
    bool secure; /* AT_SECURE: its loader has ignored LD_PRELOAD, and the shim is inert */

    bool environment_known; /* as it was at exec; some programs write their title over it: then it is not known */
    bool environment_empty;
    char preload[PROC_TEXT_MAX]; /* the libweir.so that its LD_PRELOAD names, or "" */
    bool disabled;               /* WEIR_DISABLE=1 */
    char app[LAYOUT_APP_NAME_MAX];
    char run_dir[PROC_TEXT_MAX]; /* WEIR_RUN_DIR, or "" */

    bool maps_known;
    bool loaded;                /* libweir.so is in it … */
    bool replaced;              /* … and its file has been replaced since */
    bool musl;                  /* musl's libc is in it */
    char memory[PROC_TEXT_MAX]; /* the shared memory of its app: "…/APP.rules", or "" = it is not attached */

    bool io_uring;
    bool other_mounts;           /* a mount namespace other than ours */
    bool socket_visible;         /* so is the agent's socket in its run directory */
    bool filtered;               /* by seccomp */
    uint64_t space, space_limit; /* bytes of address space that it has, and may have (RLIMIT_AS); 0 = no limit, unknown
                                  */

    pid_t preloaded_by; /* the nearest ancestor that has the shim or that has set it up (`weir run`); 0 = none seen */
    char preloaded_by_comm[64];
};

/* `proc`: where procfs is mounted.  `run_dir`: the run directory of a process that names none.  False: no such process.
 */
bool process_facts_read(const char *proc, pid_t pid, const char *run_dir, struct process_facts *ret_facts);

#endif
