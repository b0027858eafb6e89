/* What `weir doctor` finds of each process: facts of /proc, what the agents say, and the verdict. */
#ifndef WEIR_TOOLS_DOCTOR_H
#define WEIR_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/doctor/finding.h"

struct doctor_request {
    const char *proc;    /* where procfs is mounted */
    const char *root;    /* of the systemd units: "" or a directory */
    const char *run_dir; /* ask the agent there only, or NULL */
    char **named;        /* PIDs and units, NULL at the end; none: every process that listens */
    bool watch;          /* takes some seconds where that tells whose connections go past the shim */
};

/* 0; or a CMD_ status, after a message. */
int doctor_examine(const struct doctor_request *, struct doctor *ret_doctor);
void doctor_clear(struct doctor *);

/* Is that one a reason for exit status 1? */
bool doctor_is_ill(const struct doctor_finding *);

/* What a person might want to know of one that is protected; NULL: nothing. */
const char *doctor_remark(const struct doctor *, const struct doctor_finding *);

/* What to do about it, in plain words; malloc'ed; NULL: nothing. */
char *doctor_remedy(const struct doctor_finding *);

#endif
