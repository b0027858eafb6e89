/* Runs one program as if we were not there: its signals, its terminal, its end. */
#ifndef WEIR_TOOLS_SUPERVISE_H
#define WEIR_TOOLS_SUPERVISE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct supervise {
    /* given */
    char **argv; /* argv[0] is looked up in PATH */
    char **environment;
    struct rlimit files;        /* RLIMIT_NOFILE as it was before the agent raised it for itself */
    int work_fd;                /* whenever it is readable, `work` is called; -1 = nothing to do */
    int (*work)(void *context); /* < 0: it failed, never call it again */
    void *context;
    /* own */
    pid_t pid;  /* 0 once it has ended */
    int status; /* as from waitpid */
    int signal_fd;
    sigset_t inherited; /* signal mask */
    void (*inherited_sigchld)(int);
    bool stop_wanted, program_stopped;
};

/* Starts it.  0, or -errno of fork or exec. */
int supervise_start(struct supervise *);
/* Until it has ended.  Returns its status, as from waitpid.  `*ret_others`: processes that it left live on. */
int supervise_wait(struct supervise *, bool *ret_others);
/* In a process that was forked after that, for as long as `goes_on`, which is asked about once a second: `work`.  Off
 * the terminal, with no output, until a signal ends it. */
void supervise_stay(struct supervise *, bool (*goes_on)(void *context));
/* Ends this process in the way the status says. */
void supervise_end_like(int status) __attribute__((noreturn));

#endif
