#include "ebpf.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebpf/calling.h"
#include "ebpf/counting.h"
#include "ebpf/guarding.h"
#include "ebpf/owners.h"

/* --------------------------------------------------------------------------------------------------- libbpf's words */

/* libbpf has one printer for the whole process; the instance opened last gets its messages. */
static const struct ebpf *listener;

static int heard(enum libbpf_print_level level, const char *format, va_list arguments) {
    char line[1024];
    if (level == LIBBPF_DEBUG || !listener || !listener->options.log)
        return 0;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = 0; /* a verifier's log is long; its first line names the program */
    listener->options.log(listener->options.log_context, line);
    return 0;
}

/* --------------------------------------------------------------------------------------------------------- features */

void ebpf_feature_on(struct ebpf_feature *feature, const char *remark) {
    feature->on = true;
    snprintf(feature->why, sizeof feature->why, "%s", remark);
}

void ebpf_feature_off(struct ebpf_feature *feature, const char *doing, int error) {
    static const struct {
        int error;
        const char *text;
    } meanings[] = {
        {EPERM, "not permitted: it takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root"},
        {EACCES, "not permitted"},
        {EINVAL, "this kernel refuses it"},
        {ESRCH, "this kernel has no type information (CONFIG_DEBUG_INFO_BTF)"},
        {ENOSYS, "this kernel has no bpf system call"},
    };
    const char *text = strerror(-error);
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        text = meanings[i].error == -error ? meanings[i].text : text;
    feature->on = false;
    snprintf(feature->why, sizeof feature->why, "cannot %s: %s", doing, text);
}

void ebpf_feature_left_out(struct ebpf_feature *feature, const char *why) {
    feature->on = false;
    snprintf(feature->why, sizeof feature->why, "%s", why);
}

bool ebpf_reads_only(const struct ebpf *ebpf) {
    return ebpf->pins.root[0] && !ebpf->pins.owner;
}

static struct ebpf *new_ebpf(void) {
    struct ebpf *ebpf = calloc(1, sizeof *ebpf);
    if (!ebpf)
        return NULL;
    ebpf->cgroup_fd = ebpf->pins.lock = -1;
#define EBPF_NAME(id, word, text) ebpf->feature[id] = (struct ebpf_feature){.name = word, .help = text};
    EBPF_FEATURES_TABLE(EBPF_NAME)
#undef EBPF_NAME
    return ebpf;
}

struct ebpf *ebpf_open_off(const char *why) {
    struct ebpf *ebpf = new_ebpf();
    for (int i = 0; ebpf && i < EBPF_FEATURES; i++)
        snprintf(ebpf->feature[i].why, sizeof ebpf->feature[i].why, "%s", why);
    return ebpf;
}

/* ------------------------------------------------------------------------------------------------------ the cgroup */

/* A line of mountinfo is "36 35 98:0 /root /place options … - type source options"; a blank in a place is \040. */
bool ebpf_parse_mount(const char *line, char ret_place[static PINS_PATH_MAX]) {
    const char *dash = strstr(line, " - "), *p = line;
    if (!dash || strncmp(dash + 3, "cgroup2 ", 8) != 0)
        return false;
    for (int field = 0; field < 4; field++) {
        p = strchr(p, ' ');
        if (!p || p >= dash)
            return false;
        p++;
    }
    size_t n = 0;
    for (; *p && *p != ' '; p++) {
        if (n == PINS_PATH_MAX - 1)
            return false;
        bool octal = p[0] == '\\' && strspn(p + 1, "01234567") >= 3;
        ret_place[n++] = octal ? (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0') : *p;
        p += octal ? 3 : 0;
    }
    ret_place[n] = 0;
    return n > 0;
}

/* cgroup v2 is where it is: alone at /sys/fs/cgroup, or beside the older one. */
static int find_cgroup2(char ret_place[static PINS_PATH_MAX]) {
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    if (!mounts)
        return -errno;
    while (!found && getline(&line, &size, mounts) > 0)
        found = ebpf_parse_mount(line, ret_place);
    free(line);
    fclose(mounts);
    return found ? 0 : -ENOENT;
}

static int open_cgroup(struct ebpf *ebpf) {
    int error = find_cgroup2(ebpf->cgroup_root);
    if (error)
        return error;
    const char *folder = ebpf->options.cgroup ? ebpf->options.cgroup : ebpf->cgroup_root;
    ebpf->cgroup_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ebpf->cgroup_fd < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------------------------------------------------- all */

/* Without pins it works, too, and the features say so. */
static void open_pins(struct ebpf *ebpf) {
    const char *root = ebpf->options.pin_root;
    int error = root ? pins_open(&ebpf->pins, root) : 0;
    if (!root)
        snprintf(ebpf->unpinned, sizeof ebpf->unpinned, "not pinned; counts are lost when the agent stops");
    else if (error)
        snprintf(ebpf->unpinned, sizeof ebpf->unpinned,
                 "not pinned; counts are lost when the agent stops: cannot pin in %.60s: %s", root,
                 error == -ENODEV ? "no BPF file system" : strerror(-error));
}

struct ebpf *ebpf_open(const struct ebpf_options *options) {
    struct ebpf *ebpf = new_ebpf();
    if (!ebpf)
        return NULL;
    ebpf->options = *options;
    listener = ebpf;
    libbpf_set_print(heard);
    if (open_cgroup(ebpf) < 0) {
        for (int i = 0; i < EBPF_FEATURES; i++)
            snprintf(ebpf->feature[i].why, sizeof ebpf->feature[i].why, "no cgroup v2 %s%s",
                     options->cgroup ? "directory " : "is mounted", options->cgroup ? options->cgroup : "");
        return ebpf;
    }
    open_pins(ebpf);
    ebpf->counting = counting_open(ebpf);
    ebpf->guarding = guarding_open(ebpf, &ebpf->feature[EBPF_GUARD]);
    ebpf->calling = calling_open(ebpf, &ebpf->feature[EBPF_CALLER]);
    ebpf->owners = owners_open(ebpf);
    return ebpf;
}

void ebpf_close(struct ebpf *ebpf) {
    if (!ebpf)
        return;
    owners_close(ebpf->owners);
    counting_close(ebpf->counting);
    guarding_close(ebpf->guarding);
    calling_close(ebpf->calling);
    pins_close(&ebpf->pins);
    if (ebpf->cgroup_fd >= 0)
        close(ebpf->cgroup_fd);
    if (listener == ebpf)
        listener = NULL;
    free(ebpf);
}

int ebpf_uninstall(const char *pin_root) {
    struct pins pins;
    if (access(pin_root, F_OK) < 0 && errno == ENOENT)
        return 0;
    int error = pins_open(&pins, pin_root);
    if (error)
        return error;
    error = pins.owner ? pins_remove(&pins, NULL, 0) : -EBUSY;
    pins_close(&pins);
    return error;
}
