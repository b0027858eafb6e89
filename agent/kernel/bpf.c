#include "agent/kernel/bpf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void log_line(void *context, const char *line) {
    log_say(context, LOG_LEVEL_DEBUG, "%s", line);
}

static int log_features(const struct ebpf *ebpf, bool required, const struct log *log) {
    int error = 0;
    for (int i = 0; i < EBPF_FEATURES; i++) {
        const struct ebpf_feature *feature = &ebpf->feature[i];
        if (feature->on)
            log_say(log, LOG_LEVEL_INFO, "eBPF: %s: on%s%s", feature->help, feature->why[0] ? "; " : "", feature->why);
        else
            log_say(log, required ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "eBPF: %s: off: %s", feature->help, feature->why);
        if (!feature->on && required)
            error = -EOPNOTSUPP;
    }
    return error;
}

int bpf_open(const struct bpf_settings *settings, const struct log *log, struct ebpf **ret_ebpf) {
    if (settings->mode == BPF_OFF) {
        *ret_ebpf = ebpf_open_off(settings->off_why);
        return *ret_ebpf ? 0 : -ENOMEM;
    }
    const struct ebpf_options given = {
        .pin_root = settings->pin_root,
        .cgroup = settings->cgroup,
        .log = log_line,
        .log_context = (void *)(uintptr_t)log,
    };
    *ret_ebpf = ebpf_open(&given);
    return *ret_ebpf ? log_features(*ret_ebpf, settings->mode == BPF_REQUIRED, log) : -ENOMEM;
}

void bpf_close(struct ebpf *ebpf) {
    ebpf_close(ebpf);
}

static void add_feature(const struct ebpf_feature *feature, struct json_writer *w) {
    json_open(w, NULL);
    json_text(w, "feature", feature->name);
    json_text(w, "what", feature->help);
    json_bool(w, "on", feature->on);
    json_text(w, "why", feature->why);
    json_close(w);
}

void bpf_report(const struct ebpf *ebpf, struct json_writer *w) {
    const char *why = "";
    bool any = false;
    for (int i = 0; i < EBPF_FEATURES; i++) {
        const struct ebpf_feature *feature = &ebpf->feature[i];
        any |= feature->on;
        why = why[0] || feature->on ? why : feature->why;
    }
    json_open(w, "bpf");
    json_bool(w, "available", any);
    json_text(w, "why", why); /* of the first that is off */
    json_open_list(w, "features");
    for (int i = 0; i < EBPF_FEATURES; i++)
        add_feature(&ebpf->feature[i], w);
    json_close_list(w);
    json_close(w);
}

static const char *uninstall_error(int error) {
    switch (error) {
    case -EBUSY: return "a running agent uses this; stop it first";
    case -ENODEV: return "no folder of a BPF file system: nothing can be pinned there";
    case -EACCES:
    case -EPERM: return "permission denied; be root";
    default: return strerror(-error);
    }
}

bool bpf_uninstall(const char *pin_root) {
    int error = ebpf_uninstall(pin_root);
    if (error)
        fprintf(stderr, "weir-agent: %s: %s\n", pin_root, uninstall_error(error));
    else if (access(pin_root, F_OK) == 0)
        fprintf(stderr, "weir-agent: %s stays: what is in it now is not weir's\n", pin_root);
    return error == 0;
}
