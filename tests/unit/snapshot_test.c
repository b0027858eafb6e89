/* rules/snapshot: what is published is read whole, and nothing else ever is. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rules/snapshot.h"
#include "tests/unit/suite.h"

static struct layout_rules_header *file;

static void set_up(void) {
    file = mmap(NULL, snapshot_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(file, MAP_FAILED);
    snapshot_format(file, "shop");
}

static void tear_down(void) {
    munmap(file, snapshot_bytes());
}

static uint64_t publish(const void *ruleset, size_t size) {
    uint64_t offset;
    ck_assert(snapshot_next(file, snapshot_bytes(), size, &offset));
    return snapshot_publish(file, offset, ruleset, size);
}

static enum snapshot_status read_into(char *ruleset, size_t room, size_t *size, uint64_t *generation) {
    return snapshot_read(file, snapshot_bytes(), ruleset, room, size, generation);
}

START_TEST(formatted_file_is_usable_and_empty) {
    struct layout_copy seen;
    ck_assert(snapshot_usable(file, snapshot_bytes(), "shop"));
    ck_assert(!snapshot_usable(file, snapshot_bytes(), "other"));
    ck_assert(!snapshot_usable(file, snapshot_bytes() - 1, "shop"));
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_NONE);
    file->head.min_reader++;
    ck_assert(!snapshot_usable(file, snapshot_bytes(), "shop"));
    file->head.min_reader--;
    memset(file->app, 'x', sizeof file->app);
    ck_assert(!snapshot_usable(file, snapshot_bytes(), "shop"));
}
END_TEST

START_TEST(published_is_read) {
    char ruleset[64];
    size_t size;
    uint64_t generation, sequence = snapshot_sequence(file);
    for (uint64_t g = 1; g <= 5; g++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", (int)g);
        ck_assert_uint_eq(publish(text, strlen(text) + 1), g);
        ck_assert_int_eq(read_into(ruleset, sizeof ruleset, &size, &generation), SNAPSHOT_OK);
        ck_assert_str_eq(ruleset, text);
        ck_assert_uint_eq(generation, g);
        ck_assert_uint_eq(size, strlen(text) + 1);
        ck_assert_uint_gt(snapshot_sequence(file), sequence);
        sequence = snapshot_sequence(file);
    }
}
END_TEST

START_TEST(every_spoilt_byte_is_noticed) {
    char ruleset[64];
    size_t size;
    uint64_t generation;
    static const char text[] = "0123456789abcdefghijklmnopqrstuv";
    publish(text, sizeof text);
    char *bytes = (char *)file + file->copy[1].offset;
    for (size_t i = 0; i < sizeof text; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (char)(1 << bit);
            ck_assert_int_eq(read_into(ruleset, sizeof ruleset, &size, &generation), SNAPSHOT_TORN);
            bytes[i] ^= (char)(1 << bit);
        }
    ck_assert_int_eq(read_into(ruleset, sizeof ruleset, &size, &generation), SNAPSHOT_OK);
}
END_TEST

START_TEST(impossible_descriptions_are_refused) {
    struct layout_copy seen;
    static const char text[] = "rules";
    publish(text, sizeof text);
    struct layout_copy *copy = &file->copy[1], whole = *copy;
    copy->length = (uint64_t)LAYOUT_RULES_COPY_MAX + 1;
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_BAD);
    *copy = whole;
    copy->length = 0;
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_BAD);
    *copy = whole;
    copy->offset = UINT64_MAX - 2;
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_BAD);
    *copy = whole;
    copy->generation = 7;
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_TORN);
    *copy = whole;
    ck_assert_int_eq(snapshot_look(file, (size_t)whole.offset + sizeof text - 1, &seen), SNAPSHOT_BAD);
    ck_assert_int_eq(snapshot_look(file, snapshot_bytes(), &seen), SNAPSHOT_OK);
}
END_TEST

START_TEST(too_small_a_room_is_never_overrun) {
    char ruleset[16];
    size_t size = 99;
    uint64_t generation;
    memset(ruleset, 'x', sizeof ruleset);
    publish("0123456789", 10);
    ck_assert_int_eq(read_into(ruleset, 9, &size, &generation), SNAPSHOT_TORN);
    ck_assert_int_eq(ruleset[0], 'x');
}
END_TEST

START_TEST(flags_raise_the_sequence) {
    uint64_t sequence = snapshot_sequence(file);
    snapshot_set_off(file, true);
    ck_assert(snapshot_is_off(file));
    ck_assert_uint_gt(snapshot_sequence(file), sequence);
    sequence = snapshot_sequence(file);
    snapshot_set_off(file, false);
    ck_assert(!snapshot_is_off(file));
    ck_assert_uint_gt(snapshot_sequence(file), sequence);
    sequence = snapshot_sequence(file);
    snapshot_retire(file);
    ck_assert(snapshot_is_retired(file));
    ck_assert_uint_gt(snapshot_sequence(file), sequence);
    sequence = snapshot_sequence(file);
    snapshot_heartbeat(file, 42); /* no reason to look at anything */
    ck_assert_uint_eq(snapshot_sequence(file), sequence);
    ck_assert_uint_eq(snapshot_alive(file), 42);
}
END_TEST

START_TEST(load_is_a_number_or_unknown) {
    double cpu, load1, app_cpu;
    snapshot_load(file, &cpu, &load1, &app_cpu);
    ck_assert(cpu < 0 && load1 < 0 && app_cpu < 0);
    snapshot_set_load(file, 0.25, 3.5, 0);
    snapshot_load(file, &cpu, &load1, &app_cpu);
    ck_assert(cpu == 0.25 && load1 == 3.5 && app_cpu == 0);
    uint64_t loads = snapshot_loads(file);
    snapshot_set_load(file, 0.25, 3.5, 0); /* the same figures, measured again */
    ck_assert_uint_ne(snapshot_loads(file), loads);
    snapshot_set_load(file, __builtin_nan(""), __builtin_inf(), __builtin_nan(""));
    snapshot_load(file, &cpu, &load1, &app_cpu);
    ck_assert(cpu < 0 && load1 < 0 && app_cpu < 0);
    file->app_cpu = 0; /* as an agent of before leaves it */
    snapshot_load(file, &cpu, &load1, &app_cpu);
    ck_assert(app_cpu < 0);
    ck_assert(snapshot_cpus_used(file) == 0);
    static const double shares[][2] = {{0.5, 0.5}, {1, 1}, {-1, 0}, {1.5, 0}, {__builtin_nan(""), 0}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        snapshot_set_cpus_used(file, shares[i][0]);
        ck_assert(snapshot_cpus_used(file) == shares[i][1]);
    }
}
END_TEST

/* A reader against a writer that hardly rests: each ruleset is one letter all over, of a length that goes with it. */
enum { READS = 20000, LARGEST = 3000 };
static _Atomic bool enough;

static void *write_all_the_time(void *unused) {
    static char ruleset[LARGEST];
    for (uint64_t g = 1; !enough; g++) {
        memset(ruleset, 'a' + (int)(g % 26), sizeof ruleset);
        publish(ruleset, 1 + g * 7 % LARGEST);
        if (g % 16 == 0)
            usleep(20); /* a reader must be able to win at times, or the test would say nothing */
    }
    return unused;
}

START_TEST(torn_rulesets_are_never_seen) {
    pthread_t writer;
    static char ruleset[LARGEST];
    unsigned seen = 0;
    uint64_t last = 0;
    enough = false;
    ck_assert_int_eq(pthread_create(&writer, NULL, write_all_the_time, NULL), 0);
    const char *wrong = NULL; /* told once: an assertion a byte costs more than all else */
    for (unsigned i = 0; !wrong && (i < READS || seen == 0); i++) {
        size_t size;
        uint64_t generation;
        enum snapshot_status status = read_into(ruleset, sizeof ruleset, &size, &generation);
        if (status == SNAPSHOT_BAD)
            wrong = "a description that no writer makes";
        if (status != SNAPSHOT_OK)
            continue;
        seen++;
        if (generation < last || size != 1 + generation * 7 % LARGEST)
            wrong = "another generation's length, or an older generation";
        last = generation;
        for (size_t b = 0; b < size; b++)
            if (ruleset[b] != 'a' + (int)(generation % 26))
                wrong = "bytes of another ruleset";
    }
    enough = true;
    pthread_join(writer, NULL);
    ck_assert_msg(!wrong, "%s", wrong);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, formatted_file_is_usable_and_empty);
    tcase_add_test(all, published_is_read);
    tcase_add_test(all, every_spoilt_byte_is_noticed);
    tcase_add_test(all, impossible_descriptions_are_refused);
    tcase_add_test(all, too_small_a_room_is_never_overrun);
    tcase_add_test(all, flags_raise_the_sequence);
    tcase_add_test(all, load_is_a_number_or_unknown);
    tcase_add_test(all, torn_rulesets_are_never_seen);
    return suite_run("snapshot", all, NULL);
}
