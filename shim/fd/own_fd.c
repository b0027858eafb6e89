#include "shim/fd/own_fd.h"

#include <limits.h>
#include <stdatomic.h>

#include "shim/fd/fd_table.h"
#include "shim/fd/linger.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/high_fd.h"

static _Atomic uint32_t open_count;

int own_fd_adopt(int fd, uint32_t value) {
    int high = high_fd_move(fd);

    fd_table_swap(high, FD_OURS, value);
    atomic_fetch_add(&open_count, 1);
    return high;
}

static bool replace(int fd, uint32_t value, enum fd_kind kind, uint32_t next) {
    uint64_t word = fd_table_get(fd);
    return fd_word_kind(word) == FD_OURS && fd_word_value(word) == value && fd_table_replace(fd, word, kind, next);
}

bool own_fd_change(int fd, uint32_t from, uint32_t to) {
    return replace(fd, from, FD_OURS, to);
}

bool own_fd_close(int fd, uint32_t value) {
    if (!replace(fd, value, FD_PLAIN, 0))
        return false;
    atomic_fetch_sub(&open_count, 1);
    OWN1(SYS_close, fd);
    return true;
}

unsigned own_fd_next(unsigned first) {
    int highest = fd_table_highest();

    for (unsigned fd = first; atomic_load(&open_count) && highest >= 0 && fd <= (unsigned)highest; fd++)
        if (fd_word_kind(fd_table_get((int)fd)) == FD_OURS)
            return fd;
    return UINT_MAX;
}

void own_fd_vacate(int fd) {
    uint32_t value = fd_word_value(fd_table_get(fd));

    if (value == OWN_SPARE) /* it just goes: its word says so to the one who finds its number */
        own_fd_close(fd, OWN_SPARE);
    else if (value == OWN_LINGERS)
        linger_end(fd);
    else
        wakeup_vacate(fd, value);
}

void own_fd_after_fork(void) {
    if (atomic_load(&open_count) == 0)
        return;
    for (unsigned fd = own_fd_next(0); fd != UINT_MAX; fd = own_fd_next(fd + 1))
        own_fd_close((int)fd, fd_word_value(fd_table_get((int)fd)));
    atomic_store(&open_count, 0);
}
