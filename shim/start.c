/* Where the shim begins and ends in a process: the only file that knows all its parts. */
#include <errno.h>

#include "shim/admission/listener.h"
#include "shim/fd/classify.h"
#include "shim/fd/fd_custody.h"
#include "shim/fd/linger.h"
#include "shim/fd/own_fd.h"
#include "shim/fd/wakeup.h"
#include "shim/libc/real.h"
#include "shim/libc/wrappers_stdio.h"
#include "shim/process/attach.h"
#include "shim/process/lifecycle.h"
#include "shim/session/stream.h"

void lifecycle_parts_after_fork(void) {
    stream_after_fork();
    wakeup_after_fork();
    linger_after_fork();
    own_fd_after_fork();
}

void lifecycle_parts_before_filter(void) {
    classify_known();
}

void lifecycle_parts_before_fork(void) {
    listener_before_fork();
    fd_custody_before_fork();
}

void lifecycle_parts_in_child(void) {
    fd_custody_in_child();
}

__attribute__((constructor)) static void start(void) {
    int saved = errno;

    real_bind();
    lifecycle_start();
    if (attach_inherited())
        fd_custody_after_exec();
    stdio_start();
    errno = saved;
}

__attribute__((destructor)) static void stop(void) {
    int saved = errno;

    lifecycle_stop();
    errno = saved;
}
