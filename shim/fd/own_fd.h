/* The few descriptors that the shim has open in the application: timers of requests that wait (wakeup.h), and
 * connections that linger (linger.h).  They have high numbers and end with exec; calls that close whole ranges leave
 * them out, and what the application puts on such a number pushes them away. */
#ifndef WEIR_SHIM_OWN_FD_H
#define WEIR_SHIM_OWN_FD_H

#include <stdbool.h>
#include <stdint.h>

#define OWN_SPARE 0u /* a timer that stands for nothing now */
#define OWN_LINGERS                                                                                                    \
    UINT32_MAX /* a connection that lingers; any other value: the connection that a timer stands for                   \
                */

/* Takes over a descriptor that was just opened and gives it a high number; returns that. */
int own_fd_adopt(int fd, uint32_t value);
/* What it stands for changes; false: it is not ours any more, or not what it was. */
bool own_fd_change(int fd, uint32_t from, uint32_t to);
/* False: as above; it is left alone. */
bool own_fd_close(int fd, uint32_t value);
/* The next number from `first` on that is ours; UINT_MAX: none. */
unsigned own_fd_next(unsigned first);
/* The application is about to put something else on this number. */
void own_fd_vacate(int fd);
/* In a forked child they are only numbers that stay open: closes them. */
void own_fd_after_fork(void);

#endif
