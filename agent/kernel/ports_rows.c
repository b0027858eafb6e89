#include "agent/kernel/ports_rows.h"

#include <math.h>
#include <stdint.h>

#include "agent/process/proc.h"

static void add_counts(const struct counting_row *row, struct json_writer *w) {
    const struct count_row *c = &row->counts;
    uint64_t open = c->opened > c->closed ? c->opened - c->closed : 0;
    uint64_t rtt_count = c->rtt_count + row->open.rtt_count, rtt_us = c->rtt_us + row->open.rtt_us;
    json_count(w, "attempts", c->attempts);
    json_count(w, "opened", c->opened);
    json_count(w, "closed", c->closed);
    json_count(w, "active", open + row->open.unwatched);
    json_count(w, "refused", c->refused);
    json_count(w, "failed", c->failed);
    json_count(w, "bytes_in", c->bytes_in);
    json_count(w, "bytes_out", c->bytes_out);
    json_count(w, "segments_in", c->segments_in);
    json_count(w, "segments_out", c->segments_out);
    json_count(w, "retransmits", c->retransmits);
    json_number(w, "rtt_ms", rtt_count ? round((double)rtt_us / (double)rtt_count) / 1000 : 0);
}

static void add_row(const struct counting_row *row, const char *path, struct json_writer *w) {
    const struct count_key *key = &row->key;
    json_open(w, NULL);
    json_text(w, "direction", key->direction == COUNT_OUT ? "out" : "in");
    json_count(w, "port", key->port);
    json_count(w, "namespace", key->netns);
    json_count(w, "ip", key->family);
    if (key->direction == COUNT_OUT) {
        char unit[PROC_TEXT_MAX] = "";
        proc_cgroup_unit(path, unit);
        json_text(w, "cgroup", path);
        json_text(w, "unit", unit);
    }
    add_counts(row, w);
    json_close(w);
}

void ports_rows_write(const struct counting_row *rows, size_t count, const struct cgroups *cgroups,
                      struct json_writer *w) {
    json_open_list(w, "rows");
    for (size_t i = 0; i < count; i++) {
        const char *path = rows[i].key.cgroup ? cgroups_path(cgroups, rows[i].key.cgroup) : NULL;
        add_row(&rows[i], path ? path : "", w);
    }
    json_close_list(w);
}
