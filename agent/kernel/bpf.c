#include "agent/kernel/bpf.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/internal.h"
#include "ebpf/ebpf.h"

static void log_line(void *context, const char *line) {
    agent_say(context, AGENT_LOG_DEBUG, "%s", line);
}

static int tell(const struct agent *agent) {
    bool required = agent->options.bpf == AGENT_BPF_REQUIRED;
    int error = 0;
    for (int i = 0; i < EBPF_FEATURES; i++) {
        const struct ebpf_feature *feature = &agent->ebpf->feature[i];
        if (feature->on)
            agent_say(agent, AGENT_LOG_INFO, "eBPF: %s: on%s%s", feature->help, feature->why[0] ? "; " : "",
                      feature->why);
        else
            agent_say(agent, required ? AGENT_LOG_ERROR : AGENT_LOG_INFO, "eBPF: %s: off: %s", feature->help,
                      feature->why);
        if (!feature->on && required)
            error = -EOPNOTSUPP;
    }
    return error;
}

int bpf_open(struct agent *agent) {
    const struct agent_options *options = &agent->options;
    if (options->bpf == AGENT_BPF_OFF) {
        agent->ebpf = ebpf_open_off(options->embedded ? "not asked for: weir run --bpf" : "switched off");
        return agent->ebpf ? 0 : -ENOMEM;
    }
    const struct ebpf_options given = {
        .pin_root = options->bpf_dir,
        .cgroup = options->bpf_cgroup,
        .log = log_line,
        .log_context = agent,
    };
    agent->ebpf = ebpf_open(&given);
    return agent->ebpf ? tell(agent) : -ENOMEM;
}

void bpf_close(struct agent *agent) {
    ebpf_close(agent->ebpf);
    agent->ebpf = NULL;
}

void bpf_report(const struct agent *agent, cJSON *root) {
    cJSON *bpf = cJSON_AddObjectToObject(root, "bpf"), *list = cJSON_CreateArray();
    const char *why = "";
    bool any = false;
    for (int i = 0; i < EBPF_FEATURES; i++) {
        const struct ebpf_feature *feature = &agent->ebpf->feature[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "feature", feature->name);
        cJSON_AddStringToObject(object, "what", feature->help);
        cJSON_AddBoolToObject(object, "on", feature->on);
        cJSON_AddStringToObject(object, "why", feature->why);
        cJSON_AddItemToArray(list, object);
        any |= feature->on;
        why = why[0] || feature->on ? why : feature->why;
    }
    cJSON_AddBoolToObject(bpf, "available", any);
    cJSON_AddStringToObject(bpf, "why", why); /* of the first that is off */
    cJSON_AddItemToObject(bpf, "features", list);
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
