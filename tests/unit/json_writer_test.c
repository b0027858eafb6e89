/* agent/core/json_writer: JSON whatever is in the texts, numbers as cJSON writes them, and bounds. */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "agent/core/json_writer.h"
#include "tests/unit/suite.h"

static char *finished(struct json_writer *w) {
    char *text = json_finish(w, NULL);
    ck_assert_ptr_nonnull(text);
    return text;
}

START_TEST(objects_and_lists) {
    struct json_writer w = json_writer_growing(1000);
    json_open(&w, NULL);
    json_open_list(&w, "none");
    json_close_list(&w);
    json_open_list(&w, "list");
    json_count(&w, NULL, UINT64_MAX);
    json_integer(&w, NULL, INT64_MIN);
    json_null(&w, NULL);
    json_open(&w, NULL);
    json_bool(&w, "a", true);
    json_bool(&w, "b", false);
    json_close(&w);
    json_close_list(&w);
    json_raw(&w, "raw", "[1]", 3);
    json_close(&w);
    json_newline(&w);
    char *text = finished(&w);
    ck_assert_str_eq(text, "{\"none\":[],\"list\":[18446744073709551615,-9223372036854775808,null,"
                           "{\"a\":true,\"b\":false}],\"raw\":[1]}\n");
    free(text);
}
END_TEST

static void check_text(const char *bytes, size_t length, const char *expected) {
    struct json_writer w = json_writer_growing(1000);
    json_bytes(&w, NULL, bytes, length);
    char *text = finished(&w);
    ck_assert_str_eq(text, expected);
    cJSON *parsed = cJSON_ParseWithOpts(text, NULL, true);
    ck_assert(cJSON_IsString(parsed));
    cJSON_Delete(parsed);
    free(text);
}
#define CHECK_TEXT(bytes, expected) check_text(bytes, sizeof bytes - 1, expected)

START_TEST(texts_of_any_bytes) {
    CHECK_TEXT("plain", "\"plain\"");
    CHECK_TEXT("\"\\/\b\f\n\r\t\x01\x1f\x7f", "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
    CHECK_TEXT("a\0b", "\"a\\u0000b\"");
    CHECK_TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    CHECK_TEXT("\xff\xc3", "\"??\"");                /* cut at the end */
    CHECK_TEXT("\xc0\xaf\xe0\x80\xaf", "\"?????\""); /* overlong */
    CHECK_TEXT("\xed\xa0\x80", "\"???\"");           /* a surrogate */
    CHECK_TEXT("\xf4\x90\x80\x80", "\"????\"");      /* beyond the last */
    CHECK_TEXT("\xe2\x82"
               "a\xe2",
               "\"??a?\""); /* what follows is kept */
}
END_TEST

START_TEST(every_byte_pair_is_valid) {
    for (unsigned pair = 0; pair < 65536; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)pair}, buffer[64];
        struct json_writer w = json_writer_in(buffer, sizeof buffer);
        json_bytes(&w, NULL, bytes, 2);
        char *text = json_finish(&w, NULL);
        ck_assert_ptr_eq(text, buffer);
        for (const char *p = text; *p; p++)
            ck_assert_msg((unsigned char)*p >= 0x20, "a control byte of %04x is left", pair);
        if (pair >> 8 && (pair & 0xff)) { /* cJSON's texts end at a NUL */
            cJSON *parsed = cJSON_ParseWithOpts(text, NULL, true);
            ck_assert_msg(cJSON_IsString(parsed), "%04x: %s", pair, text);
            cJSON_Delete(parsed);
        }
    }
}
END_TEST

START_TEST(numbers_as_cjson) {
    const double values[] = {0,
                             -0.0,
                             1,
                             -1,
                             0.1,
                             0.1 + 0.2,
                             1.0 / 3,
                             1e15,
                             123456789012345678.0,
                             1e300,
                             5e-324,
                             2147483647,
                             2147483648.0,
                             1.5,
                             1700000000.123456789,
                             NAN,
                             INFINITY,
                             -INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct json_writer w = json_writer_growing(100);
        json_number(&w, NULL, values[i]);
        char *text = finished(&w);
        cJSON *number = cJSON_CreateNumber(values[i]);
        char *expected = cJSON_PrintUnformatted(number);
        if (values[i] != 0) /* its sign is cJSON's to lose */
            ck_assert_str_eq(text, expected);
        ck_assert(!isfinite(values[i]) || strtod(text, NULL) == strtod(expected, NULL));
        free(expected);
        cJSON_Delete(number);
        free(text);
    }
}
END_TEST

START_TEST(bounded) {
    char buffer[16];
    for (size_t room = 1; room <= sizeof buffer; room++) {
        memset(buffer, 'x', sizeof buffer);
        struct json_writer w = json_writer_in(buffer, room);
        json_open(&w, NULL);
        json_text(&w, "a", "bcd"); /* {"a":"bcd"} and a NUL */
        json_close(&w);
        char *text = json_finish(&w, NULL);
        ck_assert_msg((text != NULL) == (room >= sizeof "{\"a\":\"bcd\"}"), "room of %zu", room);
        for (size_t i = room; i < sizeof buffer; i++)
            ck_assert_int_eq(buffer[i], 'x');
    }
    struct json_writer w = json_writer_growing(1 << 16);
    json_open_list(&w, NULL);
    for (int i = 0; i < 1 << 16; i++)
        json_count(&w, NULL, 1);
    json_close_list(&w);
    ck_assert_ptr_null(json_finish(&w, NULL));
}
END_TEST

START_TEST(nested_wrongly) {
    struct json_writer w = json_writer_growing(1000);
    for (int i = 0; i < JSON_WRITER_DEPTH; i++)
        json_open_list(&w, NULL);
    for (int i = 0; i < JSON_WRITER_DEPTH; i++)
        json_close_list(&w);
    ck_assert_ptr_null(json_finish(&w, NULL)); /* too deeply */
    w = json_writer_growing(1000);
    json_open(&w, NULL);
    ck_assert_ptr_null(json_finish(&w, NULL)); /* not closed */
    w = json_writer_growing(1000);
    json_close(&w);
    ck_assert_ptr_null(json_finish(&w, NULL)); /* not open */
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, objects_and_lists);
    tcase_add_test(all, texts_of_any_bytes);
    tcase_add_test(all, every_byte_pair_is_valid);
    tcase_add_test(all, numbers_as_cjson);
    tcase_add_test(all, bounded);
    tcase_add_test(all, nested_wrongly);
    return suite_run("json_writer", all, NULL);
}
