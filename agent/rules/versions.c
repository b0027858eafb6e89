#include "agent/rules/versions.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rules/rule_dir.h"
#include "rules/hash.h"
#include "rules/ruleset.h"

static uint64_t add_text(uint64_t hash, const void *ruleset, ruleset_string text) {
    const char *bytes = ruleset_text(ruleset, text);
    return hash_bytes(hash, bytes, strlen(bytes) + 1);
}

static uint64_t add_action(uint64_t hash, const void *ruleset, uint32_t number) {
    struct ruleset_block_action action = ruleset_actions(ruleset)[number - 1];
    hash = add_text(add_text(hash, ruleset, action.body), ruleset, action.content_type);
    hash = add_text(add_text(hash, ruleset, action.headers), ruleset, action.redirect);
    action.name = action.body = action.content_type = action.headers = action.redirect = 0;
    return hash_bytes(hash, &action, sizeof action);
}

static uint64_t add_parts(uint64_t hash, const void *ruleset, const struct rule *rule) {
    for (uint32_t i = 0; i < rule->params_count; i++) {
        struct rule_param param = ruleset_params(ruleset)[rule->params_first + i];
        hash = add_text(add_text(hash, ruleset, param.field), ruleset, param.pattern);
        param.field = param.pattern = 0;
        hash = hash_bytes(hash, &param, sizeof param);
    }
    for (uint32_t i = 0; i < rule->items_count; i++) {
        struct rule_item item = ruleset_items(ruleset)[rule->items_first + i];
        hash = add_text(hash, ruleset, item.object);
        item.object = 0;
        hash = hash_bytes(hash, &item, sizeof item);
    }
    for (uint32_t i = 0; i < rule->list_count; i++) {
        uint32_t value = ruleset_list(ruleset)[rule->list_first + i];
        hash = rule->canary == CANARY_PIDS ? hash_bytes(hash, &value, sizeof value) : add_text(hash, ruleset, value);
    }
    return hash;
}

uint64_t versions_content(const void *ruleset, uint32_t index) {
    struct rule rule = ruleset_rules(ruleset)[index];
    uint64_t hash = add_parts(1, ruleset, &rule);
    ruleset_string *const texts[] = {&rule.id,           &rule.resource,    &rule.origin,
                                     &rule.ref_resource, &rule.cost_header, &rule.when};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        hash = add_text(hash, ruleset, *texts[i]);
        *texts[i] = 0;
    }
    if (rule.block_action)
        hash = add_action(hash, ruleset, rule.block_action);
    rule.index = rule.line = rule.file = rule.block_action = 0;
    rule.params_first = rule.items_first = rule.list_first = 0;
    rule.when_first = rule.when_count = 0; /* found out again from time to time */
    return hash_bytes(hash, &rule, sizeof rule);
}

/* + 1; 0 without memory. */
static uint32_t file_number(struct versions *versions, const char *path) {
    for (size_t i = 0; i < versions->files_count; i++)
        if (strcmp(versions->files[i], path) == 0)
            return (uint32_t)i + 1;
    char **files = realloc(versions->files, (versions->files_count + 1) * sizeof *files);
    if (!files)
        return 0;
    versions->files = files;
    if (!(files[versions->files_count] = strdup(path)))
        return 0;
    return (uint32_t)++versions->files_count;
}

static uid_t author_of(const struct rule_dir *rules, const char *path) {
    for (size_t i = 0; i < rules->count; i++)
        if (strcmp(rules->files[i]->path, path) == 0)
            return rules->files[i]->seen.owner;
    return (uid_t)-1;
}

static int by_id(const void *a, const void *b) {
    uint64_t x = ((const struct version_rule *)a)->id_hash, y = ((const struct version_rule *)b)->id_hash;
    return x < y ? -1 : x > y;
}

const struct version_rule *versions_rule(const struct version *version, uint64_t id_hash) {
    struct version_rule key = {.id_hash = id_hash};
    return version->count ? bsearch(&key, version->rules, version->count, sizeof key, by_id) : NULL;
}

const struct version *versions_find(const struct versions *versions, uint64_t generation) {
    const struct version *version = &versions->list[generation % VERSIONS_KEPT];
    return generation && version->generation == generation ? version : NULL;
}

static struct version_rule describe(struct versions *versions, const struct version *version,
                                    const struct version *before, const void *ruleset, uint32_t index,
                                    const struct rule_dir *rules) {
    const struct rule *rule = &ruleset_rules(ruleset)[index];
    const char *path = ruleset_text(ruleset, rule->file);
    uint64_t content = versions_content(ruleset, index);
    const struct version_rule *known = before ? versions_rule(before, rule->id_hash) : NULL;
    struct version_rule made = {.id_hash = rule->id_hash, .content = content};
    if (known && known->content == content) {
        made = *known;
    } else {
        made.since = version->generation;
        made.since_time = version->published;
        made.author = author_of(rules, path);
    }
    made.file = path[0] ? file_number(versions, path) : 0;
    made.line = rule->line;
    return made;
}

void versions_add(struct versions *versions, uint64_t generation, time_t published, const void *ruleset,
                  const struct rule_dir *rules) {
    uint32_t count = ruleset_head(ruleset)->rules_count;
    const struct version *before = versions_find(versions, generation - 1);
    struct version version = {.generation = generation, .published = published};
    if (count && !(version.rules = calloc(count, sizeof *version.rules)))
        return;
    for (; version.count < count; version.count++)
        version.rules[version.count] = describe(versions, &version, before, ruleset, (uint32_t)version.count, rules);
    if (count)
        qsort(version.rules, count, sizeof *version.rules, by_id);
    free(versions->list[generation % VERSIONS_KEPT].rules);
    versions->list[generation % VERSIONS_KEPT] = version;
}

const char *versions_file(const struct versions *versions, const struct version_rule *rule) {
    return rule->file && rule->file <= versions->files_count ? versions->files[rule->file - 1] : NULL;
}

void versions_close(struct versions *versions) {
    for (size_t i = 0; i < VERSIONS_KEPT; i++)
        free(versions->list[i].rules);
    for (size_t i = 0; i < versions->files_count; i++)
        free(versions->files[i]);
    free(versions->files);
    *versions = (struct versions){0};
}
