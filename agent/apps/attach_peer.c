#include "agent/apps/attach_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/process/proc.h"
#include "rules/attach.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

bool attach_matches(const struct rule_app_match *m, const struct attach_peer *peer) {
    if (!m->exe && !m->unit && !m->cgroup && !m->comm && m->uid < 0)
        return false;
    return (!m->exe || strcmp(m->exe, peer->exe) == 0) && (!m->comm || strcmp(m->comm, peer->comm) == 0) &&
           (!m->unit || proc_cgroup_in_unit(peer->cgroup, m->unit)) &&
           (!m->cgroup || (peer->cgroup[0] && proc_cgroup_below(peer->cgroup, m->cgroup))) &&
           (m->uid < 0 || (uint64_t)m->uid == peer->uid);
}

bool attach_may(const struct rule_app_match *m, const struct attach_peer *peer, uid_t agent_uid) {
    if (peer->uid == 0 || peer->uid == agent_uid)
        return true;
    if (m->uid >= 0 && (uint64_t)m->uid != peer->uid)
        return false;
    if (m->unit && !proc_cgroup_in_unit(peer->cgroup, m->unit))
        return false;
    if (m->cgroup && !(peer->cgroup[0] && proc_cgroup_below(peer->cgroup, m->cgroup)))
        return false;
    return m->uid >= 0 || m->unit || m->cgroup || proc_cgroup_is_system(peer->cgroup);
}

bool attach_peer_of(int fd, struct attach_peer *peer) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return false;
    *peer = (struct attach_peer){.pid = credentials.pid, .uid = credentials.uid};
    return true;
}

/* A descriptor of the peer's /proc/PID, which stays with that process; -1: it is gone, or another one may have its pid.
 */
static int open_process(const struct attach_peer *peer, int fd) {
    char path[32];
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0)
        pidfd = -1; /* before Linux 6.5 only the user ids distinguish a new process of that pid from the peer */
    snprintf(path, sizeof path, "/proc/%d", (int)peer->pid);
    int directory = peer->pid > 0 ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    bool gone = pidfd >= 0 && poll(&ended, 1, 0) != 0;
    if (pidfd >= 0)
        close(pidfd);
    if (directory >= 0 && gone) {
        close(directory);
        directory = -1;
    }
    return directory;
}

static bool is_of_user(int directory, uid_t uid) {
    char text[4096];
    return proc_read_at(directory, "status", text, sizeof text) && proc_status_all_of(text, uid);
}

static void read_facts(struct attach_peer *peer, int directory) {
    char text[PROC_TEXT_MAX];
    if (proc_exe_at(directory, text))
        snprintf(peer->exe, sizeof peer->exe, "%s", text);
    if (proc_comm_at(directory, text))
        snprintf(peer->comm, sizeof peer->comm, "%.63s", text);
    if (proc_cgroup_at(directory, text))
        snprintf(peer->cgroup, sizeof peer->cgroup, "%s", text);
}

void attach_peer_read(struct attach_peer *peer, int fd) {
    int directory = open_process(peer, fd);
    if (directory < 0)
        return;
    struct attach_peer seen = *peer;
    if (is_of_user(directory, peer->uid)) {
        read_facts(&seen, directory);
        seen.known = true;
        if (is_of_user(directory, peer->uid))
            *peer = seen;
    }
    close(directory);
}

void attach_peer_claim(struct attach_peer *peer, const char *exe) {
    if (!peer->known || peer->exe[0] || exe[0] != '/' || !memchr(exe, 0, ATTACH_EXE_MAX))
        return;
    snprintf(peer->exe, sizeof peer->exe, "%s", exe);
    proc_exe_trim(peer->exe);
}

struct app *attach_pass_app(const struct app_list *apps, const uint64_t pass[2]) {
    for (struct app *app = apps->first; app && (pass[0] || pass[1]); app = app->next)
        if (((app->memory.rules->pass[0] ^ pass[0]) | (app->memory.rules->pass[1] ^ pass[1])) == 0)
            return app;
    return NULL;
}

struct app *attach_match_app(const struct app_list *apps, const struct attach_peer *peer) {
    for (size_t i = 0; i < apps->rules->count; i++) {
        const struct rule_file *file = apps->rules->files[i];
        const char *name = rule_dir_app(apps->rules, file);
        if (!file->good || !name)
            continue;
        struct rule_app_match match = rule_document_match(file->good);
        if (attach_matches(&match, peer))
            return app_find(apps, name);
    }
    return NULL;
}

struct app *attach_choose_app(const struct app_list *apps, const char *claimed, const struct attach_peer *peer) {
    struct app *app = claimed[0] ? app_find(apps, claimed) : NULL;
    if (!app)
        app = attach_match_app(apps, peer);
    if (!app && apps->own)
        app = app_find(apps, apps->own);
    return app;
}

bool attach_may_be(const struct app_list *apps, const struct app *app, const struct attach_peer *peer) {
    struct rule_app_match none = {.uid = 0};
    bool any = false;
    for (size_t i = 0; i < apps->rules->count; i++) {
        const struct rule_file *file = apps->rules->files[i];
        const char *name = file->good ? rule_dir_app(apps->rules, file) : NULL;
        if (!name || strcmp(name, app->name) != 0)
            continue;
        struct rule_app_match match = rule_document_match(file->good);
        any = true;
        if (attach_may(&match, peer, geteuid()))
            return true;
    }
    return !any && attach_may(&none, peer, geteuid());
}
