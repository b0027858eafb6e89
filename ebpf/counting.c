#include "counting.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebpf/count.skel.h"
#include "ebpf/iterator.h"
#include "ebpf/open.skel.h"

static const char FEATURE[] = "count";

struct counting {
    struct count_bpf *count; /* NULL: another agent's */
    struct open_bpf *open;   /* or NULL */
    struct bpf_link *pass;   /* or NULL */
    int rows, link;
    time_t since; /* Unix time */
};

struct open_row {
    struct count_key key;
    struct count_open open;
};

struct reading { /* room for the whole of both maps, one after the other */
    struct count_key keys[COUNT_ROWS_MAX];
    struct count_row counts[COUNT_ROWS_MAX];
    struct open_row open[COUNT_ROWS_MAX];
};
_Static_assert(sizeof(struct count_open) <= sizeof(struct count_row), "they are read into the same room");

/* ------------------------------------------------------------------------------------------- beginnings and ends */

/* The rows that all others share when there is no room have their place from the beginning. */
static int reserve_shared_rows(int rows) {
    static const struct count_row none;
    for (unsigned i = 0; i < 4; i++) {
        struct count_key key = {.direction = i & 1 ? COUNT_IN : COUNT_OUT, .family = i & 2 ? 4 : 6};
        if (bpf_map_update_elem(rows, &key, &none, BPF_NOEXIST) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int pin_maps(const struct ebpf *ebpf, const struct count_bpf *programs) {
    int error = pins_folder(&ebpf->pins, FEATURE, COUNT_VERSION);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, COUNT_VERSION, programs->maps.rows);
    if (!error)
        error = pins_map(&ebpf->pins, FEATURE, COUNT_VERSION, programs->maps.seen_of);
    return error;
}

/* 0, or -errno with what could not be done. */
static int start(struct counting *counting, const struct ebpf *ebpf, const char **ret_doing) {
    *ret_doing = "open the program";
    counting->count = count_bpf__open();
    if (!counting->count)
        return -errno;
    *ret_doing = "pin the counters";
    int error = pin_maps(ebpf, counting->count);
    if (error)
        return error;
    *ret_doing = "load the program";
    error = count_bpf__load(counting->count);
    if (error)
        return error;
    counting->rows = dup(bpf_map__fd(counting->count->maps.rows));
    error = counting->rows < 0 ? -errno : reserve_shared_rows(counting->rows);
    if (error)
        return error;
    *ret_doing = "attach to the cgroup";
    counting->link = pins_attach(&ebpf->pins, FEATURE, COUNT_VERSION, "count", counting->count->progs.count,
                                 ebpf->cgroup_fd);
    if (counting->link < 0)
        return counting->link;
    (void)pins_remove(&ebpf->pins, FEATURE, COUNT_VERSION); /* an older version that stays counts for itself */
    return 0;
}

static int read_only(struct counting *counting, const struct ebpf *ebpf, const char **ret_doing) {
    *ret_doing = "read the other agent's counters";
    counting->rows = pins_read_map(&ebpf->pins, FEATURE, COUNT_VERSION, "rows");
    return counting->rows < 0 ? counting->rows : 0;
}

/* ------------------------------------------------------------------------------------------------ what is open now */

static int load_pass(struct counting *counting, const char **ret_doing) {
    *ret_doing = "open the program";
    counting->open = open_bpf__open();
    if (!counting->open)
        return -errno;
    *ret_doing = "share the counters";
    int error = bpf_map__reuse_fd(counting->open->maps.rows, counting->rows);
    if (!error)
        error = bpf_map__reuse_fd(counting->open->maps.seen_of, bpf_map__fd(counting->count->maps.seen_of));
    if (error)
        return error;
    *ret_doing = "load the program";
    error = open_bpf__load(counting->open);
    if (error)
        return error;
    *ret_doing = "attach the iterator";
    counting->pass = bpf_program__attach_iter(counting->open->progs.open_pass, NULL);
    return counting->pass ? 0 : -errno;
}

static void open_pass(struct counting *counting, struct ebpf_feature *feature) {
    const char *doing;
    int error = load_pass(counting, &doing);
    if (!error) {
        ebpf_feature_on(feature, "");
        return;
    }
    ebpf_feature_off(feature, doing, error);
    bpf_link__destroy(counting->pass);
    open_bpf__destroy(counting->open);
    counting->pass = NULL;
    counting->open = NULL;
}

struct counting *counting_open(struct ebpf *ebpf) {
    struct ebpf_feature *count = &ebpf->feature[EBPF_COUNT], *open = &ebpf->feature[EBPF_OPEN];
    struct counting *counting = calloc(1, sizeof *counting);
    const char *doing = "get memory";
    bool reader = ebpf_reads_only(ebpf);
    int error = -ENOMEM;
    if (counting) {
        *counting = (struct counting){.rows = -1, .link = -1};
        error = reader ? read_only(counting, ebpf, &doing) : start(counting, ebpf, &doing);
    }
    if (error) {
        ebpf_feature_off(count, doing, error);
        ebpf_feature_left_out(open, "connections are not counted");
        counting_close(counting);
        return NULL;
    }
    time_t pinned = pins_since(&ebpf->pins, FEATURE, COUNT_VERSION, "rows");
    counting->since = pinned ? pinned : time(NULL);
    if (reader) {
        ebpf_feature_on(count, "another agent counts; its counters are read here");
        ebpf_feature_left_out(open, "the agent that counts does this");
        return counting;
    }
    ebpf_feature_on(count, ebpf->unpinned);
    open_pass(counting, open);
    return counting;
}

void counting_close(struct counting *counting) {
    if (!counting)
        return;
    bpf_link__destroy(counting->pass);
    open_bpf__destroy(counting->open);
    if (counting->link >= 0)
        close(counting->link);
    if (counting->rows >= 0)
        close(counting->rows);
    count_bpf__destroy(counting->count);
    free(counting);
}

/* --------------------------------------------------------------------------------------------------------- reading */

int counting_pass(struct counting *counting, struct count_listener **ret_listeners, size_t *ret_count) {
    char *bytes = NULL;
    size_t size = 0;
    if (!counting->pass)
        return -EOPNOTSUPP;
    counting->open->bss->pass++;
    int error = iterator_read(bpf_link__fd(counting->pass), &bytes, &size);
    if (error)
        return error;
    *ret_listeners = (struct count_listener *)(void *)bytes;
    *ret_count = size / sizeof **ret_listeners;
    return 0;
}

/* A system call for a whole map, not three for each row of it: the agent does nothing else meanwhile. */
static int read_map(int map, void *keys, void *values, uint32_t *ret_count) {
    uint32_t next;
    *ret_count = COUNT_ROWS_MAX;
    int error = bpf_map_lookup_batch(map, NULL, &next, keys, values, ret_count, NULL);
    return error == -ENOENT ? 0 : error; /* -ENOENT: that was all */
}

static int by_key(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct count_key));
}

/* What the last pass has found, in order of the keys, into `open`; the number of them. */
static size_t read_open(const struct counting *counting, struct open_row *open, void *keys, void *values) {
    const struct count_key *key = keys;
    const struct count_open *value = values;
    uint32_t all = 0;
    size_t count = 0;
    if (!counting->open || read_map(bpf_map__fd(counting->open->maps.open_now), keys, values, &all) < 0)
        return 0;
    for (uint32_t i = 0; i < all; i++)
        if (value[i].pass == counting->open->bss->pass)
            open[count++] = (struct open_row){key[i], value[i]};
    qsort(open, count, sizeof *open, by_key);
    return count;
}

static int read_rows(const struct counting *counting, struct reading *reading, struct counting_row *rows,
                     size_t *ret_count) {
    static const struct count_row none;
    size_t opens = read_open(counting, reading->open, reading->keys, reading->counts), count = 0;
    uint32_t all = 0;
    int error = read_map(counting->rows, reading->keys, reading->counts, &all);
    for (uint32_t i = 0; !error && i < all; i++) {
        struct counting_row *row = &rows[count];
        const struct open_row *open = bsearch(&reading->keys[i], reading->open, opens, sizeof *open, by_key);
        *row = (struct counting_row){.key = reading->keys[i], .counts = reading->counts[i]};
        if (open)
            row->open = open->open;
        count += memcmp(&row->counts, &none, sizeof none) != 0 || row->open.connections > 0;
    }
    *ret_count = count;
    return error;
}

int counting_read(const struct counting *counting, struct counting_row **ret_rows, size_t *ret_count) {
    struct counting_row *rows = malloc(COUNT_ROWS_MAX * sizeof *rows);
    struct reading *reading = malloc(sizeof *reading);
    int error = rows && reading ? read_rows(counting, reading, rows, ret_count) : -ENOMEM;
    free(reading);
    if (error)
        free(rows);
    else
        *ret_rows = rows;
    return error;
}

time_t counting_since(const struct counting *counting) {
    return counting->since;
}

static void add_row(struct count_row *sum, const struct count_row *row) {
    uint64_t *into = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)row;
    for (size_t i = 0; i < sizeof *sum / sizeof *into; i++)
        into[i] += from[i];
}

/* No other CPU writes the shared row unless the table is full, and it is here that it does not get so. */
static bool move_to_shared(const struct counting *counting, const struct count_key *key) {
    struct count_key shared = {.direction = key->direction, .family = key->family};
    struct count_row row, sum;
    if (bpf_map_lookup_elem(counting->rows, &shared, &sum) < 0 || bpf_map_lookup_elem(counting->rows, key, &row) < 0 ||
        bpf_map_delete_elem(counting->rows, key) < 0)
        return false;
    add_row(&sum, &row);
    return bpf_map_update_elem(counting->rows, &shared, &sum, BPF_EXIST) == 0;
}

size_t counting_trim(struct counting *counting, const struct counting_row *rows, size_t count,
                     bool (*is_dead)(void *context, const struct count_key *), void *context) {
    size_t moved = 0;
    if (!counting->count || count <= COUNT_ROWS_MAX / 4 * 3)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct count_row *c = &rows[i].counts;
        bool open = c->opened != c->closed || rows[i].open.connections;
        if (!open && rows[i].key.port != 0 && is_dead(context, &rows[i].key))
            moved += move_to_shared(counting, &rows[i].key);
    }
    return moved;
}

uint64_t counting_opened(const struct counting *counting, uint32_t netns, uint16_t port) {
    uint64_t opened = 0;
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct count_key key = {.netns = netns, .port = port, .direction = COUNT_IN, .family = family};
        struct count_row row;
        opened += bpf_map_lookup_elem(counting->rows, &key, &row) == 0 ? row.opened : 0;
    }
    return opened;
}
