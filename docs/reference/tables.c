/* Prints the tables of fields that rules files are read by, as JSON: what docs/reference/generate.py makes the schema,
 * the manual page weir-rules(5) and the tables of docs/rules.md from.  Defaults are those that a rule really starts
 * with. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rules/text/kinds.h"

static const struct {
    const char *name;
    const struct field_table *table;
} tables[] = {
    {"file_table", &file_table},       {"match_table", &match_table},           {"options_table", &options_table},
    {"action_table", &action_table},   {"route_table", &route_table},           {"predicate_table", &predicate_table},
    {"param_table", &param_table},     {"range_file_table", &range_file_table}, {"item_table", &item_table},
    {"cluster_table", &cluster_table}, {"canary_table", &canary_table},         {"when_table", &when_table},
};

static const char *const types[] = {
    [FIELD_NUMBER] = "number", [FIELD_INTEGER] = "integer", [FIELD_TIME] = "time", [FIELD_BOOLEAN] = "boolean",
    [FIELD_CODE] = "code",     [FIELD_WORD] = "word",       [FIELD_TEXT] = "text", [FIELD_CUSTOM] = "custom"};

static uint64_t whole_at(const char *at, size_t size) {
    uint64_t value = 0;
    memcpy(&value, at, size); /* little-endian, as everything that weir runs on */
    return value;
}

static void print_default(const struct field *field, const void *record) {
    const char *at = (const char *)record + field->at;
    double number;
    if (field->flags & FIELD_REQUIRED || !field->size || field->type == FIELD_CUSTOM || field->type == FIELD_TEXT)
        return;
    if (field->type == FIELD_NUMBER)
        memcpy(&number, at, sizeof(number));
    else
        number = (double)whole_at(at, field->size) / (field->type == FIELD_TIME ? field->unit : 1);
    if (field->type == FIELD_BOOLEAN)
        printf(",\"default\":%s", number != 0 ? "true" : "false");
    else
        printf(",\"default\":%.15g", number);
}

static void print_words(const struct word *words) {
    printf(",\"words\":[");
    for (const struct word *word = words; word->word; word++)
        printf("%s[\"%s\",%d]", word == words ? "" : ",", word->word, word->number);
    printf("]");
}

/* `record`: what the fields are before any is read; NULL: not known here. */
static void print_fields(const struct field *fields, const void *record) {
    printf("[");
    for (const struct field *field = fields; field && field->name; field++) {
        printf("%s{\"name\":\"%s\",\"type\":\"%s\"", field == fields ? "" : ",", field->name, types[field->type]);
        printf(",\"required\":%s,\"nullable\":%s", field->flags & FIELD_REQUIRED ? "true" : "false",
               field->flags & FIELD_NULLABLE ? "true" : "false");
        printf(",\"min\":%.15g,\"max\":%.15g,\"unit\":%.15g", field->min, field->max, field->unit);
        if (field->words)
            print_words(field->words);
        if (record)
            print_default(field, record);
        printf("}");
    }
    printf("]");
}

static void print_kinds(void) {
    for (size_t i = 0; i < RULE_KINDS; i++) {
        const struct kind *kind = &rule_kinds[i];
        struct rule_record record = {0};
        rule_defaults(&record.rule, kind->kind);
        printf("%s\"%s\":{\"common\":", i ? "," : "", kind->key);
        print_fields(kind->table.fields[0], &record);
        printf(",\"own\":");
        print_fields(kind->table.fields[1], &record);
        printf("}\n");
    }
}

static void print_route_fields(void) {
    for (size_t i = 0; i < ROUTE_FIELDS; i++) {
        const struct route_field *field = &route_field_kinds[i];
        printf("%s\"%s\":{", i ? "," : "", field->key);
        const char *comma = "";
        for (const struct word *kind = route_kind_words; kind->word; kind++)
            if (field->kinds >> kind->number & 1) {
                printf("%s\"%s\":%s", comma, kind->word, field->required >> kind->number & 1 ? "true" : "false");
                comma = ",";
            }
        printf("}");
    }
}

int main(void) {
    struct ruleset_builder *builder = ruleset_builder_new("");
    if (!builder)
        return 1;
    printf("{\"kinds\":{");
    print_kinds();
    printf("},\"tables\":{");
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
        printf("%s\"%s\":", i ? "," : "", tables[i].name);
        print_fields(tables[i].table->fields[0],
                     tables[i].table == &options_table ? ruleset_builder_options(builder) : NULL);
        printf("\n");
    }
    printf("},\"routeFields\":{");
    print_route_fields();
    printf("}}\n");
    ruleset_builder_free(builder);
    return 0;
}
