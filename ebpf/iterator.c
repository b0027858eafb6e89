#include "iterator.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int read_all(int fd, char **ret_bytes, size_t *ret_size) {
    size_t room = 0, have = 0;
    char *bytes = NULL;
    for (;;) {
        if (have == room) {
            char *more = realloc(bytes, room = room ? room * 2 : 65536);
            if (!more) {
                free(bytes);
                return -ENOMEM;
            }
            bytes = more;
        }
        ssize_t got = read(fd, bytes + have, room - have);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0) {
            int error = -errno;
            free(bytes);
            return error;
        }
        if (got == 0)
            break;
        have += (size_t)got;
    }
    *ret_bytes = bytes;
    *ret_size = have;
    return 0;
}

int iterator_read(int link_fd, char **ret_bytes, size_t *ret_size) {
    int fd = bpf_iter_create(link_fd);
    if (fd < 0)
        return -errno;
    int error = read_all(fd, ret_bytes, ret_size);
    close(fd);
    return error;
}
