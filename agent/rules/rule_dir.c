#include "agent/rules/rule_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/core/errors.h"
#include "rules/hash.h"

/* The file may still be being written: a text with errors counts as final when it has not changed for SETTLE, a file as
 * deleted when it has not come back within GONE (editors that move the old file away first).  A good text counts at
 * once.  Time stamps may not distinguish two writes within RACY, so such a file is read once more.  LOOK: for what
 * inotify does not see (network file systems). */
#define MS 1000000u
static const uint64_t SETTLE_NS = 200 * MS, GONE_NS = 100 * MS, RACY_NS = 40 * MS, WRITING_NS = 15 * MS,
                      LOOK_NS = 2000ull * MS;
enum { SCANS_MAX = 4 }; /* looks in a row while new directories turn up */

/* ------------------------------------------------------------------------------------------------ the list of files */

static void file_free(struct rule_file *file) {
    rule_document_free(file->good);
    rule_errors_clear(&file->errors);
    rule_lists_free(&file->lists);
    free(file->claimed_app);
    free(file->path);
    free(file);
}

static struct rule_file *file_find(const struct rule_dir *dir, const char *path) {
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->files[i]->path, path) == 0)
            return dir->files[i];
    return NULL;
}

static struct rule_file *file_add(struct rule_dir *dir, const char *path) {
    struct rule_file *file = calloc(1, sizeof *file);
    struct rule_file **files = realloc(dir->files, (dir->count + 1) * sizeof *files);
    if (files)
        dir->files = files;
    if (file)
        file->path = strdup(path);
    if (!files || !file || !file->path) {
        free(file);
        return NULL; /* tried again with the next look */
    }
    dir->files[dir->count++] = file;
    return file;
}

static int by_order(const void *a, const void *b) {
    const struct rule_file *x = *(struct rule_file *const *)a, *y = *(struct rule_file *const *)b;
    return x->root != y->root ? (x->root < y->root ? -1 : 1) : strcmp(x->path, y->path);
}

/* ---------------------------------------------------------------------------------------------------------- finding */

static void note(struct rule_dir *dir, const char *path, size_t root, bool named) {
    struct rule_file *file = file_find(dir, path);
    if (!file)
        file = file_add(dir, path);
    if (!file || file->found)
        return;
    file->found = true;
    file->root = root;
    file->named = named;
    watch_file(&dir->watch, path);
    rule_lists_watch(&file->lists, &dir->watch);
}

static void note_directory(struct rule_dir *dir, const char *path, size_t root) {
    watch_directory(&dir->watch, path);
    DIR *stream = opendir(path);
    if (!stream) {
        note(dir, path, root, false); /* as a file that cannot be read: an error, not an empty directory */
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        char full[PATH_MAX];
        struct stat status;
        if (!watch_is_rules_name(entry->d_name) ||
            snprintf(full, sizeof full, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entry->d_name) >=
                (int)sizeof full)
            continue;
        if (stat(full, &status) == 0 && S_ISDIR(status.st_mode))
            continue;
        note(dir, full, root, false);
    }
    closedir(stream);
}

static void forget_missing(struct rule_dir *dir) {
    for (size_t i = 0; i < dir->missing_count; i++)
        free(dir->missing[i]);
    free(dir->missing);
    dir->missing = NULL;
    dir->missing_count = 0;
}

static void note_missing(struct rule_dir *dir, const char *path) {
    char **missing = realloc(dir->missing, (dir->missing_count + 1) * sizeof *missing);
    if (!missing)
        return;
    dir->missing = missing;
    if ((missing[dir->missing_count] = strdup(path)) != NULL)
        dir->missing_count++;
}

static void find(struct rule_dir *dir) {
    for (int round = 0; round < SCANS_MAX; round++) {
        watch_begin(&dir->watch);
        forget_missing(dir);
        for (size_t i = 0; i < dir->count; i++)
            dir->files[i]->found = false;
        for (size_t root = 0; root < dir->paths_count; root++) {
            const char *path = dir->paths[root];
            struct stat status;
            if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
                note_directory(dir, path, root);
            else if (lstat(path, &status) == 0 || errno == EACCES)
                note(dir, path, root, true);
            else {
                watch_file(&dir->watch, path);
                if (!file_find(dir, path)) /* else its own errors say so */
                    note_missing(dir, path);
            }
        }
        if (!watch_end(&dir->watch))
            break;
    }
    if (dir->count > 1)
        qsort(dir->files, dir->count, sizeof *dir->files, by_order);
}

/* ---------------------------------------------------------------------------------------------------------- reading */

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

char *rule_dir_claimed_app(const char *text, size_t length) {
    const char *p = text, *end = text + length;
    while ((p = memmem(p, (size_t)(end - p), "\"app\"", 5)) != NULL) {
        p += 5;
        while (p < end && blank(*p))
            p++;
        if (p == end || *p != ':')
            continue;
        for (p++; p < end && blank(*p);)
            p++;
        const char *close = p < end && *p == '"' ? memchr(p + 1, '"', (size_t)(end - p - 1)) : NULL;
        if (close)
            return strndup(p + 1, (size_t)(close - p - 1));
    }
    return NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool looks_unchanged(const struct rule_file *file, const struct stat *status) {
    return file->text_hash && file->seen.device == status->st_dev && file->seen.inode == status->st_ino &&
           file->seen.size == status->st_size && same_time(&file->seen.modified, &status->st_mtim) &&
           same_time(&file->seen.changed, &status->st_ctim);
}

/* Since when a file that is read for the first time has been unchanged, by its time stamp. */
static uint64_t unchanged_since(const struct stat *status, uint64_t now_ns) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t age_ns = (int64_t)(wall.tv_sec - status->st_mtim.tv_sec) * 1000000000 + wall.tv_nsec -
                     status->st_mtim.tv_nsec;
    return age_ns > 0 && (uint64_t)age_ns < now_ns ? now_ns - (uint64_t)age_ns : now_ns;
}

/* The whole text, malloc'ed, of a regular file of bearable size; else NULL (rule_text_load then says what is wrong). */
static char *slurp(int fd, const struct stat *status, size_t *ret_length) {
    if (!S_ISREG(status->st_mode) || status->st_size > RULE_FILE_MAX)
        return NULL;
    size_t room = (size_t)RULE_FILE_MAX + 1 < (size_t)status->st_size * 2 + 4096 ? (size_t)RULE_FILE_MAX + 1
                                                                                 : (size_t)status->st_size * 2 + 4096;
    char *text = malloc(room);
    size_t have = 0;
    ssize_t got = 0;
    while (text && have < room && (got = read(fd, text + have, room - have)) > 0)
        have += (size_t)got;
    if (!text || got < 0 || have == room) { /* it grew while it was read: the next look will find it */
        free(text);
        return NULL;
    }
    *ret_length = have;
    return text;
}

static struct rule_document *parse(const char *path, const char *text, size_t length, struct rule_errors *errors) {
    return text ? rule_text_parse(path, text, length, NULL, errors) : rule_text_load(path, NULL, errors);
}

static void take_good(struct rule_dir *dir, struct rule_file *file, struct rule_document *document) {
    rule_document_free(file->good);
    rule_errors_clear(&file->errors);
    free(file->claimed_app);
    file->claimed_app = NULL;
    file->good = document;
    file->serial = ++dir->serial;
    file->loaded = time(NULL);
    file->settled = true;
}

/* Parses a text that is new, or that was not final last time.  True: something is to be reported. */
static bool judge(struct rule_dir *dir, struct rule_file *file, const char *text, size_t length, uint64_t now_ns) {
    struct rule_errors errors = {0};
    struct rule_document *document = parse(file->path, text, length, &errors);
    if (document) {
        rule_errors_clear(&errors);
        take_good(dir, file, document);
        return true;
    }
    file->settled = !dir->patient || now_ns - file->text_since_ns >= SETTLE_NS;
    if (!file->settled) {
        rule_errors_clear(&errors);
        loop_timer_by(&dir->timer, file->text_since_ns + SETTLE_NS);
        return false;
    }
    rule_errors_clear(&file->errors);
    file->errors = errors;
    free(file->claimed_app);
    file->claimed_app = text ? rule_dir_claimed_app(text, length) : NULL;
    return true;
}

static bool lists_changed(struct rule_dir *dir, struct rule_file *file, uint64_t now_ns) {
    uint64_t again_ns;
    bool changed = rule_lists_changed(&file->lists, now_ns, dir->patient ? SETTLE_NS : 0, &again_ns);
    if (again_ns)
        loop_timer_by(&dir->timer, again_ns);
    return changed;
}

static bool look_at(struct rule_dir *dir, struct rule_file *file, bool force) {
    struct stat status = {0};
    size_t length = 0;
    uint64_t now_ns = loop_now_ns();
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int failure = fd < 0 ? errno : fstat(fd, &status) < 0 ? errno : 0;
    force |= lists_changed(dir, file, now_ns);
    if (!failure && !force && file->settled && file->confirmed && looks_unchanged(file, &status)) {
        close(fd);
        return false;
    }
    char *text = failure ? NULL : slurp(fd, &status, &length);
    if (fd >= 0)
        close(fd);
    /* What cannot be read counts as a text of its own kind. */
    uint64_t hash = text ? hash_bytes(1, text, length)
                         : hash_bytes(2 + (uint64_t)failure, &status.st_size, sizeof status.st_size);
    bool first = file->text_hash == 0, same = hash == file->text_hash;
    if (!same) {
        file->text_since_ns = first && !failure ? unchanged_since(&status, now_ns) : now_ns;
        loop_timer_by(&dir->timer, now_ns + RACY_NS + MS);
    }
    file->text_hash = hash;
    file->confirmed = same && now_ns - file->read_ns >= RACY_NS;
    file->read_ns = same ? file->read_ns : now_ns;
    file->seen.device = status.st_dev;
    file->seen.inode = status.st_ino;
    file->seen.size = status.st_size;
    file->seen.modified = status.st_mtim;
    file->seen.changed = status.st_ctim;
    file->seen.owner = status.st_uid;
    if (text && (!same || force))
        rule_lists_find(&file->lists, file->path, text, length);
    bool news = (!same || force || !file->settled) && judge(dir, file, text, length, now_ns);
    free(text);
    return news;
}

/* A file under a new name: the old one need not be waited for. */
static bool moved(const struct rule_dir *dir, const struct rule_file *gone) {
    for (size_t i = 0; i < dir->count; i++)
        if (dir->files[i]->found && dir->files[i]->text_hash == gone->text_hash)
            return true;
    return false;
}

/* Can the given path that it was found under be looked into?  If not, nothing is known of what is in it. */
static bool may_look(const struct rule_dir *dir, const struct rule_file *file) {
    DIR *stream = file->named ? NULL : opendir(dir->paths[file->root]);
    if (stream)
        closedir(stream);
    return stream != NULL;
}

static void note_gone(const struct rule_dir *dir, struct rule_file *file) {
    rule_errors_clear(&file->errors);
    if (file->named)
        errors_add(&file->errors, file->path, "%s", strerror(ENOENT));
    else
        errors_add(&file->errors, file->path, "%s is missing or cannot be read", dir->paths[file->root]);
    file->text_hash = 1; /* whatever comes back is read again */
    file->gone = file->settled = true;
}

static bool drop_missing(struct rule_dir *dir) {
    uint64_t now_ns = loop_now_ns();
    bool dropped = false;
    for (size_t i = 0; i < dir->count;) {
        struct rule_file *file = dir->files[i];
        if (file->found || (file->gone && !may_look(dir, file))) {
            file->gone &= !file->found;
            file->missing_ns = 0;
            i++;
            continue;
        }
        if (!file->missing_ns)
            file->missing_ns = now_ns;
        if (dir->patient && now_ns - file->missing_ns < GONE_NS && !moved(dir, file)) {
            loop_timer_by(&dir->timer, file->missing_ns + GONE_NS);
            i++;
            continue;
        }
        dropped = true;
        if (file->good && !may_look(dir, file)) {
            note_gone(dir, file);
            i++;
            continue;
        }
        file_free(file);
        memmove(&dir->files[i], &dir->files[i + 1], (--dir->count - i) * sizeof *dir->files);
    }
    return dropped;
}

static bool scan(struct rule_dir *dir, bool force) {
    bool news = false;
    find(dir);
    for (size_t i = 0; i < dir->count; i++)
        if (dir->files[i]->found)
            news |= look_at(dir, dir->files[i], force);
    news |= drop_missing(dir);
    loop_timer_by(&dir->timer, loop_now_ns() + LOOK_NS);
    return news;
}

static void scan_and_report(struct rule_dir *dir, bool force) {
    if (scan(dir, force))
        dir->changed(dir);
}

static void timer_fired(struct loop_timer *timer) {
    scan_and_report(LOOP_OWNER(timer, struct rule_dir, timer), false);
}

static void watch_fired(struct watch *watch, bool complete) {
    struct rule_dir *dir = LOOP_OWNER(watch, struct rule_dir, watch);
    if (complete)
        scan_and_report(dir, false);
    else
        loop_timer_by(&dir->timer, loop_now_ns() + WRITING_NS);
}

int rule_dir_open(struct rule_dir *dir, struct loop *loop, const char *const *paths, size_t count,
                  void (*changed)(struct rule_dir *)) {
    *dir = (struct rule_dir){.paths = paths, .paths_count = count, .changed = changed};
    int error = watch_open(&dir->watch, loop, watch_fired);
    if (error)
        return error;
    loop_timer_add(loop, &dir->timer, timer_fired);
    scan(dir, true);
    dir->patient = true;
    return 0;
}

const char *rule_dir_app(const struct rule_dir *dir, const struct rule_file *file) {
    const char *named = file->good ? rule_document_app(file->good) : file->claimed_app;
    return named && named[0] ? named : dir->default_app;
}

void rule_dir_reload(struct rule_dir *dir) {
    dir->patient = false;
    scan(dir, true);
    dir->patient = true;
    dir->changed(dir);
}

void rule_dir_close(struct rule_dir *dir, struct loop *loop) {
    watch_close(&dir->watch, loop);
    forget_missing(dir);
    for (size_t i = 0; i < dir->count; i++)
        file_free(dir->files[i]);
    free(dir->files);
    dir->files = NULL;
    dir->count = 0;
}
