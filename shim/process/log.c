#include "shim/process/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shim/libc/syscall_raw.h"

enum { LINE = 256 };

static enum log_level threshold = LOG_LEVEL_OFF;
static char path[256];

void log_start(void) {
    static const char *const names[] = {"off", "error", "info", "debug"};
    const char *level = getenv("WEIR_LOG"), *folder = getenv("WEIR_RUN_DIR");
    static const char file[] = "/shim.log";

    if (!folder || !*folder)
        folder = "/run/weir";
    size_t length = strlen(folder);
    if (!level || length + sizeof file > sizeof path)
        return;
    memcpy(path, folder, length);
    memcpy(path + length, file, sizeof file);
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
        if (strcmp(level, names[n]) == 0)
            threshold = (enum log_level)n;
}

static char *put_text(char *at, const char *end, const char *text) {
    while (*text && at < end)
        *at++ = *text++;
    return at;
}

static char *put_number(char *at, const char *end, int64_t number) {
    char digits[24];
    int count = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

    if (number < 0 && at < end)
        *at++ = '-';
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (count && at < end)
        *at++ = digits[--count];
    return at;
}

void log_line(enum log_level level, const char *text, int64_t number) {
    char line[LINE], *at = line;
    const char *end = line + sizeof line - 1;
    struct timespec now = {0};

    if (level > threshold || level == LOG_LEVEL_OFF)
        return;
    OWN2(SYS_clock_gettime, CLOCK_REALTIME, &now);
    at = put_number(at, end, now.tv_sec);
    at = put_text(at, end, " ");
    at = put_number(at, end, OWN1(SYS_getpid, 0));
    at = put_text(at, end, " ");
    at = put_text(at, end, text);
    at = put_text(at, end, " ");
    at = put_number(at, end, number);
    *at++ = '\n';
    int how = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    long fd = OWN4(SYS_openat, AT_FDCWD, path, how, 0640);
    if (fd < 0)
        return;
    OWN3(SYS_write, fd, line, at - line);
    OWN1(SYS_close, fd);
}
