/* What to do about each cause, in plain words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process/coverage.h"
#include "tools/doctor/doctor.h"
#include "tools/run_dir.h"

#define KERNEL                                                                                                         \
    "To limit its connections all the same, let the kernel do it: a rules file with \"match\": {match} "               \
    "and rules for the resource \"tcp::{port}\" is enforced by the agent's eBPF guard.{without}"

/* Of COVERAGE_NO_APP, where a rules file is for it all the same. */
static const char unrecognised[] =
    "The \"match\" of a rules file of app \"{app}\" fits it, but the agent did not see that: it may not look at the "
    "programs of other users, and the library in this process is too old to say which one it is. Restart the process, "
    "or "
    "write {match} there instead.";

/* {match} {exe} {name} {pid} {app} {unit} {dir} {library} {above} {without} {port} {limit} {calls} {filtered} stand for
 * what was found. */
static const struct {
    const char *text;    /* NULL: there is nothing to do */
    const char *of_unit; /* instead, where a systemd unit runs it */
} remedies[COVERAGE_CAUSES] = {
    [COVERAGE_UNKNOWN] =
        {"Run `weir doctor` as root (with CAP_SYS_PTRACE), or as the user it runs as: others cannot inspect it.", NULL},
    [COVERAGE_GO] = {"A Go program does not call libc, so a preload sees nothing of its traffic, even where it is "
                     "linked dynamically. " KERNEL,
                     NULL},
    [COVERAGE_STATIC] = {"No library can be loaded into it: use a build that is linked dynamically. " KERNEL, NULL},
    [COVERAGE_LIBC] = {"libweir.so is made for glibc: use a glibc build of {name} (Debian instead of Alpine). " KERNEL,
                       NULL},
    [COVERAGE_FOREIGN] =
        {"A library has to be of the program's own word size and processor: use a build of {name} that "
         "fits libweir.so. " KERNEL,
         NULL},
    [COVERAGE_SETUID] = {"For such programs the loader ignores LD_PRELOAD. Remove the bit or the capabilities from "
                         "the file, and start it as the user that it needs: systemd's User= and AmbientCapabilities= "
                         "do not have this effect. " KERNEL,
                         NULL},
    [COVERAGE_SECURE] = {"The kernel has marked it as more privileged than its parent (AT_SECURE: a change of user "
                         "or security label at its start), so the loader ignores LD_PRELOAD. Start it as the user that "
                         "it needs. " KERNEL,
                         NULL},
    [COVERAGE_LIBRARY] = {"Its LD_PRELOAD names {library}, which is not there for it, or not readable: `make install` "
                          "puts the library where all programs look; into a container or a chroot, mount it.",
                          "Its LD_PRELOAD names {library}, which is not there for it, or not readable: see "
                          "RootDirectory=, ProtectHome=, PrivateTmp= and InaccessiblePaths= of {unit}, or add "
                          "BindReadOnlyPaths={library} to it."},
    [COVERAGE_SCRUBBED] =
        {"{above}Something in between has cleared the environment: env -i, sudo, su -, a supervisor. Put "
         "`weir run … --` directly before {name}, after what clears it, or have that keep LD_PRELOAD, "
         "WEIR_APP and WEIR_RUN_DIR.",
         "{above}Something has cleared the environment: see UnsetEnvironment= and the scripts of "
         "{unit} for env -i, sudo, su - and the like, and have them keep LD_PRELOAD, WEIR_APP and "
         "WEIR_RUN_DIR."},
    [COVERAGE_BEFORE] = {"The shim is loaded when a program starts: start it again, with `weir run … -- {name} …`.",
                         "The shim is loaded when a program starts: `weir enable {unit}` if that is not done, then "
                         "`systemctl restart {unit}`."},
    [COVERAGE_UNSET] = {"Start it with `weir run -r RULES -- {name} …`, or with LD_PRELOAD=libweir.so where an agent "
                        "runs.",
                        "`weir enable {unit} && systemctl restart {unit}`"},
    [COVERAGE_DISABLED] = {"Remove WEIR_DISABLE=1 from its environment, and restart it.",
                           "Remove WEIR_DISABLE=1 from the environment that {unit} sets, and `systemctl restart "
                           "{unit}`."},
    [COVERAGE_NAMESPACE] =
        {"It does not see {dir}, where the agent's socket is: mount that directory into its container "
         "or chroot (docker run -v {dir}:{dir}). No restart is needed then.",
         "It does not see {dir}, where the agent's socket is: add BindPaths={dir} to {unit}, and "
         "`systemctl restart {unit}`."},
    [COVERAGE_NO_AGENT] = {"It looks for the agent in {dir}. Start one there (`systemctl start weir-agent` is for "
                           "/run/weir): the process connects with its next traffic, without a restart.",
                           NULL},
    [COVERAGE_VERSION] = {"One of the two has been upgraded without the other: restart the process, and the agent, so "
                          "that both are of the version installed.",
                          "One of the two has been upgraded without the other: `systemctl restart weir-agent {unit}`"},
    [COVERAGE_REFUSED] = {"The rules files of app \"{app}\" say which processes may belong to it. Add \"match\": "
                          "{\"uid\": {uid}} to one of "
                          "them, or correct what its match says.",
                          "The rules files of app \"{app}\" say which processes may belong to it. Add \"match\": "
                          "{\"unit\": \"{unit}\"} to "
                          "one of them, or correct what its match says."},
    [COVERAGE_NO_APP] =
        {"No rules file has \"app\": \"{app}\", nor a \"match\" that fits it. Write one into "
         "/etc/weir/rules.d, such as {\"app\": \"{app}\", \"match\": {\"exe\": \"{exe}\"}, \"flow\": […]}. "
         "No restart is needed.",
         NULL},
    [COVERAGE_FILTERED] =
        {"The library is loaded and an agent is in {dir}, but it cannot connect to it: its seccomp filter "
         "has to let unix sockets "
         "through, and the calls that weir-enable(1) lists.",
         "The library is loaded and an agent is in {dir}, but it cannot connect to it: "
         "RestrictAddressFamilies= of {unit} needs AF_UNIX, and SystemCallFilter= {calls}. `weir "
         "enable {unit}` adds what it may; then `systemctl restart {unit}`."},
    [COVERAGE_ADDRESS_SPACE] =
        {"The rules take address space of their own, about 10 MB, and the shim leaves three quarters of the "
         "limit to the program. Its limit is {limit} MB: raise it (`ulimit -v`, prlimit --as), or have the "
         "program set a higher one.",
         "The rules take address space of their own, about 10 MB, and the shim leaves three quarters of the "
         "limit to the program. Its limit is {limit} MB: raise LimitAS= of {unit}, or have the program set a "
         "higher one."},
    [COVERAGE_UNATTACHED] =
        {"The library is loaded and an agent is in {dir}, but it has not connected yet: that happens "
         "with its next traffic. If it does not, restart it{filtered}; WEIR_LOG=debug in its environment says more.",
         NULL},
    [COVERAGE_OFF] = {"`weir on {app}` puts its rules in force again.", NULL},
    [COVERAGE_NO_RULES] = {"Add rules to a file of app \"{app}\": an edit is in force at once. `weir status` shows the "
                           "files and their errors.",
                           NULL},
    [COVERAGE_IO_URING] =
        {"What it does through io_uring bypasses libc, and the shim has seen none of its connections. "
         "Most programs can do without: switch io_uring off in its configuration (in node "
         "UV_USE_IO_URING=0), or for the host with sysctl kernel.io_uring_disabled=2. " KERNEL,
         NULL},
    [COVERAGE_RAW] =
        {"The kernel counts connections on its port that the shim has not seen: the program makes its system "
         "calls itself, or passes its sockets to one that does. " KERNEL,
         NULL},
    [COVERAGE_UNREAD] =
        {"It accepts connections through libc, but reads none of them by a call that the library sees: it makes "
         "system calls itself, uses io_uring, or reads through a stdio stream. Rules about connections are "
         "enforced, rules about requests are not. " KERNEL,
         NULL},
    [COVERAGE_PARTLY] =
        {"The kernel counts more connections on its port than the shim has seen: another process without the shim "
         "shares "
         "the port or its listening socket (a worker that was started before, SO_REUSEPORT), or a part of the program "
         "goes past libc. `weir ports` shows the counts.",
         NULL},
};

struct marker {
    const char *name, *value;
};

static const char *find(const struct marker *markers, const char *name, size_t length) {
    for (; markers->name; markers++)
        if (strlen(markers->name) == length && strncmp(markers->name, name, length) == 0)
            return markers->value;
    return NULL;
}

/* Braces around anything else are text. */
static char *expand(const char *text, const struct marker *markers) {
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);
    while (out && *text) {
        size_t length = *text == '{' ? strcspn(text + 1, "}{") : 0;
        const char *value = length && text[length + 1] == '}' ? find(markers, text + 1, length) : NULL;
        fputs(value ? value : (char[]){*text, 0}, out);
        text += value ? length + 2 : 1;
    }
    if (out && fclose(out) != 0) {
        free(result);
        result = NULL;
    }
    return result;
}

static bool is_service(const char *unit) {
    size_t length = strlen(unit);
    return length > 8 && strcmp(unit + length - 8, ".service") == 0 && strncmp(unit, "user@", 5) != 0;
}

char *doctor_remedy(const struct doctor_finding *finding) {
    const struct process_facts *facts = &finding->facts;
    bool of_unit = remedies[finding->cause].of_unit && is_service(facts->unit);
    bool fits = finding->cause == COVERAGE_NO_APP && finding->view.named_since;
    const char *text = fits ? unrecognised : of_unit ? remedies[finding->cause].of_unit : remedies[finding->cause].text;
    const char *without = facts->loaded
                              ? " (Only for programs without the shim: take libweir.so out of its LD_PRELOAD.)"
                              : "";
    char pid[16], uid[16], port[16], limit[24], above[160] = "", match[PROC_TEXT_MAX + 16];
    char calls[CALL_NAMES_MAX] = "the calls that weir-enable(1) lists";
    if (!text)
        return NULL;
    bool service = is_service(facts->unit);
    snprintf(match, sizeof match, service ? "{\"unit\": \"%s\"}" : "{\"comm\": \"%s\"}",
             service ? facts->unit : facts->comm);
    if (finding->denied)
        call_set_names(finding->denied, calls);
    snprintf(pid, sizeof pid, "%d", (int)facts->pid);
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)(facts->space_limit >> 20));
    snprintf(uid, sizeof uid, "%u", (unsigned)facts->uid);
    snprintf(port, sizeof port, finding->ports_count ? "%u" : "PORT", finding->ports_count ? finding->ports[0] : 0);
    if (facts->preloaded_by)
        snprintf(above, sizeof above, "%s (process %d), its ancestor, is set up for the shim. ",
                 facts->preloaded_by_comm, (int)facts->preloaded_by);
    const struct marker markers[] = {
        {"match", match},
        {"exe", facts->exe[0] ? facts->exe : "/path/of/the/program"},
        {"name", facts->comm},
        {"pid", pid},
        {"uid", uid},
        {"app", finding->app[0] ? finding->app : facts->comm},
        {"unit", facts->unit},
        {"dir", facts->run_dir[0] ? facts->run_dir : RUN_DIR_SERVICE},
        {"library", facts->preload},
        {"above", above},
        {"limit", limit},
        {"without", without},
        {"port", port},
        {"calls", calls},
        {"filtered", facts->filtered ? " (the library asks for no agent under a seccomp filter that the program put on "
                                       "itself before it met one)"
                                     : ""},
        {NULL, NULL},
    };
    return expand(text, markers);
}
