#include "agent/config.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/core/errors.h"
#include "ebpf/pins.h"
#include "rules/text/json_position.h"
#include "rules/text/reader.h"

enum { CONFIG_MAX = 1 << 20, PLACES_MAX = 1024 };

struct parse {
    struct config *config;
    const char *file, *text;
    size_t length;
    struct json_place places[PLACES_MAX];
    size_t places_count;
    struct rule_errors *errors;
};

static void add_error(struct parse *p, size_t offset, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add_error(struct parse *p, size_t offset, const char *path, const char *format, ...) {
    unsigned line, column;
    va_list arguments;
    json_line_column(p->text, p->length, offset, &line, &column);
    va_start(arguments, format);
    rule_errors_add(p->errors, p->file, line, column, path, format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------------------------------------------------- keys */

/* One value; `place` is its index in the document's order, which the reader of a list needs for its members. */
typedef void key_reader(struct parse *, const char *path, const cJSON *value, size_t place);

static void expected(struct parse *p, const char *path, const cJSON *value, size_t place, const char *what) {
    char *got = cJSON_PrintUnformatted(value);
    add_error(p, p->places[place].value, path, "expected %s, got %.60s", what, got ? got : "something else");
    free(got);
}

static bool absolute(const cJSON *value) {
    return cJSON_IsString(value) && value->valuestring[0] == '/';
}

static void read_run_dir(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (absolute(value))
        config_set(&p->config->run_dir, value->valuestring);
    else
        expected(p, path, value, place, "an absolute path");
}

static void read_log_dir(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (absolute(value) || cJSON_IsNull(value))
        config_set(&p->config->log_dir, cJSON_IsNull(value) ? NULL : value->valuestring);
    else
        expected(p, path, value, place, "an absolute path, or null for no log files");
}

static void read_group(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (cJSON_IsNull(value) || (cJSON_IsString(value) && value->valuestring[0]))
        config_set(&p->config->group, cJSON_IsNull(value) ? NULL : value->valuestring);
    else
        expected(p, path, value, place, "the name of a group, or null for none");
}

static void read_rules(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) == 0) {
        expected(p, path, value, place, "a list of files and directories");
        return;
    }
    const cJSON *member;
    int index = 0;
    config_clear_rules(p->config);
    cJSON_ArrayForEach(member, value) {
        char member_path[32];
        snprintf(member_path, sizeof member_path, "%s[%d]", path, index);
        index++;
        if (absolute(member))
            config_add_rules(p->config, member->valuestring);
        else if (cJSON_IsArray(member) || cJSON_IsObject(member)) { /* its own members would follow it in the order */
            expected(p, path, value, place, "a list of absolute paths");
            return;
        } else
            expected(p, member_path, member, place + (size_t)index, "an absolute path");
    }
}

static void read_bpf(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (!cJSON_IsString(value) || !config_set_bpf(p->config, value->valuestring))
        expected(p, path, value, place, "\"auto\", \"off\" or \"required\"");
}

static void read_bpf_dir(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (absolute(value) || cJSON_IsNull(value))
        config_set(&p->config->bpf_dir, cJSON_IsNull(value) ? NULL : value->valuestring);
    else
        expected(p, path, value, place, "an absolute path, or null for no pins");
}

static void read_bpf_cgroup(struct parse *p, const char *path, const cJSON *value, size_t place) {
    if (absolute(value) || cJSON_IsNull(value))
        config_set(&p->config->bpf_cgroup, cJSON_IsNull(value) ? NULL : value->valuestring);
    else
        expected(p, path, value, place, "an absolute path, or null for the whole host");
}

static void read_log_level(struct parse *p, const char *path, const cJSON *value, size_t place) {
    static const struct {
        const char *word;
        int level;
    } words[] = {{"error", AGENT_LOG_ERROR},
                 {"warning", AGENT_LOG_WARNING},
                 {"info", AGENT_LOG_INFO},
                 {"debug", AGENT_LOG_DEBUG}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (cJSON_IsString(value) && strcmp(value->valuestring, words[i].word) == 0) {
            p->config->log_level = words[i].level;
            return;
        }
    expected(p, path, value, place, "\"error\", \"warning\", \"info\" or \"debug\"");
}

static const struct {
    const char *name;
    key_reader *read;
} KEYS[] = {
    {"runDir", read_run_dir},     {"rules", read_rules}, {"group", read_group},    {"logDir", read_log_dir},
    {"logLevel", read_log_level}, {"bpf", read_bpf},     {"bpfDir", read_bpf_dir}, {"bpfCgroup", read_bpf_cgroup},
};
enum { KEYS_COUNT = sizeof KEYS / sizeof *KEYS };

static void read_key(struct parse *p, const cJSON *value, size_t place) {
    const char *names[KEYS_COUNT];
    char path[80];
    snprintf(path, sizeof path, "$.%.70s", value->string);
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        names[i] = KEYS[i].name;
        if (strcmp(value->string, KEYS[i].name) == 0) {
            KEYS[i].read(p, path, value, place);
            return;
        }
    }
    const char *near = text_nearest(value->string, names, KEYS_COUNT);
    add_error(p, p->places[place].key, path, "unknown key%s%s%s", near ? "; did you mean \"" : "", near ? near : "",
              near ? "\"?" : "");
}

static size_t count_nodes(const cJSON *node) {
    size_t count = 1;
    for (const cJSON *child = node->child; child; child = child->next)
        count += count_nodes(child);
    return count;
}

static void read_all(struct parse *p, const cJSON *root) {
    if (!cJSON_IsObject(root)) {
        expected(p, "$", root, 0, "an object");
        return;
    }
    size_t place = 1;
    for (const cJSON *value = root->child; value; value = value->next) {
        for (const cJSON *earlier = root->child; earlier != value; earlier = earlier->next)
            if (strcmp(earlier->string, value->string) == 0)
                add_error(p, p->places[place].key, "$", "the key \"%.60s\" is there twice", value->string);
        read_key(p, value, place);
        place += count_nodes(value);
    }
}

bool config_parse(struct config *config, const char *file, char *text, size_t length, struct rule_errors *errors) {
    struct parse *p = calloc(1, sizeof *p);
    struct json_fault fault;
    size_t before = errors->count;
    if (!p) {
        errors_add(errors, file, "out of memory");
        return false;
    }
    *p = (struct parse){.config = config, .file = file, .text = text, .length = length, .errors = errors};
    if (!json_blank_comments(text, length, &fault) ||
        !json_scan(text, length, p->places, PLACES_MAX, &p->places_count, &fault)) {
        add_error(p, fault.at, "", "expected %s", fault.expected);
    } else if (p->places_count > PLACES_MAX) {
        errors_add(errors, file, "more than %d values: this is no configuration of weir-agent", PLACES_MAX);
    } else {
        cJSON *root = cJSON_ParseWithLength(text, length);
        if (root)
            read_all(p, root);
        else
            errors_add(errors, file, "out of memory");
        cJSON_Delete(root);
    }
    free(p);
    return errors->count == before;
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
    static const char *const words[] = {
        [AGENT_BPF_OFF] = "off", [AGENT_BPF_AUTO] = "auto", [AGENT_BPF_REQUIRED] = "required"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            config->bpf = (enum agent_bpf)i;
            return true;
        }
    return false;
}

void config_defaults(struct config *config) {
    *config = (struct config){.log_level = AGENT_LOG_INFO, .journal = getenv("JOURNAL_STREAM") != NULL};
    config->bpf = AGENT_BPF_AUTO;
    config_set(&config->bpf_dir, PINS_ROOT);
    config_set(&config->run_dir, "/run/weir");
    config_add_rules(config, "/etc/weir/rules.d");
}

void config_clear(struct config *config) {
    config_clear_rules(config);
    free(config->run_dir);
    free(config->group);
    free(config->log_dir);
    free(config->bpf_dir);
    free(config->bpf_cgroup);
    *config = (struct config){0};
}
