/* agent/metrics/metrics.c, and what is made of them: totals become rates, percentiles, lines of the block log; the
 * host's load.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/metrics/block_log.h"
#include "agent/process/cpu.h"
#include "agent/core/log_file.h"
#include "agent/metrics/episode.h"
#include "agent/metrics/event_text.h"
#include "agent/metrics/metrics.h"
#include "rules/engine/engine.h"
#include "rules/engine/histogram.h"
#include "rules/rule.h"
#include "tests/unit/suite.h"

static char folder[] = "/tmp/weir-metrics-XXXXXX";
static struct publish memory;
static struct metrics metrics;
static const uint64_t SECOND = 1000000000u, START = 1700000000ull * 1000000000u;

static void set_up(void) {
    enum publish_origin origin;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(publish_open(&memory, open(folder, O_RDONLY | O_DIRECTORY), "shop", &origin), 0);
    metrics = (struct metrics){0};
    strcpy(publish_resource(&memory, 1)->name, "GET:/");
    publish_resource(&memory, 1)->side = SIDE_INBOUND;
    memory.counters->resources_used = 2;
}

static void tear_down(void) {
    char command[128];
    metrics_close(&metrics);
    publish_close(&memory);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void sample(unsigned second) {
    metrics_sample(&metrics, &memory, START + second * SECOND, START / SECOND + second);
}

static struct layout_stat_shard *shard(unsigned i) {
    return &publish_stats(&memory, 1)->shard[i];
}

START_TEST(rates_are_differences_over_all_shards) {
    const struct metrics_resource *r;
    shard(0)->pass = 1000; /* before our time */
    sample(0);
    r = &metrics.resources[1];
    ck_assert_uint_eq(r->rate.pass, 0);
    ck_assert_uint_eq(r->total.pass, 1000);
    ck_assert(!metrics.traffic);
    shard(0)->pass += 10;
    shard(3)->pass += 5;
    shard(1)->block += 7;
    shard(2)->success += 4;
    shard(2)->rt_ns += 4 * 3000000;
    sample(1);
    r = &metrics.resources[1];
    ck_assert_str_eq(r->name, "GET:/");
    ck_assert_uint_eq(r->rate.pass, 15);
    ck_assert_uint_eq(r->rate.block, 7);
    ck_assert(r->rt_ms > 2.999 && r->rt_ms < 3.001);
    ck_assert_uint_eq(r->total.pass, 1015);
    ck_assert(metrics.traffic && metrics.blocks);
    sample(2);
    ck_assert_uint_eq(metrics.resources[1].rate.pass, 0);
    ck_assert(metrics.resources[1].rt_ms == 0);
    ck_assert(!metrics.traffic && !metrics.blocks);
}
END_TEST

START_TEST(late_samples_are_scaled) {
    sample(0);
    shard(0)->pass += 100;
    sample(4);
    ck_assert_uint_eq(metrics.resources[1].rate.pass, 25);
}
END_TEST

START_TEST(new_resources_join) {
    sample(0);
    strcpy(publish_resource(&memory, 2)->name, "GET:/new");
    publish_stats(&memory, 2)->shard[0].pass = 9;
    memory.counters->resources_used = 3;
    sample(1);
    ck_assert_uint_eq(metrics.count, 3);
    ck_assert_uint_eq(metrics.resources[2].rate.pass, 9);
}
END_TEST

START_TEST(scribbles_do_no_harm) {
    shard(0)->pass = 100;
    sample(0);
    shard(0)->pass = 5;
    memset(publish_resource(&memory, 1)->name, 'x', LAYOUT_RESOURCE_NAME_MAX);
    memory.counters->resources_used = UINT32_MAX;
    publish_process(&memory, 0)->owner = 1;
    publish_area(&memory, 0)->in_flight[1] = UINT32_MAX;
    sample(1);
    ck_assert_uint_eq(metrics.resources[1].rate.pass, 0);
    ck_assert_uint_eq(metrics.resources[1].in_flight, 0);
    ck_assert_uint_eq(metrics.count, publish_allocated(&memory, LAYOUT_NAMES));
    ck_assert_uint_lt(strlen(metrics.resources[1].name), LAYOUT_RESOURCE_NAME_MAX);
}
END_TEST

START_TEST(in_flight_of_the_living_only) {
    publish_process(&memory, 0)->owner = 1;
    publish_process(&memory, 2)->owner = 2;
    for (uint32_t slot = 0; slot < 3; slot++)
        publish_area(&memory, slot)->in_flight[1] = 10 + slot;
    sample(0);
    ck_assert_uint_eq(metrics.resources[1].in_flight, 22);
    sample(1);
    ck_assert_uint_eq(metrics.resources[1].in_flight, 22);
}
END_TEST

START_TEST(percentile_of_the_last_second) {
    uint32_t *histogram = publish_stats(&memory, 1)->rt_histogram;
    histogram[histogram_bucket(900 * 1000000ull)] = 1000; /* slow times before */
    sample(0);
    histogram[histogram_bucket(1000000)] += 990;
    histogram[histogram_bucket(50 * 1000000ull)] += 10;
    shard(0)->success += 1000;
    sample(1);
    double p99 = metrics.resources[1].rt_p99_ms;
    ck_assert_msg(p99 > 0.9 && p99 < 65, "p99 %g", p99);
    histogram[histogram_bucket(50 * 1000000ull)] += 100;
    shard(0)->success += 100;
    sample(2);
    p99 = metrics.resources[1].rt_p99_ms;
    ck_assert_msg(p99 > 45 && p99 < 70, "p99 %g", p99);
    sample(3);
    ck_assert(metrics.resources[1].rt_p99_ms == 0);
}
END_TEST

START_TEST(percentiles_by_hand) {
    uint32_t histogram[LAYOUT_HISTOGRAM] = {0};
    ck_assert(metrics_percentile(histogram, 0.99) == 0);
    histogram[0] = 100;
    ck_assert(metrics_percentile(histogram, 0.5) == 0.032);
    ck_assert(metrics_percentile(histogram, 1) == 0.064);
    histogram[2] = 100; /* 96 … 128 us */
    double p75 = metrics_percentile(histogram, 0.75);
    ck_assert_msg(p75 > 0.111 && p75 < 0.113, "%g", p75);
    memset(histogram, 0xff, sizeof histogram);
    ck_assert(metrics_percentile(histogram, 1) > 0);
}
END_TEST

START_TEST(block_log_lines) {
    char line[512];
    setenv("TZ", "UTC", 1);
    struct bus_event event = {.kind = BUS_REJECTIONS, .app = "shop"};
    event.rejections.second = 1795308940;
    event.rejections.resource = "GET:/hello";
    event.rejections.reason = REASON_FLOW;
    event.rejections.limit_app = "default";
    event.rejections.origin = "bad";
    event.rejections.rule = "7";
    event.rejections.example = event.rejections.trace = "";
    event.rejections.count = 21;
    block_log_line(&event, line, sizeof line);
    ck_assert_str_eq(line, "2026-11-22 00:55:40|1|GET:/hello,FlowException,default,bad,7|21,0\n");
    event.rejections.example = "3F-K7QM";
    event.rejections.trace = "4bf92f";
    block_log_line(&event, line, sizeof line);
    ck_assert_str_eq(line, "2026-11-22 00:55:40|1|GET:/hello,FlowException,default,bad,7,3F-K7QM,4bf92f|21,0\n");
    event.rejections.example = event.rejections.trace = event.rejections.limit_app = "";
    event.rejections.origin = event.rejections.rule = "";
    event.rejections.resource = "a,b|c\nd";
    event.rejections.rule = "x\xc2\x9by\xe2\x80\xae\xe5\x95\x86"; /* C1, right to left, a letter */
    event.rejections.reason = REASON_SYSTEM;
    block_log_line(&event, line, sizeof line);
    ck_assert_str_eq(line, "2026-11-22 00:55:40|1|a_b_c_d,SystemBlockException,,,x__y___\xe5\x95\x86|21,0\n");
    event.rejections.rule = "";
    event.rejections.reason = REASON_SYSTEM;
    event.rejections.count = 1;
    block_log_line(&event, line, sizeof line);
    ck_assert_str_eq(line, "2026-11-22 00:55:40|1|a_b_c_d,SystemBlockException,,,|1,0\n");
    event.rejections.reason = 250; /* a number that no engine writes */
    block_log_line(&event, line, sizeof line);
    ck_assert_ptr_nonnull(strstr(line, "BlockException"));
}
END_TEST

START_TEST(log_files_are_bounded) {
    struct log_file log;
    char line[101], path[128];
    memset(line, 'x', 99);
    line[99] = '\n';
    line[100] = 0;
    ck_assert_int_eq(log_file_open(&log, folder, "block.log", 1000, 2), 0);
    for (int i = 0; i < 95; i++)
        log_file_add(&log, line, 100);
    log_file_flush(&log);
    log_file_close(&log);
    static const char *const names[] = {"block.log", "block.log.1", "block.log.2", "block.log.3"};
    long sizes[4];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        FILE *file = fopen(path, "r");
        sizes[i] = -1;
        if (file) {
            fseek(file, 0, SEEK_END);
            sizes[i] = ftell(file);
            fclose(file);
        }
    }
    ck_assert_int_eq(sizes[0], 500);
    ck_assert_int_eq(sizes[1], 1000);
    ck_assert_int_eq(sizes[2], 1000);
    ck_assert_int_eq(sizes[3], -1);
}
END_TEST

START_TEST(events_in_words) {
    char text[256];
    struct layout_event e = {.kind = EVENT_CIRCUIT, .from = CIRCUIT_CLOSED, .to = CIRCUIT_OPEN, .value = 0.75};
    strcpy(e.rule_id, "r1");
    event_text_state(&e, "GET:/", text, sizeof text);
    ck_assert_str_eq(text, "circuit of GET:/ (rule r1): closed -> open at 0.75");
    memset(&e, 0xff, sizeof e); /* anything a process may have written */
    event_text_state(&e, "GET:/", text, sizeof text);
    ck_assert_uint_lt(strlen(text), sizeof text);
    for (unsigned kind = 0; kind < 256; kind++) {
        e.kind = (uint8_t)kind;
        ck_assert_uint_gt(event_text_state(&e, "GET:/", text, 20), 0);
        ck_assert_uint_lt(strlen(text), 20);
    }
}
END_TEST

static struct layout_event overload(uint8_t from, uint8_t to, double value, const struct layout_episode *episode) {
    return (struct layout_event){.sequence = 7,
                                 .figures_of = 7,
                                 .kind = EVENT_ADAPTIVE,
                                 .from = from,
                                 .to = to,
                                 .value = value,
                                 .rule_id = "r1",
                                 .episode = *episode};
}

static const double NO_NUMBER = 0.0 / 0.0, ENDLESS = 1 / 0.0;
static const struct {
    uint8_t from, to, simulated;
    double value;
    struct layout_episode episode;
    const char *text;
} episodes[] = {
    {0,
     1,
     0,
     -1,
     {0.99, 130, 198, 198, 0},
     "overload began (rule r1): requests wait 130 ms, 198 answered a second, CPU 99 %"},
    {1,
     1,
     0,
     0.48,
     {0.99, 22.4, 198, 205, 10.2},
     "overload goes on after 10 s (rule r1): requests wait 22 ms, 48 % rejected, "
     "205 answered a second, 198 before, CPU 99 %"},
    {1,
     0,
     1,
     0.5,
     {-1, 0.31, 198, 0, 2.5},
     "overload over after 2.5 s (rule r1, simulated): requests wait 0.31 ms, "
     "50 % would be rejected, 0 answered a second, 198 before"},
    {1, 1, 0, 0.25, {1, -1, -1, -1, -1}, "overload goes on (rule r1): 25 % rejected, CPU 100 %"},
    /* Whatever a process wrote there. */
    {1, 1, 7, NO_NUMBER, {NO_NUMBER, NO_NUMBER, ENDLESS, -ENDLESS, 1e300}, "overload goes on (rule r1)"},
    {1, 1, 0, 1.5, {1e9, 1e9, 1e12, 1e12, 1e12}, "overload goes on (rule r1)"},
};
START_TEST(episodes_in_words) {
    char text[256];
    struct layout_event e = overload(episodes[_i].from, episodes[_i].to, episodes[_i].value, &episodes[_i].episode);
    e.simulated = episodes[_i].simulated;
    event_text_state(&e, "{other}", text, sizeof text);
    ck_assert_str_eq(text, episodes[_i].text);
    e.figures_of = 6; /* an older library wrote it over such a one */
    event_text_state(&e, "{other}", text, sizeof text);
    ck_assert_msg(!strchr(text, ':') && !strstr(text, "after") && !strstr(text, "simulated"), "%s", text);
}
END_TEST

START_TEST(cpu_times) {
    struct cpu_times times;
    ck_assert(cpu_parse_stat("cpu  10 1 5 80 4 0 2 3 0 0\ncpu0 1 2 3\n", &times));
    ck_assert_uint_eq(times.busy, 21);
    ck_assert_uint_eq(times.all, 105);
    ck_assert(!cpu_parse_stat("intr 1 2 3", &times));
    int number;
    ck_assert(cpu_parse_line("cpu12 10 1 5 80 4 0 2 3 0 0\n", &number, &times));
    ck_assert(number == 12 && times.busy == 21 && times.all == 105);
    static const char *const none[] = {"cpu  10 1 5 80 4 0 2 3 0 0", "intr 1", "cpu1x 1 2 3 4 5 6 7 8", "cpu1 1 2 3",
                                       "cpu99999 1 2 3 4 5 6 7 8"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert(!cpu_parse_line(none[i], &number, &times));
    struct cpu cpu = {0};
    double use, load1;
    cpu_sample(&cpu, &use, &load1);
    ck_assert(use < 0);
    ck_assert(load1 >= 0);
}
END_TEST

/* What processes write down comes into the log: as one line, whatever is in it. */
START_TEST(no_process_begins_a_line) {
    struct layout_event record = {.kind = EVENT_CIRCUIT, .to = 3};
    struct bus_event event = {.kind = BUS_STATE, .app = "shop"};
    char text[256];
    memcpy(record.rule_id, "a\n<3>other: gone\r\x1b[2K\x7f", 23);
    event.state.record = &record;
    event.state.resource = "GET:/\nx";
    size_t length = event_text(&event, text, sizeof text);
    ck_assert_uint_gt(length, 0);
    for (size_t i = 0; i < length; i++)
        ck_assert_msg((unsigned char)text[i] >= 0x20 && text[i] != 0x7f, "byte %zu of %s", i, text);
    ck_assert_ptr_nonnull(strstr(text, "a\\x0a<3>other: gone\\x0d\\x1b[2K\\x7f"));
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, episodes_in_words, 0, sizeof episodes / sizeof *episodes);
    tcase_add_test(all, rates_are_differences_over_all_shards);
    tcase_add_test(all, late_samples_are_scaled);
    tcase_add_test(all, new_resources_join);
    tcase_add_test(all, scribbles_do_no_harm);
    tcase_add_test(all, in_flight_of_the_living_only);
    tcase_add_test(all, percentile_of_the_last_second);
    tcase_add_test(all, percentiles_by_hand);
    tcase_add_test(all, block_log_lines);
    tcase_add_test(all, no_process_begins_a_line);
    tcase_add_test(all, log_files_are_bounded);
    tcase_add_test(all, events_in_words);
    tcase_add_test(all, cpu_times);
    return suite_run("metrics", all, NULL);
}
