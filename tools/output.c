#include "tools/output.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/table.h"
#include "tools/text.h"

enum { MESSAGE_INDENT = 4 };

static const char *command;
static void (*inherited_sigpipe)(int);

void output_start(void) {
    inherited_sigpipe = signal(SIGPIPE, SIG_IGN);
}

void output_restore_signals(void) {
    signal(SIGPIPE, inherited_sigpipe);
}

void output_command(const char *name) {
    command = name;
}

/* ------------------------------------------------------------------------------------------------------- transient */

static bool transient_shown;

bool output_transient_is_possible(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void output_transient(const char *text) {
    if (transient_shown || (text && *text))
        dprintf(STDERR_FILENO, "\r\33[K%s", text ? text : "");
    transient_shown = text && *text;
}

/* -------------------------------------------------------------------------------------------------------- messages */

/* What names, paths and rules from outside may hold does nothing to a person's terminal. */
void output_text(FILE *stream, const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (!text)
        return;
    text_clean(text);
    output_transient(NULL);
    text_fold(stream, text, (size_t)output_width(stream), 0, text_indent(text));
    free(text);
}

void output_table(const struct table *table, const char *otherwise) {
    char titles[200];
    int width = output_width(stdout);
    if (!table || table_rows(table) == 0) {
        output_text(stdout, "%s", otherwise);
        return;
    }
    table_print(table, stdout, width, 0, output_colour(stdout));
    table_left_out(table, width, titles, sizeof titles);
    if (*titles)
        output_text(stdout, "(no room here for %s: widen the terminal, or use --json)", titles);
}

/* What it takes is a line where stderr goes to a file, and as many as it needs on a terminal. */
static char *message(const char *text) {
    char *lines = NULL, *whole = NULL;
    size_t size;
    FILE *stream = open_memstream(&lines, &size);
    if (stream && asprintf(&whole, "weir%s%s: %s", command ? " " : "", command ? command : "", text) >= 0)
        text_fold(stream, whole, (size_t)output_width(stderr), 0, MESSAGE_INDENT);
    if (stream)
        fclose(stream);
    free(whole);
    return lines;
}

/* One write for the whole of it: the program under `weir run` uses the same stderr. */
static void say(const char *format, va_list args) {
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return;
    text_clean(text);
    char *lines = message(text);
    output_transient(NULL);
    fflush(stdout);
    dprintf(STDERR_FILENO, "%s", lines ? lines : text);
    free(lines);
    free(text);
}

void output_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void output_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void output_json(FILE *stream, const cJSON *value) {
    char *text = isatty(fileno(stream)) ? cJSON_Print(value) : cJSON_PrintUnformatted(value);
    if (!text) {
        output_error("no memory for the JSON text");
        return;
    }
    fprintf(stream, "%s\n", text);
    free(text);
}

/* A write that failed on the way has left no error number behind. */
static bool reader_is_gone(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int output_finish(int status) {
    errno = 0;
    bool failed = fflush(stdout) != 0;
    int error = errno;
    failed = ferror(stdout) || failed;
    if (!failed)
        return status;
    if (error != EPIPE && !reader_is_gone())
        output_error("cannot write the output%s%s", error ? ": " : "", error ? strerror(error) : "");
    return status == CMD_DONE ? CMD_FAILED : status;
}

bool output_colour(FILE *stream) {
    const char *term = getenv("TERM"), *refused = getenv("NO_COLOR");
    return isatty(fileno(stream)) && term && *term && strcmp(term, "dumb") != 0 && !(refused && *refused);
}

int output_width(FILE *stream) {
    struct winsize size;
    if (!isatty(fileno(stream)))
        return 0;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}
