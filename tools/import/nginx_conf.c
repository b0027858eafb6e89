#include "tools/import/nginx_conf.h"

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 64 << 10, WORDS_MAX = 4096, ALIGN = 16 };

struct memory {
    struct memory *next;
    size_t used, size;
    _Alignas(ALIGN) char bytes[];
};

struct nginx_conf {
    struct memory *memory;
    struct nginx_node *root;
    struct nginx_error *error;
    size_t nodes, bytes;
    const char *main_file;                     /* NULL: includes are left as they are */
    const char *open[NGINX_CONF_INCLUDES_MAX]; /* the files that include one another now */
    unsigned open_count;
    bool failed;
};

struct lexer {
    struct nginx_conf *conf;
    const char *file, *at, *end;
    unsigned line, column;
    unsigned depth;
};

enum token { TOKEN_WORD, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END, TOKEN_BAD };

void *nginx_conf_memory(struct nginx_conf *conf, size_t size) {
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (!conf->memory || conf->memory->size - conf->memory->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        struct memory *memory = calloc(1, sizeof(*memory) + room);
        if (!memory)
            return NULL;
        *memory = (struct memory){.next = conf->memory, .size = room};
        conf->memory = memory;
    }
    void *bytes = conf->memory->bytes + conf->memory->used;
    conf->memory->used += size;
    return bytes;
}

static const char *copy(struct nginx_conf *conf, const char *text, size_t length) {
    char *bytes = nginx_conf_memory(conf, length + 1);
    if (bytes)
        memcpy(bytes, text, length);
    return bytes;
}

/* The first one counts: what follows may be its consequence. */
static void __attribute__((format(printf, 5, 6)))
fail(struct nginx_conf *conf, const char *file, unsigned line, unsigned column, const char *format, ...) {
    va_list arguments;
    if (conf->failed)
        return;
    conf->failed = true;
    snprintf(conf->error->file, sizeof(conf->error->file), "%s", file);
    conf->error->line = line;
    conf->error->column = column;
    va_start(arguments, format);
    vsnprintf(conf->error->message, sizeof(conf->error->message), format, arguments);
    va_end(arguments);
}

static void no_memory(const struct lexer *lexer) {
    fail(lexer->conf, lexer->file, lexer->line, 0, "not enough memory");
}

/* -------------------------------------------------------------------------------------------------------- words */

static void step(struct lexer *lexer) {
    if (*lexer->at++ == '\n') {
        lexer->line++;
        lexer->column = 0;
    }
    lexer->column++;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct lexer *lexer) {
    while (lexer->at < lexer->end) {
        if (*lexer->at == '#')
            while (lexer->at < lexer->end && *lexer->at != '\n')
                step(lexer);
        else if (is_space(*lexer->at))
            step(lexer);
        else
            return;
    }
}

/* What nginx takes a backslash and this for, or 0: both stay. */
static char escaped(char c) {
    static const char from[] = "\"'\\trn", to[] = "\"'\\\t\r\n";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : 0;
}

/* Where a word without quotes ends.  `${name}` does not begin a block. */
static bool ends_word(const struct lexer *lexer, const char *begin) {
    char c = *lexer->at;
    return is_space(c) || c == ';' || (c == '{' && (lexer->at == begin || lexer->at[-1] != '$'));
}

static bool ends_well(const struct lexer *lexer) {
    return lexer->at == lexer->end || is_space(*lexer->at) || strchr(";{)", *lexer->at);
}

static enum token read_word(struct lexer *lexer, const char **ret_word) {
    unsigned line = lexer->line, column = lexer->column;
    char quote = *lexer->at == '"' || *lexer->at == '\'' ? *lexer->at : 0;
    if (quote)
        step(lexer);
    const char *begin = lexer->at;
    size_t length = 0;
    char *word = malloc((size_t)(lexer->end - lexer->at) < BLOCK ? (size_t)(lexer->end - lexer->at) + 1 : BLOCK + 1);
    while (word && lexer->at < lexer->end && length < BLOCK &&
           !(quote ? *lexer->at == quote : ends_word(lexer, begin))) {
        char plain = *lexer->at == '\\' && lexer->at + 1 < lexer->end ? escaped(lexer->at[1]) : 0;
        bool pair = *lexer->at == '\\' && lexer->at + 1 < lexer->end;
        if (pair && !plain && length < BLOCK - 1) {
            word[length++] = '\\';
            step(lexer);
        } else if (plain) {
            step(lexer);
        }
        word[length++] = plain ? plain : *lexer->at;
        step(lexer);
    }
    *ret_word = word ? copy(lexer->conf, word, length) : NULL;
    free(word);
    if (!*ret_word)
        no_memory(lexer);
    else if (length >= BLOCK)
        fail(lexer->conf, lexer->file, line, column, "a word of more than 64 KiB: is a quote missing?");
    else if (quote && lexer->at == lexer->end)
        fail(lexer->conf, lexer->file, line, column, "a quoted text that does not end: its closing %c is missing",
             quote);
    else if (quote)
        step(lexer);
    if (quote && !lexer->conf->failed && !ends_well(lexer))
        fail(lexer->conf, lexer->file, lexer->line, lexer->column, "expected a blank or ';' behind a quoted text");
    return lexer->conf->failed ? TOKEN_BAD : TOKEN_WORD;
}

static enum token next_token(struct lexer *lexer, const char **ret_word) {
    skip_blanks(lexer);
    if (lexer->at == lexer->end)
        return TOKEN_END;
    switch (*lexer->at) {
    case ';': step(lexer); return TOKEN_SEMICOLON;
    case '{': step(lexer); return TOKEN_OPEN;
    case '}': step(lexer); return TOKEN_CLOSE;
    default: return read_word(lexer, ret_word);
    }
}

/* ----------------------------------------------------------------------------------------------------- directives */

/* Code of another language, as in content_by_lua_block: up to the brace that closes it. */
static void skip_code(struct lexer *lexer, const struct nginx_node *node) {
    unsigned depth = 1;
    while (lexer->at < lexer->end && depth) {
        depth += *lexer->at == '{';
        depth -= *lexer->at == '}';
        step(lexer);
    }
    if (depth)
        fail(lexer->conf, lexer->file, node->line, node->column, "the block of %.60s does not end: a '}' is missing",
             node->words[0]);
}

static bool is_code(const struct nginx_node *node) {
    size_t length = strlen(node->words[0]);
    return length > 13 && strcmp(node->words[0] + length - 13, "_by_lua_block") == 0;
}

static struct nginx_node *new_node(struct lexer *lexer, const char **words, size_t count, unsigned line,
                                   unsigned column) {
    struct nginx_node *node = nginx_conf_memory(lexer->conf, sizeof(*node));
    const char **list = nginx_conf_memory(lexer->conf, (count + 1) * sizeof(*list));
    if (!node || !list) {
        no_memory(lexer);
        return NULL;
    }
    memcpy(list, words, count * sizeof(*list));
    *node = (struct nginx_node){.file = lexer->file, .line = line, .column = column, .words = list, .count = count};
    if (++lexer->conf->nodes > NGINX_CONF_NODES_MAX)
        fail(lexer->conf, lexer->file, line, column, "more than %d directives", NGINX_CONF_NODES_MAX);
    return node;
}

/* The words of the next directive, up to what ends them.  0: there is none, `ret_end` says what is there instead. */
static size_t read_words(struct lexer *lexer, const char **words, enum token *ret_end) {
    size_t count = 0;
    while ((*ret_end = next_token(lexer, &words[count])) == TOKEN_WORD)
        if (++count == WORDS_MAX) {
            fail(lexer->conf, lexer->file, lexer->line, lexer->column, "more than %d words without a ';'", WORDS_MAX);
            *ret_end = TOKEN_BAD;
            return 0;
        }
    return count;
}

static struct nginx_node **read_list(struct lexer *lexer, struct nginx_node **tail, const struct nginx_node *within);

static void read_block(struct lexer *lexer, struct nginx_node *node) {
    node->block = true;
    if (is_code(node)) {
        skip_code(lexer, node);
        return;
    }
    if (++lexer->depth > NGINX_CONF_DEPTH_MAX)
        fail(lexer->conf, lexer->file, node->line, node->column, "more than %d blocks within one another",
             NGINX_CONF_DEPTH_MAX);
    else
        read_list(lexer, &node->children, node);
    lexer->depth--;
}

static struct nginx_node **include(struct lexer *lexer, const struct nginx_node *node, struct nginx_node **tail);

/* The next directive, behind `tail`; false: there is none, or none can be read. */
static bool read_directive(struct lexer *lexer, const char **words, struct nginx_node ***tail,
                           const struct nginx_node *within) {
    enum token end;
    skip_blanks(lexer);
    unsigned line = lexer->line, column = lexer->column;
    size_t count = read_words(lexer, words, &end);
    if (end == TOKEN_BAD)
        return false;
    if (!count && end == TOKEN_CLOSE && within)
        return false;
    if (!count && end == TOKEN_END) {
        if (within)
            fail(lexer->conf, within->file, within->line, within->column,
                 "the block of %.60s does not end: a '}' is missing", within->words[0]);
        return false;
    }
    if (!count || end == TOKEN_CLOSE || end == TOKEN_END) {
        static const char *const shown[] = {"", "';'", "'{'", "'}'", "end of the file"};
        fail(lexer->conf, lexer->file, lexer->line, lexer->column, "unexpected %s%s", shown[end],
             count ? ": a ';' is missing before it" : "");
        return false;
    }
    struct nginx_node *node = new_node(lexer, words, count, line, column);
    if (!node || lexer->conf->failed)
        return false;
    if (end == TOKEN_OPEN)
        read_block(lexer, node);
    if (strcmp(words[0], "include") == 0 && !node->block && lexer->conf->main_file) {
        *tail = include(lexer, node, *tail);
    } else {
        **tail = node;
        *tail = &node->next;
    }
    return !lexer->conf->failed;
}

/* Returns the new end of the list. */
static struct nginx_node **read_list(struct lexer *lexer, struct nginx_node **tail, const struct nginx_node *within) {
    const char **words = malloc((WORDS_MAX + 1) * sizeof(*words));
    if (!words)
        no_memory(lexer);
    while (words && read_directive(lexer, words, &tail, within))
        continue;
    free(words);
    return tail;
}

/* -------------------------------------------------------------------------------------------------------- files */

static char *read_file(struct nginx_conf *conf, const char *path, const struct nginx_node *from, size_t *ret_length) {
    FILE *file = fopen(path, "re");
    const char *place = from ? from->file : path;
    unsigned line = from ? from->line : 0, column = from ? from->column : 0;
    size_t room = NGINX_CONF_BYTES_MAX - conf->bytes;
    if (!file) {
        fail(conf, place, line, column, "%s%.200s: %m", from ? "cannot read the included file " : "cannot read ", path);
        return NULL;
    }
    struct stat status;
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        fail(conf, place, line, column, "%.200s is no ordinary file", path);
        fclose(file);
        return NULL;
    }
    char *text = malloc(room + 1);
    *ret_length = text ? fread(text, 1, room + 1, file) : 0;
    if (!text)
        fail(conf, place, line, column, "not enough memory for %.200s", path);
    else if (ferror(file))
        fail(conf, place, line, column, "cannot read %.200s: %m", path);
    else if (*ret_length > room)
        fail(conf, place, line, column, "more than %d MiB of configuration in all", NGINX_CONF_BYTES_MAX >> 20);
    fclose(file);
    if (conf->failed) {
        free(text);
        return NULL;
    }
    conf->bytes += *ret_length;
    return text;
}

static struct nginx_node **read_text(struct nginx_conf *conf, const char *file, const char *text, size_t length,
                                     unsigned depth, struct nginx_node **tail) {
    struct lexer lexer = {
        .conf = conf, .file = file, .at = text, .end = text + length, .line = 1, .column = 1, .depth = depth};
    const char *zero = memchr(text, 0, length);
    if (zero) {
        unsigned line = 1;
        for (const char *at = text; at < zero; at++)
            line += *at == '\n';
        fail(conf, file, line, 0, "a NUL byte: this is no text");
        return tail;
    }
    return read_list(&lexer, tail, NULL);
}

static struct nginx_node **include_file(struct lexer *lexer, const char *path, const struct nginx_node *node,
                                        struct nginx_node **tail) {
    struct nginx_conf *conf = lexer->conf;
    size_t length = 0;
    for (unsigned i = 0; i < conf->open_count; i++)
        if (strcmp(conf->open[i], path) == 0)
            fail(conf, node->file, node->line, node->column, "%.200s includes itself", path);
    if (conf->open_count == NGINX_CONF_INCLUDES_MAX)
        fail(conf, node->file, node->line, node->column, "more than %d files include one another",
             NGINX_CONF_INCLUDES_MAX);
    if (conf->failed)
        return tail;
    const char *name = copy(conf, path, strlen(path));
    char *text = name ? read_file(conf, name, node, &length) : NULL;
    if (!text)
        return tail;
    conf->open[conf->open_count++] = name;
    tail = read_text(conf, name, text, length, lexer->depth, tail);
    conf->open_count--;
    free(text);
    return tail;
}

/* Its name as a path: relative to the folder of the main file. */
static bool path_of(const struct nginx_conf *conf, const char *name, char *ret_path, size_t size) {
    const char *slash = strrchr(conf->main_file, '/');
    int folder = name[0] != '/' && slash ? (int)(slash - conf->main_file) + 1 : 0;
    return (size_t)snprintf(ret_path, size, "%.*s%s", folder, conf->main_file, name) < size;
}

static struct nginx_node **include(struct lexer *lexer, const struct nginx_node *node, struct nginx_node **tail) {
    char path[4096];
    if (node->count != 2 || !path_of(lexer->conf, node->words[1], path, sizeof(path))) {
        fail(lexer->conf, node->file, node->line, node->column, "include: expected the name of one file or pattern");
        return tail;
    }
    if (!strpbrk(path, "*?["))
        return include_file(lexer, path, node, tail);
    glob_t found = {0};
    int error = glob(path, 0, NULL, &found);
    if (error && error != GLOB_NOMATCH)
        fail(lexer->conf, node->file, node->line, node->column, "include: %.200s cannot be looked through", path);
    for (size_t i = 0; !error && i < found.gl_pathc && !lexer->conf->failed; i++)
        tail = include_file(lexer, found.gl_pathv[i], node, tail);
    globfree(&found);
    return tail;
}

struct nginx_conf *nginx_conf_parse(const char *file, const char *text, size_t length, struct nginx_error *ret_error) {
    struct nginx_conf *conf = calloc(1, sizeof(*conf));
    *ret_error = (struct nginx_error){0};
    if (!conf) {
        snprintf(ret_error->message, sizeof(ret_error->message), "not enough memory");
        return NULL;
    }
    conf->error = ret_error;
    conf->main_file = file ? copy(conf, file, strlen(file)) : NULL;
    conf->bytes = length;
    const char *name = conf->main_file ? conf->main_file : "<stdin>";
    conf->open[conf->open_count++] = name;
    if (length > NGINX_CONF_BYTES_MAX)
        fail(conf, name, 0, 0, "more than %d MiB of configuration", NGINX_CONF_BYTES_MAX >> 20);
    else if (file && !conf->main_file)
        fail(conf, name, 0, 0, "not enough memory");
    else
        read_text(conf, name, text, length, 0, &conf->root);
    if (!conf->failed)
        return conf;
    nginx_conf_free(conf);
    return NULL;
}

struct nginx_node *nginx_conf_root(const struct nginx_conf *conf) {
    return conf->root;
}

void nginx_conf_free(struct nginx_conf *conf) {
    if (!conf)
        return;
    for (struct memory *next, *memory = conf->memory; memory; memory = next) {
        next = memory->next;
        free(memory);
    }
    free(conf);
}

struct nginx_node *nginx_node_find(struct nginx_node *node, const char *name) {
    while (node && strcmp(node->words[0], name) != 0)
        node = node->next;
    return node;
}
