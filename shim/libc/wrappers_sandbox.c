/* A filter that the application puts on itself: prctl(PR_SET_SECCOMP), and seccomp() by number, as libseccomp does it.
 * Everything is prepared before the call: when it returns the filter is in force, with TSYNC in all threads. */
#include "shim/libc/wrappers.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>

#include "shim/libc/real.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/lifecycle.h"
#include "shim/process/sandbox.h"

static bool before_filter(void) {
    bool before = sandbox_on();
    int saved = errno;

    lifecycle_before_filter();
    errno = saved;
    return before;
}

long sandbox_seccomp(long operation, long flags, long arguments) {
    bool installs = operation == SECCOMP_SET_MODE_STRICT || operation == SECCOMP_SET_MODE_FILTER;
    installs = installs && !reentry_vforked; /* a vfork() child's filter is not its parent's */
    bool before = installs && before_filter();
    long result = RAW3(SYS_seccomp, operation, flags, arguments);

    if (installs && result != 0)
        sandbox_failed(before);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

int prctl_via(const struct real *via, int option, const long a[4]) {
    bool installs = option == PR_SET_SECCOMP && !reentry_vforked, before = installs && before_filter();
    int result = via->prctl(option, a[0], a[1], a[2], a[3]);

    if (installs && result < 0)
        sandbox_failed(before);
    return result;
}

/* Up to four arguments, whose number depends on the first: passed on as they are, those that are not there, too. */
EXPORTED int prctl(int option, ...) {
    va_list list;
    long a[4];

    va_start(list, option);
    for (int n = 0; n < 4; n++)
        a[n] = va_arg(list, long);
    va_end(list);
    return prctl_via(&real, option, a);
}
