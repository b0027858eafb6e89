#include "shim/process/high_fd.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>

#include "shim/libc/syscall_raw.h"

enum { HIGH_FD = 900 }; /* not so high that the kernel must grow a large table */

int high_fd_move(int fd) {
    struct rlimit limit;
    if (fd >= HIGH_FD)
        return fd;
    long high = OWN3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);

    if (high < 0 && OWN4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit) == 0) /* a low limit of descriptors */
        high = OWN3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur / 2);
    if (high < 0)
        return fd;
    OWN1(SYS_close, fd);
    return (int)high;
}
