/* A log file of bounded size: FILE, and FILE.1 … FILE.N before it. */
#ifndef WEIR_AGENT_LOG_FILE_H
#define WEIR_AGENT_LOG_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct log_file {
    char *path;
    FILE *stream; /* NULL: not open */
    uint64_t size, size_max;
    unsigned kept; /* older files */
};

/* Nothing is opened before the first line. 0 or -ENOMEM. */
int log_file_open(struct log_file *, const char *directory, const char *name, uint64_t size_max, unsigned kept);
void log_file_close(struct log_file *);
/* Adds a line (with its newline); log_file_flush writes it out.  Losing lines is better than stopping: a failure is
 * forgotten and the file opened again next time. */
void log_file_add(struct log_file *, const char *line, size_t length);
void log_file_flush(struct log_file *);
/* Looks whether the file was taken away or cut by another program (logrotate): lines then go to a new one, or its size
 * is what is left. */
void log_file_look(struct log_file *);

#endif
