#include "agent/fd_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static struct {
    char **names; /* NULL: none were passed */
    int *fds;     /* -1: taken */
    int count;
} passed;

static int take(void *context, const char *name) {
    (void)context;
    for (int i = 0; i < passed.count; i++)
        if (passed.fds[i] >= 0 && strcmp(passed.names[i], name) == 0) {
            int fd = passed.fds[i];
            passed.fds[i] = -1;
            return fd;
        }
    return -1;
}

/* Of memory there is nothing to poll for. */
static bool keep(void *context, const char *name, int fd) {
    char message[256];
    (void)context;
    snprintf(message, sizeof message, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    return sd_pid_notify_with_fds(0, 0, message, &fd, 1) > 0;
}

static void drop(void *context, const char *name) {
    (void)context;
    sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

struct sealed_store fd_store_open(void) {
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    if (count > 0 && (passed.fds = calloc((size_t)count, sizeof *passed.fds)) != NULL) {
        passed.names = names;
        passed.count = count;
        for (int i = 0; i < count; i++)
            passed.fds[i] = SD_LISTEN_FDS_START + i;
    }
    return (struct sealed_store){.take = take, .keep = keep, .drop = drop};
}

/* What is left is of apps whose rules are gone: it leaves the store, too. */
void fd_store_close(void) {
    for (int i = 0; i < passed.count; i++) {
        if (passed.fds[i] >= 0) {
            close(passed.fds[i]);
            drop(NULL, passed.names[i]);
        }
        free(passed.names[i]);
    }
    free((void *)passed.names);
    free(passed.fds);
    passed.count = 0;
}
