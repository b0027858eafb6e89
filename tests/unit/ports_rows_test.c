/* The rows of `weir ports` as text: JSON whatever is in them. */
#include <cjson/cJSON.h>
#include <string.h>

#include "agent/kernel/ports_rows.h"
#include "agent/process/proc.h"
#include "tests/unit/suite.h"

static cJSON *parsed(const struct counting_row *rows, size_t count, const struct cgroups *cgroups) {
    struct json_writer writer = json_writer_growing(64 << 20);
    json_open(&writer, NULL);
    ports_rows_write(rows, count, cgroups, &writer);
    json_close(&writer);
    char *text = json_finish(&writer, NULL);
    ck_assert_ptr_nonnull(text);
    cJSON *object = cJSON_ParseWithOpts(text, NULL, true);
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(object, "rows");
    ck_assert_msg(cJSON_IsArray(list), "no JSON: %s", text);
    cJSON_Delete(object);
    free(text);
    return list;
}

static double number(const cJSON *row, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, name);
    ck_assert_msg(cJSON_IsNumber(item), "no number %s", name);
    return item->valuedouble;
}

static const char *string(const cJSON *row, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, name));
}

START_TEST(none) {
    cJSON *list = parsed(NULL, 0, &(struct cgroups){0});
    ck_assert_int_eq(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
}
END_TEST

START_TEST(in_and_out) {
    struct cgroup_name name = {.id = 7, .path = (char[]){"/system.slice/shop.service"}};
    const struct counting_row rows[] = {
        {.key = {.netns = 4026531840, .port = 80, .direction = COUNT_IN, .family = 4},
         .counts = {.attempts = 1, .opened = 9, .closed = 5, .bytes_in = 10, .rtt_us = 3000, .rtt_count = 1},
         .open = {.connections = 4, .unwatched = 2, .rtt_us = 1001, .rtt_count = 1}},
        {.key = {.cgroup = 7, .port = 65535, .direction = COUNT_OUT, .family = 6}, .counts = {.closed = 3}},
        {.key = {.cgroup = 8, .port = 1, .direction = COUNT_OUT, .family = 6}},
    };
    const struct cgroups cgroups = {.list = &name, .count = 1};
    cJSON *list = parsed(rows, 3, &cgroups);
    const cJSON *in = cJSON_GetArrayItem(list, 0), *out = cJSON_GetArrayItem(list, 1);
    ck_assert_str_eq(string(in, "direction"), "in");
    ck_assert_ptr_null(string(in, "unit"));
    ck_assert_double_eq(number(in, "namespace"), 4026531840);
    ck_assert_double_eq(number(in, "active"), 6);
    ck_assert_double_eq(number(in, "bytes_in"), 10);
    ck_assert_double_eq_tol(number(in, "rtt_ms"), 2.0005, 0.001);
    ck_assert_str_eq(string(out, "unit"), "shop.service");
    ck_assert_double_eq(number(out, "port"), 65535);
    ck_assert_double_eq(number(out, "active"), 0);
    ck_assert_double_eq(number(out, "rtt_ms"), 0);
    ck_assert_str_eq(string(cJSON_GetArrayItem(list, 2), "cgroup"), ""); /* it is gone */
    cJSON_Delete(list);
}
END_TEST

START_TEST(the_most_that_can_be) {
    enum { ROWS = 300, PATH = 4000 };
    static struct counting_row rows[ROWS];
    char path[PATH + 1] = "/";
    for (size_t i = 1; i < PATH; i++)
        path[i] = (char)(i % 31 + 1);
    memcpy(path + PATH - 700, "/\"\\", 3);
    memcpy(path + PATH - PROC_TEXT_MAX + 1, "/", 1);
    memcpy(path + PATH - strlen(".service"), ".service", strlen(".service"));
    memset(rows, 0xff, sizeof rows);
    for (size_t i = 0; i < ROWS; i++) {
        rows[i].key.direction = COUNT_OUT;
        rows[i].counts.rtt_count = i % 2;
        rows[i].open.rtt_count = 0;
    }
    struct cgroup_name name = {.id = UINT64_MAX, .path = path};
    const struct cgroups cgroups = {.list = &name, .count = 1};
    cJSON *list = parsed(rows, ROWS, &cgroups);
    ck_assert_int_eq(cJSON_GetArraySize(list), ROWS);
    ck_assert_str_eq(string(list->child, "cgroup"), path);
    ck_assert_str_eq(string(list->child, "unit"), path + PATH - PROC_TEXT_MAX + 2);
    ck_assert_double_eq(number(list->child, "bytes_out"), (double)UINT64_MAX);
    cJSON_Delete(list);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("rows");
    tcase_add_test(tests, none);
    tcase_add_test(tests, in_and_out);
    tcase_add_test(tests, the_most_that_can_be);
    return suite_run("ports_rows", tests, NULL);
}
