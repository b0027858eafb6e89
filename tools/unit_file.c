#include "tools/unit_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/program.h"
#include "tools/run_dir.h"

enum { DROP_INS_MAX = 128, LINKS_MAX = 8 };

/* As systemd.unit(5) lists them, the strongest first. */
static const char *const folders[] = {
    "/etc/systemd/system",     "/run/systemd/system", "/run/systemd/generator",      "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
};
enum { FOLDERS = sizeof folders / sizeof *folders };

/* --------------------------------------------------------------------------------------------------- names */

const char *unit_name(const char *typed, char ret_name[static UNIT_NAME_MAX]) {
    static const char *const others[] = {".socket", ".timer", ".mount", ".automount", ".path",
                                         ".target", ".slice", ".scope", ".device",    ".swap"};
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-";
    size_t length = strlen(typed);
    if (length == 0)
        return "a unit's name is needed";
    if (strchr(typed, '/'))
        return "a unit's name, not a path, is needed";
    if (strspn(typed, allowed) != length)
        return "a unit's name is made of A-Z a-z 0-9 : _ . \\ @ -";
    if (typed[0] == '.' || typed[0] == '@' || typed[0] == '-')
        return "a unit's name starts with a letter or a digit";
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t ending = strlen(others[i]);
        if (length > ending && strcmp(typed + length - ending, others[i]) == 0)
            return "only a service runs a program that can be protected";
    }
    bool full = length > 8 && strcmp(typed + length - 8, ".service") == 0;
    if ((size_t)snprintf(ret_name, UNIT_NAME_MAX, "%s%s", typed, full ? "" : ".service") >= UNIT_NAME_MAX) {
        return "a unit's name has at most 255 characters";
    }
    return NULL;
}

/* "web@1.service" -> "web@.service"; false if it is no instance of a template. */
static bool template_of(const char *name, char ret_template[static UNIT_NAME_MAX]) {
    const char *at = strchr(name, '@');
    if (!at || at[1] == '.')
        return false;
    snprintf(ret_template, UNIT_NAME_MAX, "%.*s@.service", (int)(at - name), name);
    return true;
}

/* -------------------------------------------------------------------------------------------------- values */

bool unit_word(const char **at, char *ret_word, size_t size) {
    const char *from = *at + strspn(*at, " \t\n");
    size_t length = 0;
    char quote = '\0';
    if (*from == '\0')
        return false;
    for (; *from && (quote || !strchr(" \t\n", *from)); from++) {
        char c = *from;
        if (c == quote && quote) {
            quote = '\0';
            continue;
        }
        if (!quote && (c == '"' || c == '\'')) {
            quote = c;
            continue;
        }
        if (c == '\\' && from[1])
            c = *++from;
        if (c == '%' && from[1] == '%')
            from++;
        if (length + 1 < size)
            ret_word[length++] = c;
    }
    ret_word[length] = '\0';
    *at = from;
    return true;
}

static bool value_true(const char *value) {
    return !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "1") || !strcmp(value, "on");
}

static void take_environment(struct unit_facts *facts, const char *value) {
    char word[PATH_MAX];
    if (*value == '\0')
        free(facts->preload), facts->preload = NULL;
    while (unit_word(&value, word, sizeof word)) {
        if (strncmp(word, "LD_PRELOAD=", 11) != 0)
            continue;
        free(facts->preload);
        facts->preload = word[11] ? strdup(word + 11) : NULL;
    }
}

/* NULL and errno: not there, or no regular file (a pipe would be waited for). */
static FILE *open_text(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    FILE *file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? fdopen(fd, "r") : NULL;
    if (!file) {
        close(fd);
        errno = EINVAL;
    }
    return file;
}

static void take_environment_file(struct unit_facts *facts, const char *value) {
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s%s", facts->root, value + (*value == '-'));
    FILE *file = open_text(path);
    while (file && getline(&line, &size, file) > 0) {
        if (strncmp(line + strspn(line, " \t"), "LD_PRELOAD=", 11) == 0)
            facts->preload_overridden = true;
    }
    free(line);
    if (file)
        fclose(file);
}

static void take_unset(struct unit_facts *facts, const char *value) {
    char word[256];
    while (unit_word(&value, word, sizeof word)) {
        if (strncmp(word, "LD_PRELOAD", 10) == 0 && (word[10] == '\0' || word[10] == '='))
            facts->preload_overridden = true;
    }
}

static void take_root(struct unit_facts *facts, const char *value) {
    facts->other_root = *value != '\0' && strcmp(value, "/") != 0;
}

static void take_hidden(struct unit_facts *facts, const char *value) {
    char word[PATH_MAX];
    while (unit_word(&value, word, sizeof word)) {
        char *path = word + strspn(word, "-+");
        path[strcspn(path, ":")] = '\0';
        if (strcmp(path, "/run") == 0 || strcmp(path, "/run/") == 0 || strcmp(path, RUN_DIR_SERVICE) == 0)
            facts->run_hidden = true;
    }
}

static void take_home(struct unit_facts *facts, const char *value) {
    facts->home_hidden = value_true(value) || strcmp(value, "tmpfs") == 0;
}

static void take_tmp(struct unit_facts *facts, const char *value) {
    facts->tmp_hidden = value_true(value) || strcmp(value, "disconnected") == 0;
}

static void take_families(struct unit_facts *facts, const char *value) {
    char word[256];
    bool denied = *value == '~';
    if (*value == '\0')
        facts->families_listed = facts->families_unix = facts->families_denied = false;
    if (*value != '\0' && !denied && strcmp(value, "none") != 0)
        facts->families_listed = true;
    for (value += denied; unit_word(&value, word, sizeof word);) {
        if (strcmp(word, "AF_UNIX") != 0 && strcmp(word, "AF_LOCAL") != 0)
            continue;
        if (denied)
            facts->families_denied = true;
        if (!denied)
            facts->families_unix = true;
    }
}

static void take_filter(struct unit_facts *facts, const char *value) {
    for (int i = 0; i < UNIT_FILTERS; i++)
        call_filter_take(&facts->filters[i], value);
}

static void take_filter_answer(struct unit_facts *facts, const char *value) {
    for (int i = 0; i < UNIT_FILTERS; i++)
        call_filter_take_answer(&facts->filters[i], value);
}

static void take_start(struct unit_facts *facts, const char *value) {
    if (*value == '\0')
        facts->program[0] = '\0';
    value += strspn(value, "@-:+!|");
    if (*value && facts->program[0] == '\0')
        unit_word(&value, facts->program, sizeof facts->program);
}

static const struct {
    const char *key;
    void (*take)(struct unit_facts *, const char *value);
} keys[] = {
    {"Environment", take_environment},  {"EnvironmentFile", take_environment_file},
    {"UnsetEnvironment", take_unset},   {"RootDirectory", take_root},
    {"RootImage", take_root},           {"TemporaryFileSystem", take_hidden},
    {"InaccessiblePaths", take_hidden}, {"ProtectHome", take_home},
    {"PrivateTmp", take_tmp},           {"RestrictAddressFamilies", take_families},
    {"SystemCallFilter", take_filter},  {"SystemCallErrorNumber", take_filter_answer},
    {"ExecStart", take_start},
};

/* --------------------------------------------------------------------------------------------------- files */

static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static void take_line(struct unit_facts *facts, char *line) {
    char *equals = strchr(line, '=');
    if (!equals)
        return;
    *equals = '\0';
    char *key = trim(line), *value = trim(equals + 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key, keys[i].key) == 0)
            keys[i].take(facts, value);
    }
}

/* Lines that end with a backslash go on; comments, also between such lines, do not count. */
static int read_file(struct unit_facts *facts, const char *path) {
    char *line = NULL, *joined = NULL;
    size_t size = 0, length = 0;
    bool service = false;
    FILE *file = open_text(path);
    if (!file)
        return -errno;
    while (getline(&line, &size, file) > 0) {
        char *text = trim(line);
        if (*text == '#' || *text == ';')
            continue;
        size_t more = strlen(text);
        bool goes_on = more > 0 && text[more - 1] == '\\';
        if (goes_on)
            text[more - 1] = ' ';
        char *larger = realloc(joined, length + more + 1);
        if (!larger)
            break;
        joined = larger;
        memcpy(joined + length, text, more + 1);
        length = goes_on ? length + more : 0;
        if (goes_on)
            continue;
        if (*joined == '[')
            service = strcmp(joined, "[Service]") == 0;
        if (service)
            take_line(facts, joined);
    }
    free(joined);
    free(line);
    fclose(file);
    return 0;
}

/* The strongest file of that name.  Follows aliases, which are links to another unit's name. */
static int find_file(struct unit_facts *facts) {
    char link[PATH_MAX];
    struct stat status;
    for (int hops = 0; hops < LINKS_MAX; hops++) {
        int i = 0;
        for (; i < FOLDERS; i++) {
            snprintf(facts->path, sizeof facts->path, "%s%s/%s", facts->root, folders[i], facts->name);
            if (lstat(facts->path, &status) == 0)
                break;
        }
        if (i == FOLDERS)
            return -ENOENT;
        if (!S_ISLNK(status.st_mode))
            return status.st_size == 0 && S_ISREG(status.st_mode) ? -ERFKILL : 0;
        ssize_t length = readlink(facts->path, link, sizeof link - 1);
        if (length <= 0)
            return -errno;
        link[length] = '\0';
        if (strcmp(link, "/dev/null") == 0)
            return -ERFKILL;
        const char *slash = strrchr(link, '/'), *target = slash ? slash + 1 : link;
        if (strcmp(target, facts->name) == 0)
            return 0; /* a file that lives elsewhere */
        char template[UNIT_NAME_MAX];
        if (template_of(facts->name, template) && strcmp(template, target) == 0)
            return 0;
        if ((size_t)snprintf(facts->name, sizeof facts->name, "%s", target) >= sizeof facts->name)
            return -ENAMETOOLONG;
    }
    return -ELOOP;
}

struct drop_in {
    char file[256];
    char path[PATH_MAX];
};

static int compare_drop_ins(const void *a, const void *b) {
    return strcmp(((const struct drop_in *)a)->file, ((const struct drop_in *)b)->file);
}

static void list_drop_ins(const char *folder, struct drop_in *list, size_t *count) {
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (struct dirent *entry; *count < DROP_INS_MAX && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name), i = 0;
        if (length < 6 || strcmp(entry->d_name + length - 5, ".conf") != 0 || strcmp(entry->d_name, UNIT_DROP_IN) == 0)
            continue;
        while (i < *count && strcmp(list[i].file, entry->d_name) != 0)
            i++;
        if (i < *count)
            continue; /* a stronger folder has it */
        snprintf(list[i].file, sizeof list[i].file, "%s", entry->d_name);
        if (snprintf(list[i].path, sizeof list[i].path, "%s/%s", folder, entry->d_name) < PATH_MAX)
            ++*count;
    }
    closedir(directory);
}

/* At the place of our own drop-in among those that are read: what is in it, and what could be. */
static void take_ours(struct unit_facts *facts) {
    struct unit_facts ours = *facts;
    char path[PATH_MAX], template[UNIT_NAME_MAX];
    ours.preload = NULL;
    snprintf(path, sizeof path, "%s" UNIT_DROP_IN_FOLDER "/%s.d/" UNIT_DROP_IN, facts->root, facts->name);
    if (read_file(&ours, path) < 0 && template_of(facts->name, template)) {
        snprintf(path, sizeof path, "%s" UNIT_DROP_IN_FOLDER "/%s.d/" UNIT_DROP_IN, facts->root, template);
        read_file(&ours, path);
    }
    facts->filters[UNIT_NOW] = ours.filters[UNIT_NOW];
    call_filter_extend(&facts->filters[UNIT_EXTENDED]);
    unit_clear(&ours);
}

static void read_drop_ins(struct unit_facts *facts) {
    char folder[PATH_MAX], template[UNIT_NAME_MAX];
    const char *names[3] = {facts->name, "service", NULL};
    if (template_of(facts->name, template))
        names[1] = template, names[2] = "service";
    struct drop_in *list = calloc(DROP_INS_MAX, sizeof *list);
    size_t count = 0;
    for (int n = 0; list && n < 3 && names[n]; n++) {
        for (int i = 0; i < FOLDERS; i++) {
            snprintf(folder, sizeof folder, "%s%s/%s.d", facts->root, folders[i], names[n]);
            list_drop_ins(folder, list, &count);
        }
    }
    if (list)
        qsort(list, count, sizeof *list, compare_drop_ins);
    size_t next = 0;
    while (next < count && strcmp(list[next].file, UNIT_DROP_IN) < 0)
        read_file(facts, list[next++].path);
    take_ours(facts);
    while (next < count)
        read_file(facts, list[next++].path);
    free(list);
}

int unit_read(const char *root, const char *name, struct unit_facts *ret_facts) {
    *ret_facts = (struct unit_facts){.root = root};
    snprintf(ret_facts->name, sizeof ret_facts->name, "%s", name);
    int error = find_file(ret_facts);
    char template[UNIT_NAME_MAX], instance[UNIT_NAME_MAX];
    if (error == -ENOENT && template_of(name, template)) {
        snprintf(ret_facts->name, sizeof ret_facts->name, "%s", template);
        snprintf(instance, sizeof instance, "%s", name);
        error = find_file(ret_facts);
        memcpy(ret_facts->name, instance, sizeof instance);
    }
    if (error == 0)
        error = read_file(ret_facts, ret_facts->path);
    if (error == 0)
        read_drop_ins(ret_facts);
    return error;
}

void unit_clear(struct unit_facts *facts) {
    free(facts->preload);
    *facts = (struct unit_facts){0};
}

bool unit_calls_to_add(const struct unit_facts *facts, call_set *ret_calls) {
    const struct call_filter *without = &facts->filters[UNIT_WITHOUT];
    call_set missing = call_filter_missing(without);
    bool helps = (missing & without->denied) == 0 && call_filter_missing(&facts->filters[UNIT_EXTENDED]) == 0;
    *ret_calls = helps ? missing : 0;
    return helps;
}

/* -------------------------------------------------------------------------------------------------- drop-in */

/* An assignment as Environment= takes it: quoted, with systemd's own characters escaped. */
static void put_environment(FILE *stream, const char *name, const char *value) {
    fprintf(stream, "Environment=\"%s=", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', stream);
        if (*value == '%')
            fputc('%', stream);
        fputc(*value, stream);
    }
    fputs("\"\n", stream);
}

static void put_calls(FILE *stream, const struct unit_facts *facts) {
    char names[CALL_NAMES_MAX];
    call_set calls;
    if (!unit_calls_to_add(facts, &calls) || !calls)
        return;
    call_set_names(calls, names);
    fprintf(stream, "SystemCallFilter=%s\n", names);
}

char *unit_drop_in(const struct unit_facts *facts, const char *app, const char *library) {
    char *text = NULL, *preload = program_preload(library, facts->preload);
    size_t length;
    FILE *stream = preload ? open_memstream(&text, &length) : NULL;
    if (!stream) {
        free(preload);
        return NULL;
    }
    fprintf(stream,
            "# Written by `weir enable %s`; `weir disable %s` removes it.\n"
            "[Unit]\nWants=weir-agent.service\nAfter=weir-agent.service\n\n[Service]\n",
            facts->name, facts->name);
    put_environment(stream, "LD_PRELOAD", preload);
    put_environment(stream, "WEIR_APP", app);
    if (facts->other_root || facts->run_hidden)
        fputs("BindPaths=-" RUN_DIR_SERVICE "\n", stream);
    if (facts->other_root)
        fprintf(stream, "BindReadOnlyPaths=%s\n", library);
    if (facts->families_listed && !facts->families_unix)
        fputs("RestrictAddressFamilies=AF_UNIX\n", stream);
    put_calls(stream, facts);
    free(preload);
    return fclose(stream) == 0 ? text : (free(text), NULL);
}
