#include "agent/metrics/event_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/core/log.h"
#include "agent/core/loop.h"
#include "agent/core/write_all.h"
#include "agent/metrics/event_record.h"

enum { PERIOD_S = 300, LINES_A_SECOND = 50, ROWS = 256, FILES = 2 };
static const uint64_t REPEAT_NS = 60ull * 1000000000u;
static const char *const NAMES[FILES] = {EVENT_STORE_BEFORE, EVENT_STORE_FILE}; /* the older one first */

/* ---------------------------------------------------------------------------------------------------------- reading */

struct text {
    char *bytes;
    size_t length;
};

/* What cannot be read is empty. */
static struct text read_file(int directory, const char *name) {
    struct text text = {0};
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        status.st_size <= 16 * (off_t)EVENT_STORE_BYTES)
        text.bytes = malloc((size_t)status.st_size);
    for (ssize_t got; text.bytes && text.length < (size_t)status.st_size; text.length += (size_t)got) {
        got = read(fd, text.bytes + text.length, (size_t)status.st_size - text.length);
        if (got <= 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

struct found {
    struct event_line *list;
    size_t count, room;
    uint64_t last;
};

/* Each number once: a rotation between two looks, or a damaged log, shows lines again. */
static void keep(struct found *found, const struct event_line *line) {
    if (found->count && line->number <= found->list[found->count - 1].number)
        return;
    if (found->count == found->room) {
        size_t room = found->room * 2 + 256;
        struct event_line *list = realloc(found->list, room * sizeof *list);
        if (!list)
            return;
        found->list = list;
        found->room = room;
    }
    found->list[found->count++] = *line;
}

static void look(struct found *found, const struct text *text, const struct event_filter *filter) {
    struct event_line line;
    for (size_t at = 0; event_lines_next(text->bytes, text->length, &at, &line);) {
        found->last = line.number > found->last ? line.number : found->last;
        if (filter && event_lines_match(&line, filter))
            keep(found, &line);
    }
}

void event_store_read(const struct event_store *store, const struct event_filter *filter, uint64_t most,
                      struct json_writer *w) {
    struct text texts[FILES] = {{0}};
    struct found found = {0};
    /* The newer one first: a rotation in between shows lines twice, which their numbers tell, and loses none. */
    for (int i = FILES - 1; i >= 0 && store->directory >= 0; i--)
        texts[i] = read_file(store->directory, NAMES[i]);
    for (int i = 0; i < FILES; i++)
        look(&found, &texts[i], filter);
    size_t from = most && found.count > most ? found.count - (size_t)most : 0;
    json_open_list(w, "events");
    for (size_t i = from; i < found.count; i++)
        json_raw(w, NULL, found.list[i].at, found.list[i].length);
    json_close_list(w);
    json_count(w, "last", found.last);
    free(found.list);
    for (int i = 0; i < FILES; i++)
        free(texts[i].bytes);
}

/* ---------------------------------------------------------------------------------------------------------- writing */

static int open_file(struct event_store *store) {
    struct stat status;
    char last = '\n';
    store->fd = openat(store->directory, EVENT_STORE_FILE, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (store->fd < 0 || fstat(store->fd, &status) < 0)
        return -errno;
    store->size = (uint64_t)status.st_size;
    store->torn = store->size && pread(store->fd, &last, 1, (off_t)store->size - 1) == 1 && last != '\n';
    return 0;
}

static void close_file(struct event_store *store) {
    if (store->fd >= 0)
        close(store->fd);
    store->fd = -1;
}

static int rotate(struct event_store *store) {
    close_file(store);
    if (renameat(store->directory, EVENT_STORE_FILE, store->directory, EVENT_STORE_BEFORE) < 0)
        return -errno;
    return open_file(store);
}

/* Another program may have taken the file away: the next line begins a new one. */
static void look_again(struct event_store *store) {
    struct stat open_one, named;
    if (store->fd < 0 || fstat(store->fd, &open_one) < 0)
        return;
    if (fstatat(store->directory, EVENT_STORE_FILE, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        named.st_ino != open_one.st_ino || named.st_dev != open_one.st_dev)
        close_file(store);
    else
        store->size = (uint64_t)open_one.st_size;
}

static int append(struct event_store *store, const char *line, size_t length) {
    int error = store->fd < 0 ? open_file(store) : 0;
    if (!error && store->size && store->size + length + store->torn > store->size_max)
        error = rotate(store);
    if (!error && store->torn)
        error = write_all(store->fd, "\n", 1);
    if (!error) {
        store->torn = true; /* until all of it is there */
        error = write_all(store->fd, line, length);
    }
    if (error) {
        close_file(store); /* and looked at again next time */
        return error;
    }
    store->torn = false;
    store->size += length;
    return 0;
}

static void report_failure(struct event_store *store, int error) {
    struct bus_event event = {.kind = BUS_EVENTS_UNSAVED, .error = error};
    if (store->bus && log_is_due(&store->error_ns, loop_now_ns(), REPEAT_NS))
        bus_publish(store->bus, &event);
}

static void put(void *context, const struct bus_event *event) {
    static const char *const levels[] = {[LOG_LEVEL_ERROR] = "error",
                                         [LOG_LEVEL_WARNING] = "warning",
                                         [LOG_LEVEL_NOTICE] = "notice",
                                         [LOG_LEVEL_INFO] = "info",
                                         [LOG_LEVEL_DEBUG] = "debug"};
    struct event_store *store = context;
    struct event_record record;
    char line[EVENT_LINE_MAX];
    size_t length;
    struct timespec now;
    if (event->kind == BUS_EVENTS_UNSAVED || !event_record_make(event, &record) || !event_gate_passes(&store->gate))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    struct json_writer w = json_writer_in(line, sizeof line);
    json_open(&w, NULL);
    json_count(&w, "seq", ++store->last);
    long milliseconds = now.tv_nsec / 1000000;
    json_number(&w, "time", (double)now.tv_sec + (double)milliseconds / 1000);
    json_text(&w, "level", levels[record.level]);
    event_record_json(&record, &w);
    json_close(&w);
    json_newline(&w);
    if (!json_finish(&w, &length))
        return;
    int error = append(store, line, length);
    if (error)
        report_failure(store, error);
}

void event_store_open(struct event_store *store, int directory, const struct bus *bus, uint64_t size_max) {
    *store = (struct event_store){.directory = directory,
                                  .bus = bus,
                                  .size_max = size_max,
                                  .fd = -1,
                                  .blocked = {.period_s = PERIOD_S, .lines_max = LINES_A_SECOND, .rows_max = ROWS}};
    struct found found = {0};
    for (int i = 0; i < FILES && directory >= 0; i++) {
        struct text text = read_file(directory, NAMES[i]);
        look(&found, &text, NULL);
        free(text.bytes);
    }
    store->last = found.last;
}

void event_store_take(void *context, const struct bus_event *event) {
    struct event_store *store = context;
    if (store->directory < 0)
        return;
    if (event->kind == BUS_REJECTIONS)
        blocked_add(&store->blocked, event);
    else if (event->kind == BUS_SECOND) {
        look_again(store);
        event_gate_next(&store->gate, put, store);
        blocked_due(&store->blocked, event->second, false, put, store);
    } else {
        put(store, event);
    }
}

void event_store_close(struct event_store *store) {
    if (store->directory >= 0)
        blocked_due(&store->blocked, 0, true, put, store);
    blocked_close(&store->blocked);
    close_file(store);
    store->directory = -1;
}
