#include "agent/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/errors.h"
#include "agent/core/json_reader.h"
#include "ebpf/pins.h"

enum { CONFIG_MAX = 1 << 20 };

/* ------------------------------------------------------------------------------------------------------------- keys */

static bool is_absolute(const char *text) {
    return text[0] == '/';
}

static void clear_rules(void *config) {
    config_clear_rules(config);
}

static bool add_rules(void *config, const char *path) {
    return config_add_rules(config, path);
}

static const struct json_list RULES = {.expected = "an absolute path", .clear = clear_rules, .add = add_rules};

static const struct json_word BPF_WORDS[] = {
    {"auto", BPF_AUTO}, {"off", BPF_OFF}, {"required", BPF_REQUIRED}, {NULL, 0}};
static const struct json_word LOG_LEVELS[] = {{"error", LOG_LEVEL_ERROR},
                                              {"warning", LOG_LEVEL_WARNING},
                                              {"info", LOG_LEVEL_INFO},
                                              {"debug", LOG_LEVEL_DEBUG},
                                              {NULL, 0}};

#define AT(member) .at = offsetof(struct config, member)
static const struct json_field KEYS[] = {
    {"runDir", JSON_COPY, AT(run_dir), .is_valid = is_absolute, .expected = "an absolute path"},
    {"rules", JSON_LIST, .list = &RULES, .is_valid = is_absolute, .expected = "a list of files and directories"},
    {"group", JSON_COPY, JSON_NULLABLE, AT(group), .expected = "the name of a group, or null for none"},
    {"logDir", JSON_COPY, JSON_NULLABLE, AT(log_dir), .is_valid = is_absolute,
     .expected = "an absolute path, or null for no log files"},
    {"stateDir", JSON_COPY, JSON_NULLABLE, AT(state_dir), .is_valid = is_absolute,
     .expected = "an absolute path, or null to keep nothing"},
    {"logLevel", JSON_WORD, AT(log_level), .words = LOG_LEVELS},
    {"bpf", JSON_WORD, AT(bpf), .words = BPF_WORDS},
    {"bpfDir", JSON_COPY, JSON_NULLABLE, AT(bpf_dir), .is_valid = is_absolute,
     .expected = "an absolute path, or null for no pins"},
    {"bpfCgroup", JSON_COPY, JSON_NULLABLE, AT(bpf_cgroup), .is_valid = is_absolute,
     .expected = "an absolute path, or null for the whole host"},
    {0},
};
_Static_assert(sizeof(enum bpf_mode) == sizeof(int) && sizeof(enum log_level) == sizeof(int), "JSON_WORD is an int");

bool config_parse(struct config *config, const char *file, char *text, size_t length, struct rule_errors *errors) {
    const struct json_input input = {.name = file, .text = text, .length = length, .comments = true};
    return json_read(&input, KEYS, config, errors);
}

/* ------------------------------------------------------------------------------------------------------------ files */

bool config_load(struct config *config, const char *file, bool required, struct rule_errors *errors) {
    struct stat status;
    FILE *stream = fopen(file, "re");
    if (!stream && errno == ENOENT && !required)
        return true;
    if (!stream || fstat(fileno(stream), &status) < 0) {
        errors_add(errors, file, "%s", strerror(errno));
        if (stream)
            fclose(stream);
        return false;
    }
    char *text = S_ISREG(status.st_mode) && status.st_size <= CONFIG_MAX ? malloc(CONFIG_MAX + 1) : NULL;
    size_t length = text ? fread(text, 1, CONFIG_MAX + 1, stream) : 0;
    fclose(stream);
    bool good = text && length <= CONFIG_MAX && config_parse(config, file, text, length, errors);
    if (!text || length > CONFIG_MAX)
        errors_add(errors, file, "expected a regular file of at most %d bytes", CONFIG_MAX);
    free(text);
    return good;
}

bool config_set(char **place, const char *value) {
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return false;
    free(*place);
    *place = copy;
    return true;
}

bool config_add_rules(struct config *config, const char *path) {
    char **rules = realloc(config->rules, (config->rules_count + 1) * sizeof *rules);
    if (!rules)
        return false;
    config->rules = rules;
    rules[config->rules_count] = NULL;
    if (!config_set(&rules[config->rules_count], path))
        return false;
    config->rules_count++;
    return true;
}

void config_clear_rules(struct config *config) {
    for (size_t i = 0; i < config->rules_count; i++)
        free(config->rules[i]);
    free(config->rules);
    config->rules = NULL;
    config->rules_count = 0;
}

bool config_set_bpf(struct config *config, const char *word) {
    for (const struct json_word *w = BPF_WORDS; w->word; w++)
        if (strcmp(word, w->word) == 0) {
            config->bpf = (enum bpf_mode)w->number;
            return true;
        }
    return false;
}

void config_defaults(struct config *config) {
    *config = (struct config){.log_level = LOG_LEVEL_INFO, .journal = getenv("JOURNAL_STREAM") != NULL};
    config->bpf = BPF_AUTO;
    config_set(&config->bpf_dir, PINS_ROOT);
    config_set(&config->run_dir, "/run/weir");
    config_add_rules(config, "/etc/weir/rules.d");
}

void config_clear(struct config *config) {
    config_clear_rules(config);
    free(config->run_dir);
    free(config->group);
    free(config->log_dir);
    free(config->state_dir);
    free(config->bpf_dir);
    free(config->bpf_cgroup);
    *config = (struct config){0};
}
