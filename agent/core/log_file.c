#include "agent/core/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int log_file_open(struct log_file *log, const char *directory, const char *name, uint64_t size_max, unsigned kept) {
    *log = (struct log_file){.size_max = size_max, .kept = kept};
    return asprintf(&log->path, "%s/%s", directory, name) < 0 ? (log->path = NULL, -ENOMEM) : 0;
}

static void close_stream(struct log_file *log) {
    if (log->stream)
        fclose(log->stream);
    log->stream = NULL;
}

void log_file_close(struct log_file *log) {
    close_stream(log);
    free(log->path);
    log->path = NULL;
}

static void rotate(struct log_file *log) {
    char *from = NULL, *to = NULL;
    close_stream(log);
    for (unsigned i = log->kept; i > 0; i--) {
        int made = i == 1 ? asprintf(&from, "%s", log->path) : asprintf(&from, "%s.%u", log->path, i - 1);
        if (made < 0)
            return;
        if (asprintf(&to, "%s.%u", log->path, i) >= 0) {
            rename(from, to);
            free(to);
        }
        free(from);
    }
}

static void open_stream(struct log_file *log) {
    struct stat status;
    int fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    log->stream = fd < 0 ? NULL : fdopen(fd, "a");
    if (fd >= 0 && !log->stream)
        close(fd);
    log->size = log->stream && fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

void log_file_add(struct log_file *log, const char *line, size_t length) {
    if (!log->path)
        return;
    if (!log->stream)
        open_stream(log);
    if (log->stream && log->size + length > log->size_max && log->size > 0) {
        rotate(log);
        open_stream(log);
    }
    if (!log->stream)
        return;
    if (fwrite(line, 1, length, log->stream) != length)
        close_stream(log);
    else
        log->size += length;
}

void log_file_look(struct log_file *log) {
    struct stat open_one, named;
    if (!log->stream || fstat(fileno(log->stream), &open_one) < 0)
        return;
    if (stat(log->path, &named) < 0 || named.st_ino != open_one.st_ino || named.st_dev != open_one.st_dev)
        close_stream(log);
    else
        log->size = (uint64_t)open_one.st_size;
}

void log_file_flush(struct log_file *log) {
    if (log->stream && fflush(log->stream) != 0)
        close_stream(log);
}
