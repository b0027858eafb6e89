/* Windows of long limits (rules/engine/carry.h) in the agent's state directory: a file an app, STEM.windows, written
 * again while its windows change and read when its counters start from zero, so that a day's quota outlives a reboot
 * and an emptied run directory.
 *
 * A file is replaced as a whole (write, rename), and believed only if it is whole, this version's, this app's and its
 * checksum fits.  How long ago it was written is said by the boot's own clock, or after a reboot by the wall clock: one
 * that stands before the file's time counts as no time at all.  Setting the clock while the host is up changes nothing.
 */
#ifndef WEIR_AGENT_KEPT_WINDOWS_H
#define WEIR_AGENT_KEPT_WINDOWS_H

#include "agent/rules/publish.h"

enum { KEPT_BYTES_MAX = 8 << 20 }; /* of a file */

struct kept_windows { /* of an app: what was written last */
    uint64_t next_ns; /* monotonic; not before */
    uint64_t hash;
    bool cut; /* there was more than a file may hold */
};

/* The clocks of a moment, in ns. */
struct kept_clocks {
    uint64_t wall, boot_time, monotonic;
};
struct kept_clocks kept_clocks_now(void);

/* Writes them if they have changed, and it is time (`now`: whether or not).  0 or -errno; -E2BIG: not all of it found
 * room, said once. */
int kept_windows_save(struct kept_windows *, struct publish *, int directory, const char *app,
                      const struct kept_clocks *, bool now);
/* Into counters that are new and that no process has yet; `*ret_limits` says of how many limiters, 0 if there is no
 * file. 0 or -errno: -EBADMSG damaged, -EPROTO another version's, -ENODEV another app's.  `*ret_early`: the clock
 * stands before the time of the file. */
int kept_windows_restore(struct publish *, int directory, const char *app, const struct kept_clocks *,
                         unsigned *ret_limits, bool *ret_early);

#endif
