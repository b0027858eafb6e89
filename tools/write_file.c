#include "tools/write_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *text, size_t length) {
    while (length) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -ENOSPC;
        text += written;
        length -= (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int put_in_place(const char *temporary, const char *path, bool replace) {
    if (replace)
        return rename(temporary, path) < 0 ? -errno : 0;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(temporary, path) < 0) /* a file system without that flag */
        return -errno;
    unlink(temporary);
    return 0;
}

int write_file(const char *path, const char *text, size_t length, bool replace) {
    char target[PATH_MAX], temporary[PATH_MAX];
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && !replace)
        return -EEXIST;
    if (exists && !S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    if (!exists || !realpath(path, target)) {
        if (snprintf(target, sizeof target, "%s", path) >= (int)sizeof target)
            return -ENAMETOOLONG;
    }
    if (snprintf(temporary, sizeof temporary, "%s.%d.new", target, (int)getpid()) >= (int)sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, text, length);
    if (error == 0 && exists && fchmod(fd, status.st_mode & 07777) < 0)
        error = -errno;
    if (close(fd) < 0 && error == 0)
        error = -errno;
    if (error == 0)
        error = put_in_place(temporary, target, replace);
    if (error < 0)
        unlink(temporary);
    return error;
}
