/* What /proc says of a process.  Each function degrades to "unknown" where the agent may not look. */
#ifndef WEIR_AGENT_PROC_H
#define WEIR_AGENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROC_TEXT_MAX = 512 };

/* Start time in clock ticks since boot, which together with the pid names a process permanently; 0 = unknown. */
uint64_t proc_start_time(pid_t pid);
/* The link behind /proc/PID/exe, without " (deleted)"; false where it may not be read. */
bool proc_exe(pid_t pid, char ret_exe[static PROC_TEXT_MAX]);
/* A link to a program's file without " (deleted)". */
void proc_exe_trim(char *exe);
bool proc_comm(pid_t pid, char ret_comm[static PROC_TEXT_MAX]);
/* The cgroup path: of cgroup v2, else of systemd's own v1 hierarchy. */
bool proc_cgroup(pid_t pid, char ret_cgroup[static PROC_TEXT_MAX]);
uint32_t proc_pid_namespace(pid_t pid); /* inode, 0 = unknown */
/* Through a descriptor of /proc/PID, which stays with that process, whichever process gets its pid next. */
bool proc_read_at(int directory, const char *name, char *text, size_t size); /* false: cannot be read, or empty */
bool proc_exe_at(int directory, char ret_exe[static PROC_TEXT_MAX]);
bool proc_comm_at(int directory, char ret_comm[static PROC_TEXT_MAX]);
bool proc_cgroup_at(int directory, char ret_cgroup[static PROC_TEXT_MAX]);

/* Pure parts. */
bool proc_cgroup_parse(const char *text, char ret_cgroup[static PROC_TEXT_MAX]); /* the text of /proc/PID/cgroup */
uint64_t proc_stat_start(const char *text);                                      /* the text of /proc/PID/stat */
bool proc_stat_forked(const char *text); /* the same: is it a fork that has not gone through exec? */
bool proc_status_parse(const char *text, pid_t *ret_parent, uid_t *ret_uid); /* the text of /proc/PID/status */
bool proc_status_all_of(const char *text, uid_t); /* the text of /proc/PID/status: are all its user ids that one? */
/* Is `unit` ("shop" stands for "shop.service") a part of that path? */
bool proc_cgroup_in_unit(const char *cgroup, const char *unit);
/* The innermost systemd unit (a service or a scope) of that path; false if there is none. */
bool proc_cgroup_unit(const char *cgroup, char ret_unit[static PROC_TEXT_MAX]);
/* Is `cgroup` that cgroup, or below it? */
bool proc_cgroup_below(const char *cgroup, const char *above);
/* Is the cgroup one that only root puts processes in: a system service? */
bool proc_cgroup_is_system(const char *cgroup);

#endif
