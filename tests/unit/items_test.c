/* Values with thresholds of their own: ranges of addresses, lists in files (rules/text/items.c, lists.c), and how the
 * engine finds them (rules/engine/limiters/items.c). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/engine/limiters/items.h"
#include "rules/text/rule_text.h"
#include "tests/unit/suite.h"

static char rules_file[] = "/tmp/items_test.XXXXXX/rules.json"; /* in a folder that is made */

static void make_folder(void) {
    char *slash = strrchr(rules_file, '/');
    *slash = 0;
    ck_assert_ptr_nonnull(mkdtemp(rules_file));
    *slash = '/';
}

static void list_path(char ret_path[static 64]) {
    snprintf(ret_path, 64, "%.*s/list.txt", (int)(strrchr(rules_file, '/') - rules_file), rules_file);
}

static void write_list(const char *text) {
    char path[64];
    list_path(path);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_folder(void) {
    char path[64];
    list_path(path);
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
}

/* The ruleset of a rule with these items; NULL, and what was wrong. */
static void *read_items_of(const char *param, const char *items, char *ret_errors, size_t size) {
    char text[2048];
    struct rule_errors errors = {0};
    size_t ruleset_size;
    void *ruleset = NULL;
    snprintf(text, sizeof(text),
             "{\"paramFlow\":[{\"paramFlowItemList\":[%s],\"resource\":\"a\",\"count\":1,\"param\":%s}]}", items,
             param);
    struct rule_document *document = rule_text_parse(rules_file, text, strlen(text), NULL, &errors);
    if (document)
        ruleset = rule_text_ruleset(&document, 1, "t", &ruleset_size, &errors);
    ret_errors[0] = 0;
    for (size_t i = 0; i < errors.count; i++)
        snprintf(ret_errors + strlen(ret_errors), size - strlen(ret_errors), "%s %s\n", errors.list[i].path,
                 errors.list[i].message);
    rule_document_free(document);
    rule_errors_clear(&errors);
    return ruleset;
}

#define ADDRESS "{\"parseStrategy\":\"clientIp\"}"
#define HEADER "{\"parseStrategy\":\"header\",\"fieldName\":\"x\"}"

/* The threshold of a value: its item's, or 1. */
static double threshold_of(const void *ruleset, const char *value, bool is_address) {
    const struct rule *rule = ruleset_rules(ruleset);
    void *room = malloc(param_items_bytes(rule));
    const struct items *items = param_items_make(room, ruleset, rule);
    struct address_range address;
    struct engine_value asked = {.type = VALUE_STRING, .text = value, .length = strlen(value)};
    if (is_address) {
        ck_assert(address_range_parse(value, &address));
        asked.address = &address;
    }
    const struct rule_item *item = param_item_of(items, ruleset, rule, &asked);
    double count = item ? item->count : 1;
    free(room);
    return count;
}

static const struct {
    const char *param, *items, *list, *value;
    double count;
} found[] = {
    {ADDRESS, "{\"object\":\"10.0.0.0/8\",\"count\":9}", "", "10.1.2.3", 9},
    {ADDRESS, "{\"object\":\"10.0.0.0/8\",\"count\":9}", "", "11.1.2.3", 1},
    {ADDRESS, "{\"object\":\"10.9.9.9/8\",\"count\":9}", "", "10.1.2.3", 9},
    {ADDRESS, "{\"object\":\"10.0.0.1-10.0.0.99\",\"count\":9}", "", "10.0.0.99", 9},
    {ADDRESS, "{\"object\":\"10.0.0.1-10.0.0.99\",\"count\":9}", "", "10.0.0.100", 1},
    {ADDRESS, "{\"object\":\"10.0.0.1-10.0.0.99\",\"count\":9}", "", "10.0.0.0", 1},
    {ADDRESS,
     "{\"object\":\"10.0.0.0/8\",\"count\":9},{\"object\":\"10.1.0.0/"
     "16\",\"count\":5},{\"object\":\"10.1.2.3\",\"count\":3}",
     "", "10.1.2.3", 3},
    {ADDRESS,
     "{\"object\":\"10.0.0.0/8\",\"count\":9},{\"object\":\"10.1.0.0/"
     "16\",\"count\":5},{\"object\":\"10.1.2.3\",\"count\":3}",
     "", "10.1.2.4", 5},
    {ADDRESS, "{\"object\":\"0.0.0.0/0\",\"count\":9}", "", "192.0.2.1", 9},
    {ADDRESS, "{\"object\":\"0.0.0.0/0\",\"count\":9}", "", "2001:db8::1", 1},
    {ADDRESS, "{\"object\":\"2001:DB8::/32\",\"count\":9}", "", "2001:db8:1::1", 9},
    {ADDRESS, "{\"object\":\"2001:DB8:0::1\",\"count\":9}", "", "2001:db8::1", 9},
    {ADDRESS, "{\"object\":\"::ffff:10.1.2.3\",\"count\":9}", "", "10.1.2.3", 9},
    {ADDRESS, "{\"file\":\"list.txt\",\"count\":9}", "# the office\n\n 10.1.0.0/16 \r\n192.0.2.5-192.0.2.6",
     "192.0.2.6", 9},
    {ADDRESS, "{\"file\":\"list.txt\",\"count\":9}", "# the office\n\n 10.1.0.0/16 \r\n192.0.2.5-192.0.2.6", "10.1.9.9",
     9},
    {ADDRESS, "{\"file\":\"list.txt\",\"count\":9}", "", "10.1.9.9", 1},
    {HEADER, "{\"file\":\"list.txt\",\"count\":9}", "alice\nbob b \n10.0.0.0/8\n", "bob b", 9},
    {HEADER, "{\"file\":\"list.txt\",\"count\":9}", "alice\nbob b \n10.0.0.0/8\n", "10.0.0.0/8", 9},
    {HEADER, "{\"file\":\"list.txt\",\"count\":9}", "alice\nbob b \n10.0.0.0/8\n", "10.0.0.1", 1},
    {HEADER, "{\"object\":\"10.0.0.0/8\",\"count\":9}", "", "10.0.0.1", 1},
};
START_TEST(the_smallest_range_counts) {
    char errors[512];
    bool address = strcmp(found[_i].param, ADDRESS) == 0;
    make_folder();
    write_list(found[_i].list);
    void *ruleset = read_items_of(found[_i].param, found[_i].items, errors, sizeof(errors));
    ck_assert_msg(ruleset != NULL, "%s", errors);
    ck_assert_double_eq(threshold_of(ruleset, found[_i].value, address), found[_i].count);
    free(ruleset);
    remove_folder();
}
END_TEST

static const struct {
    const char *param, *items, *list, *path, *words;
} wrong[] = {
    {ADDRESS, "{\"file\":\"list.txt\",\"count\":9}", "10.0.0.1\n\nten\n", ".paramFlowItemList[0].file",
     "list.txt:3: expected an address"},
    {ADDRESS, "{\"file\":\"list.txt\",\"count\":9}", "10.0.0.9-10.0.0.1\n", ".file", "list.txt:1: expected"},
    {ADDRESS, "{\"file\":\"none.txt\",\"count\":9}", "", ".file", "none.txt: cannot be opened"},
    {ADDRESS, "{\"file\":\".\",\"count\":9}", "", ".file", "is a directory"},
    {ADDRESS, "{\"file\":\"list.txt\",\"object\":\"x\",\"count\":9}", "", ".object", "contradicts file"},
    {ADDRESS, "{\"count\":9}", "", ".object", "required field missing"},
    {ADDRESS, "{\"file\":\"a\\\\\\\\b\",\"count\":9}", "", ".file", "without backslashes"},
    {ADDRESS, "{\"object\":\"10.0.0.0/24\",\"count\":9},{\"file\":\"list.txt\",\"count\":8}", "10.0.0.0-10.0.0.255\n",
     "", "listed twice"},
    {HEADER, "{\"file\":\"list.txt\",\"count\":9}", "a\na\n", "", "listed twice"},
};
START_TEST(what_is_wrong_in_a_list_has_its_line) {
    char errors[1024];
    make_folder();
    write_list(wrong[_i].list);
    void *ruleset = read_items_of(wrong[_i].param, wrong[_i].items, errors, sizeof(errors));
    ck_assert_ptr_null(ruleset);
    ck_assert_msg(strstr(errors, wrong[_i].path) && strstr(errors, wrong[_i].words), "%s", errors);
    remove_folder();
}
END_TEST

/* A library that cannot find ranges leaves the rule out. */
START_TEST(ranges_are_required) {
    char errors[256];
    void *ruleset = read_items_of(ADDRESS, "{\"object\":\"10.0.0.0/8\",\"count\":9}", errors, sizeof(errors));
    ck_assert_uint_eq(ruleset_rules(ruleset)->requires, RULE_FEATURE_ADDRESS_ITEMS);
    free(ruleset);
    ruleset = read_items_of(ADDRESS, "{\"object\":\"10.0.0.1\",\"count\":9}", errors, sizeof(errors));
    ck_assert_uint_eq(ruleset_rules(ruleset)->requires, 0);
    free(ruleset);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, the_smallest_range_counts, 0, sizeof(found) / sizeof(found[0]));
    tcase_add_loop_test(all, what_is_wrong_in_a_list_has_its_line, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(all, ranges_are_required);
    return suite_run("items", all, NULL);
}
