/* The program stays in our process group, so that the terminal's job control works on both of us as on one: Ctrl-C and
 * Ctrl-Z reach it from the kernel, in a pipeline, too.  Therefore a signal that the kernel sent to the group is not
 * forwarded to those who are in the group, and one that was sent to us by kill() is. */
#include "tools/supervise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/output.h"

enum { ANCESTORS_MAX = 64, LOOK_FIRST_MS = 50, LOOK_MS = 1000 };

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP};

/* ------------------------------------------------------------------------------------------------ starting */

static void run_program(const struct supervise *self, int report_fd) {
    output_restore_signals();
    signal(SIGCHLD, self->inherited_sigchld);
    setrlimit(RLIMIT_NOFILE, &self->files);
    sigprocmask(SIG_SETMASK, &self->inherited, NULL);
    execvpe(self->argv[0], self->argv, self->environment);
    int error = -errno;
    if (write(report_fd, &error, sizeof error) < 0)
        _exit(126);
    _exit(error == -ENOENT ? 127 : 126);
}

static int open_signals(struct supervise *self) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        sigaddset(&set, forwarded[i]);
    sigprocmask(SIG_BLOCK, &set, &self->inherited);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd < 0 ? -errno : 0;
}

int supervise_start(struct supervise *self) {
    int report[2], error = open_signals(self);
    if (error < 0)
        return error;
    self->inherited_sigchld = signal(
        SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, it would take our children's status from us */
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* a daemon's double fork makes it our child, not init's */
    self->pid = fork();
    if (self->pid == 0)
        run_program(self, report[1]);
    error = self->pid < 0 ? -errno : 0;
    close(report[1]);
    if (self->pid > 0 && read(report[0], &error, sizeof error) == (ssize_t)sizeof error) {
        waitpid(self->pid, NULL, 0);
    }
    close(report[0]);
    return error;
}

/* ----------------------------------------------------------------------------------------------- processes */

/* 0 and '?' where it is gone. */
static pid_t parent_of(pid_t pid, char *ret_state) {
    char name[32], text[512];
    snprintf(name, sizeof name, "/proc/%ld/stat", (long)pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC), parent = 0;
    *ret_state = '?';
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *after = strrchr(text, ')'); /* the name between the parentheses may hold anything */
    return after && sscanf(after, ") %c %d", ret_state, &parent) == 2 ? parent : 0;
}

/* A shell in the program's tree that signals its own group must not get the signal back from us. */
static bool is_descendant(pid_t pid) {
    char state;
    for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        pid = parent_of(pid, &state);
        if (pid == getpid())
            return true;
    }
    return false;
}

/* A signal to us is meant for the program.  True if it shares our process group. */
static bool signal_target(const struct supervise *self, int number, bool from_terminal) {
    char state;
    if (parent_of(self->pid, &state) != getpid())
        return false;
    bool same_group = getpgid(self->pid) == getpgrp();
    if (from_terminal && same_group)
        return true;
    if (number != SIGCONT || state == 'T') /* fg and bg signal the group: it has had it already */
        kill(self->pid, number);
    return same_group;
}

/* ------------------------------------------------------------------------------------------------- waiting */

static void stop_with_program(struct supervise *self) {
    if (!self->stop_wanted || !self->program_stopped)
        return;
    self->stop_wanted = false;
    raise(SIGSTOP);
}

static void take_signal(struct supervise *self, const struct signalfd_siginfo *info) {
    int number = (int)info->ssi_signo;
    bool from_terminal = info->ssi_code > 0; /* SI_KERNEL; those of kill, sigqueue, tgkill are not above 0 */
    if (number == SIGCHLD)
        return;
    if (!from_terminal && is_descendant((pid_t)info->ssi_pid))
        return;
    bool shared = signal_target(self, number, from_terminal);
    if (number == SIGCONT)
        self->stop_wanted = self->program_stopped = false;
    if (number == SIGTSTP)
        self->stop_wanted = true;
    if (number == SIGTSTP && !shared)
        self->program_stopped = true; /* no process to wait for */
}

static void take_signals(struct supervise *self) {
    struct signalfd_siginfo info;
    while (read(self->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        take_signal(self, &info);
}

/* False when the program has ended.  Orphans of its tree are ours to reap meanwhile. */
static bool reap(struct supervise *self) {
    int status;
    pid_t pid;
    while (self->pid && (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid != self->pid)
            continue;
        if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP)
            self->program_stopped = true;
        if (WIFCONTINUED(status))
            self->program_stopped = false;
        if (WIFSTOPPED(status) || WIFCONTINUED(status))
            continue;
        self->status = status;
        self->pid = 0;
    }
    return self->pid;
}

static bool has_children(void) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        continue;
    return pid == 0;
}

int supervise_wait(struct supervise *self, bool *ret_others) {
    struct pollfd wait[2] = {{self->signal_fd, POLLIN, 0}, {self->work_fd, POLLIN, 0}};
    while (reap(self)) {
        stop_with_program(self);
        if (poll(wait, 2, -1) <= 0)
            continue;
        if (wait[0].revents)
            take_signals(self);
        if (wait[1].revents && self->work(self->context) < 0)
            self->work_fd = wait[1].fd = -1;
    }
    *ret_others = has_children();
    return self->status;
}

static void leave_terminal(void) {
    setsid();
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && nothing >= 0; fd++)
        dup2(nothing, fd);
    if (nothing > 2)
        close(nothing);
}

static bool is_told_to_end(const struct supervise *self) {
    struct signalfd_siginfo info;
    while (read(self->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT)
            return true;
    return false;
}

void supervise_stay(struct supervise *self, bool (*goes_on)(void *context)) {
    struct pollfd wait[2] = {{self->signal_fd, POLLIN, 0}, {self->work_fd, POLLIN, 0}};
    struct timespec now, next;
    leave_terminal();
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int look_ms = LOOK_FIRST_MS; !is_told_to_end(self);) {
        poll(wait, 2, look_ms);
        if (wait[1].revents && self->work(self->context) < 0)
            wait[1].fd = -1;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec < next.tv_sec)
            continue;
        if (!goes_on(self->context))
            return;
        next.tv_sec = now.tv_sec + 1;
        look_ms = LOOK_MS;
    }
}

void supervise_end_like(int status) {
    if (WIFSIGNALED(status)) {
        struct rlimit none = {0, 0};
        sigset_t only;
        setrlimit(RLIMIT_CORE, &none); /* the program's core is the interesting one */
        prctl(PR_SET_DUMPABLE, 0);
        signal(WTERMSIG(status), SIG_DFL);
        sigemptyset(&only);
        sigaddset(&only, WTERMSIG(status));
        kill(getpid(), WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &only, NULL);
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}
