/* libc's streams on connections (see the header).  Nothing but their descriptor's number is kept of them: what they do
 * comes back to the wrappers as any other call of the application's does. */
#include "shim/libc/wrappers_stdio.h"

#include <errno.h>
#include <stdint.h>

#include "shim/fd/classify.h"
#include "shim/fd/fd_table.h"
#include "shim/libc/real.h"
#include "shim/libc/wrappers.h"

static int number_of(void *cookie) {
    return (int)(intptr_t)cookie;
}

static ssize_t stream_reads(void *cookie, char *bytes, size_t size) {
    return read(number_of(cookie), bytes, size);
}

/* All of it or an error, which is 0: libc takes less for an error, too. */
static ssize_t stream_writes(void *cookie, const char *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t more = write(number_of(cookie), bytes + done, size - done);
        if (more < 0)
            break;
        done += (size_t)more;
    }
    return (ssize_t)done;
}

/* As of a socket. */
static int stream_seeks(void *cookie, off64_t *position, int from) {
    (void)cookie, (void)position, (void)from;
    errno = ESPIPE;
    return -1;
}

static int stream_closes(void *cookie) {
    return close(number_of(cookie));
}

/* NULL and errno as of fdopen(). */
static FILE *stream_on(int fd, const char *mode) {
    static const cookie_io_functions_t functions = {stream_reads, stream_writes, stream_seeks, stream_closes};
    FILE *stream = fopencookie((void *)(intptr_t)fd, mode, functions);
    if (stream)
        stream->_fileno = fd; /* for fileno(): the stream itself has no use for it */
    return stream;
}

static bool is_connection(int fd, const void *frame) {
    enum fd_kind kind = fd_word_kind(fd_table_get(fd));
    uint32_t serial;
    if (kind != FD_UNKNOWN)
        return kind == FD_STREAM;
    struct reentry_op *op = wrapper_enter(frame, &serial);
    if (!op)
        return false;
    kind = fd_word_kind(classify(fd));
    reentry_leave(op, serial);
    return kind == FD_STREAM;
}

EXPORTED FILE *fdopen(int fd, const char *mode) {
    if (fd < 0 || reentry_vforked || !is_connection(fd, FRAME))
        return real.fdopen(fd, mode);
    return stream_on(fd, mode);
}

/* Where a stream stood already that is another one's, or the program's own choice, it stays. */
void stdio_adopt(int fd) {
    FILE **const streams[] = {&stdin, &stdout, &stderr};
    static bool adopted[3];
    int saved = errno;
    if (fd < 0 || fd > 2 || adopted[fd] || fileno(*streams[fd]) != fd || !is_connection(fd, FRAME))
        return;
    FILE *stream = stream_on(fd, fd == 0 ? "r" : "w");
    if (stream && fd == 2)
        setvbuf(stream, NULL, _IONBF, 0);
    if (stream) {
        adopted[fd] = true;
        *streams[fd] = stream;
    }
    errno = saved;
}

void stdio_start(void) {
    if (!is_connection(0, FRAME))
        return;
    for (int fd = 0; fd < 3; fd++)
        stdio_adopt(fd);
}

/* What a stream made here still has to write is written before the connection ends; what one of libc's has goes out
 * unseen, as all of its output did. */
EXPORTED int fclose(FILE *file) {
    int saved = errno, fd = fileno(file), flushed = 0;

    errno = saved;
    if (fd >= 0 && fd_word_kind(fd_table_get(fd)) >= FD_OUTBOUND) {
        flushed = fflush(file);
        fd_ended(fd);
    }
    return real.fclose(file) == 0 ? flushed : EOF;
}
