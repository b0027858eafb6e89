#include "agent/apps/attach_peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/process/proc.h"

bool attach_matches(const struct rule_app_match *m, const struct attach_peer *peer) {
    if (!m->exe && !m->unit && !m->cgroup && !m->comm && m->uid < 0)
        return false;
    return (!m->exe || strcmp(m->exe, peer->exe) == 0) && (!m->comm || strcmp(m->comm, peer->comm) == 0) &&
           (!m->unit || proc_cgroup_in_unit(peer->cgroup, m->unit)) &&
           (!m->cgroup || (peer->cgroup[0] && proc_cgroup_below(peer->cgroup, m->cgroup))) &&
           (m->uid < 0 || (uint64_t)m->uid == peer->uid);
}

bool attach_may(const struct rule_app_match *m, const struct attach_peer *peer, uid_t agent_uid) {
    if (peer->uid == 0 || peer->uid == agent_uid || peer->made_by_root)
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

void attach_peer_read(struct attach_peer *peer) {
    char text[PROC_TEXT_MAX];
    if (proc_exe(peer->pid, text))
        snprintf(peer->exe, sizeof peer->exe, "%s", text);
    if (proc_comm(peer->pid, text))
        snprintf(peer->comm, sizeof peer->comm, "%.63s", text);
    if (proc_cgroup(peer->pid, text))
        snprintf(peer->cgroup, sizeof peer->cgroup, "%s", text);
    if (peer->uid != 0 && peer->uid != geteuid())
        peer->made_by_root = proc_made_by(peer->pid, 0) || proc_made_by(peer->pid, geteuid());
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
