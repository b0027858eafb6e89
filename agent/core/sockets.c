#include "agent/core/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>

enum { GROUPS_MAX = 256 };

int sockets_listen(int directory, const char *path, const char *name, int type, mode_t mode, int backlog) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", path, name) >= (int)sizeof address.sun_path)
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct stat status;
    unlinkat(directory, name, 0);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && fchmodat(directory, name, mode, 0) == 0 &&
        fstat(directory, &status) == 0 && listen(fd, backlog) == 0) {
        if (status.st_gid != getegid() && fchownat(directory, name, (uid_t)-1, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
            errno = 0; /* it keeps our own group: root and the agent's user get in */
        return fd;
    }
    int error = -errno;
    close(fd);
    return error;
}

bool sockets_peer_is_trusted(int fd, gid_t group) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    if (group == (gid_t)-1)
        return false;
    if (peer.gid == group)
        return true;
#ifdef SO_PEERGROUPS
    gid_t groups[GROUPS_MAX];
    length = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
        return false;
    for (size_t i = 0; i < length / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
#endif
    return false;
}
