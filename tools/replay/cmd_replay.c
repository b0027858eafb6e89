/* `weir replay`: runs recorded or made-up traces through the rule engine on a virtual clock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/ruleset.h"
#include "tools/cmd.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/replay/replay_calls.h"
#include "tools/replay/replay_rules.h"
#include "tools/replay/replay_summary.h"
#include "tools/rule_files.h"

enum { OPTION_RULES = 'r', OPTION_CHECK = 'c', OPTION_SUMMARY = 's', OPTION_KIND = 'k' };
enum { READ_SIZE = 1 << 20, WRITE_SIZE = 1 << 18, PATH_MAX_BYTES = 4096 };

static const struct option_row rows[] = {
    {OPTION_RULES, "rules", "FILE",
     "the rules: a rules file, or Sentinel's own lists in one object (decided as Sentinel does)"},
    {OPTION_CHECK, "check", NULL, "compare with the decisions in the trace; print the first difference, and totals"},
    {OPTION_SUMMARY, "summary", NULL, "totals by resource, rule and reason instead of the rows"},
    {OPTION_KIND, "kind", "KIND",
     "kind of a bare array of Sentinel's rules: flow, degrade, paramFlow, authority, system"},
    {0},
};
static const struct option_set options = {
    .usage = "weir replay --rules FILE [OPTION]… TRACE.csv…",
    .about = "Runs traces through the rule engine on a virtual clock, and prints them with its decisions.\n"
             "Each trace starts with empty state; - means stdin.\n"
             "Exit status: 0 done, 1 --check found a difference, 2 usage error, invalid rules or a malformed trace.",
    .rows = rows,
    .examples = "  weir replay --rules rules.json trace.csv\n"
                "  weir replay --rules rules.json --summary yesterday.csv\n"
                "  weir replay --rules case.rules.json --check case.trace.csv",
};

struct replay {
    const char *rules_file, *kind;
    bool check, summarise;
    bool header_printed;
    char *out; /* WRITE_SIZE */
    size_t out_used;
    struct trace_args room;
    struct summary summary;
};

struct run { /* of one trace */
    struct replay *replay;
    const char *file;
    uint64_t line, entries, differences;
    struct trace trace;
    struct replay_rules rules;
    struct replay_engine engine;
    struct calls calls;
    struct engine_sample sample;
    struct progress progress;
};

struct answer { /* the three columns that are computed */
    char decision[32], detail[64], wait[32];
    size_t decision_length, detail_length, wait_length;
};

/* -------------------------------------------------------------------------------------------------------- output */

static void flush_out(struct replay *replay) {
    fwrite(replay->out, 1, replay->out_used, stdout);
    replay->out_used = 0;
}

static void put(struct replay *replay, const char *text, size_t length) {
    if (length > WRITE_SIZE - replay->out_used)
        flush_out(replay);
    if (length > WRITE_SIZE) { /* nothing in a trace is: a line is shorter */
        fwrite(text, 1, length, stdout);
        return;
    }
    memcpy(replay->out + replay->out_used, text, length);
    replay->out_used += length;
}

static void put_row(struct replay *replay, const struct trace *trace, const struct trace_row *row,
                    const struct answer *answer) {
    const struct trace_field *first = &row->field[0], *last = &row->field[TRACE_DECISION - 1];
    if (trace->standard) /* they stand side by side already */
        put(replay, first->text, (size_t)(last->text + last->length + 1 - first->text));
    for (int column = 0; !trace->standard && column < TRACE_DECISION; column++) {
        put(replay, row->field[column].text, row->field[column].length);
        put(replay, ",", 1);
    }
    put(replay, answer->decision, answer->decision_length);
    put(replay, ",", 1);
    put(replay, answer->wait, answer->wait_length);
    put(replay, ",", 1);
    put(replay, answer->detail, answer->detail_length);
    put(replay, ",\n", 2);
}

static void trace_error(const struct run *run, size_t column, const char *reason, struct trace_field what) {
    char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, reason, (int)what.length, what.text);
#pragma GCC diagnostic pop
    output_text(stderr, "%s:%" PRIu64 ":%zu: error: %s", run->file, run->line, column, text);
}

/* ------------------------------------------------------------------------------------------------------- answers */

static const char *kind_name(const void *ruleset, const struct rule *rule) {
    static const char *const names[RULE_KINDS] = {
        [RULE_AUTHORITY] = "authority", [RULE_PARAM] = "param",         [RULE_GATEWAY] = "gateway",
        [RULE_FLOW] = "flow",           [RULE_ISOLATION] = "isolation", [RULE_DEGRADE] = "degrade",
        [RULE_SYSTEM] = "system",       [RULE_ADAPTIVE] = "adaptive",
    };
    if (rule->kind == RULE_DEGRADE && rule->match != MATCH_REGEX && !strcmp(ruleset_text(ruleset, rule->resource), "*"))
        return "defaultDegrade";
    return names[rule->kind];
}

static size_t detail_of(const struct run *run, const struct engine_result *decision, char *ret_text, size_t size) {
    static const char *const system[] = {
        [SYSTEM_QPS] = "qps", [SYSTEM_THREAD] = "thread", [SYSTEM_RT] = "rt",
        [SYSTEM_CPU] = "cpu", [SYSTEM_LOAD] = "load",
    };
    const void *ruleset = run->rules.ruleset;
    if (decision->verdict != ENGINE_BLOCK)
        return 0;
    if (decision->reason == REASON_SYSTEM && decision->detail < sizeof system / sizeof *system)
        return (size_t)snprintf(ret_text, size, "%s", system[decision->detail]);
    if (decision->rule >= ruleset_head(ruleset)->rules_count)
        return 0;
    const struct rule *rule = &ruleset_rules(ruleset)[decision->rule];
    return (size_t)snprintf(ret_text, size, "%s#%" PRIu32, kind_name(ruleset, rule), rule->index);
}

static void answer_of(const struct run *run, const struct engine_result *decision, struct answer *ret_answer) {
    static const char *const words[REASONS] = {
        [REASON_NONE] = "block",          [REASON_AUTHORITY] = "block:authority", [REASON_PARAM] = "block:param",
        [REASON_FLOW] = "block:flow",     [REASON_ISOLATION] = "block:isolation", [REASON_DEGRADE] = "block:degrade",
        [REASON_SYSTEM] = "block:system", [REASON_ADAPTIVE] = "block:adaptive",
    };
    const char *word = "pass";
    if (decision->verdict == ENGINE_BLOCK)
        word = words[decision->reason < REASONS ? decision->reason : REASON_NONE];
    ret_answer->decision_length = strlen(word);
    memcpy(ret_answer->decision, word, ret_answer->decision_length);
    ret_answer->wait_length = trace_print_ms(decision->wait_ns, ret_answer->wait);
    ret_answer->detail_length = detail_of(run, decision, ret_answer->detail, sizeof ret_answer->detail);
}

static bool same(struct trace_field field, const char *text, size_t length) {
    return field.length == length && !memcmp(field.text, text, length);
}

static void check_row(struct run *run, const struct trace_row *row, const struct answer *answer) {
    const struct trace_field *field = row->field;
    if (same(field[TRACE_DECISION], answer->decision, answer->decision_length) &&
        same(field[TRACE_WAIT_MS], answer->wait, answer->wait_length) &&
        same(field[TRACE_DETAIL], answer->detail, answer->detail_length))
        return;
    if (run->differences++)
        return;
    output_text(stdout, "%s:%" PRIu64 ": first difference, call %.*s at %.*s:", run->file, run->line,
                (int)field[TRACE_ID].length, field[TRACE_ID].text, (int)field[TRACE_T_MS].length,
                field[TRACE_T_MS].text);
    output_text(stdout, "  trace:  %.*s, wait %.*s ms, %.*s", (int)field[TRACE_DECISION].length,
                field[TRACE_DECISION].text, (int)field[TRACE_WAIT_MS].length, field[TRACE_WAIT_MS].text,
                (int)field[TRACE_DETAIL].length, field[TRACE_DETAIL].text);
    printf("  replay: %.*s, wait %.*s ms, %.*s\n", (int)answer->decision_length, answer->decision,
           (int)answer->wait_length, answer->wait, (int)answer->detail_length, answer->detail);
    if (field[TRACE_DBG].length)
        output_text(stdout, "  state after it, as recorded: %.*s", (int)field[TRACE_DBG].length, field[TRACE_DBG].text);
}

static void sum_up(struct run *run, const struct trace_row *row, const struct engine_result *decision,
                   const struct answer *answer) {
    struct summary *summary = &run->replay->summary;
    struct summary_row *resource = summary_row(summary, &summary->resources, row->field[TRACE_RESOURCE].text,
                                               row->field[TRACE_RESOURCE].length);
    bool block = decision->verdict == ENGINE_BLOCK;
    resource->entries++;
    resource->passed += !block;
    resource->blocked += block;
    resource->waited += decision->wait_ns > 0;
    resource->wait_ns += decision->wait_ns;
    summary->simulated += decision->simulated;
    if (!block)
        return;
    if (answer->detail_length)
        summary_row(summary, &summary->rules, answer->detail, answer->detail_length)->blocked++;
    summary_row(summary, &summary->reasons, answer->decision, answer->decision_length)->blocked++;
}

/* -------------------------------------------------------------------------------------------------------- events */

static struct trace_fault fault_at(const char *line, struct trace_field field, const char *reason) {
    return (struct trace_fault){(size_t)(field.text - line) + 1, reason, field};
}

/* The arguments' faults count from the field they stand in. */
static void move_fault(struct trace_fault *fault, const char *line, struct trace_field field) {
    fault->column += (size_t)(field.text - line);
}

static bool do_entry(struct run *run, const char *line, const struct trace_row *row, struct answer *answer,
                     struct trace_fault *fault) {
    struct replay *replay = run->replay;
    const struct trace_field *field = row->field;
    uint64_t id = calls_id(field[TRACE_ID].text, field[TRACE_ID].length);
    struct engine_ticket ticket;
    struct engine_result decision;
    uint32_t known = calls_find(&run->calls, id);
    if (known != CALL_UNKNOWN && known != CALL_BLOCKED) {
        *fault = fault_at(line, field[TRACE_ID], "call \"%.*s\" is still in flight");
        return false;
    }
    if (known == CALL_BLOCKED)
        calls_remove(&run->calls, id);
    int args = trace_args(field[TRACE_ARGS], &replay->room, fault);
    if (args < 0) {
        move_fault(fault, line, field[TRACE_ARGS]);
        return false;
    }
    struct engine_request request = {
        .side = row->inbound ? SIDE_INBOUND : SIDE_OUTBOUND,
        .priority = PRIORITY_NORMAL,
        .prioritized = row->prioritized,
        .acquire = row->acquire,
        .origin = field[TRACE_ORIGIN].text,
        .origin_length = field[TRACE_ORIGIN].length,
        .entrance = field[TRACE_CONTEXT].text,
        .entrance_length = field[TRACE_CONTEXT].length,
        .args = replay->room.values,
        .args_count = (uint32_t)args,
    };
    replay_engine_enter(&run->engine, row->now_ns, &request, field[TRACE_RESOURCE], &ticket, &decision);
    if (!calls_add(&run->calls, id, decision.verdict == ENGINE_BLOCK ? NULL : &ticket)) {
        *fault = (struct trace_fault){1, "not enough memory for the calls in flight", {"", 0}};
        return false;
    }
    answer_of(run, &decision, answer);
    run->entries++;
    if (replay->summarise)
        sum_up(run, row, &decision, answer);
    return true;
}

/* A call that was blocked here may have passed where the trace comes from: its exit has nothing to end. */
static bool do_exit(struct run *run, const char *line, const struct trace_row *row, struct trace_fault *fault) {
    const struct trace_field *field = row->field;
    uint64_t id = calls_id(field[TRACE_ID].text, field[TRACE_ID].length);
    uint32_t known = calls_find(&run->calls, id);
    if (known == CALL_UNKNOWN) {
        *fault = fault_at(line, field[TRACE_ID], "unknown call \"%.*s\": no entry with this id is in flight");
        return false;
    }
    if (known != CALL_BLOCKED) {
        struct engine_ticket *ticket = &run->calls.tickets[known];
        int64_t rt_ms = (int64_t)(row->now_ns / 1000000) - (int64_t)(ticket->start_ns / 1000000);
        if (row->rt_ms >= 0 && row->rt_ms != rt_ms) /* as recorded, whatever the rows' times say */
            ticket->start_ns = row->now_ns - (uint64_t)row->rt_ms * 1000000;
        if (run->replay->summarise) {
            struct summary *summary = &run->replay->summary;
            struct summary_row *resource = summary_row(summary, &summary->resources, field[TRACE_RESOURCE].text,
                                                       field[TRACE_RESOURCE].length);
            resource->exits++;
            resource->errors += row->error;
            resource->rt_ms += (uint64_t)(row->rt_ms >= 0 ? row->rt_ms : rt_ms);
        }
        replay_engine_exit(&run->engine, ticket, row->now_ns, row->error);
    }
    calls_remove(&run->calls, id);
    return true;
}

/* The file stands beside the trace, or where its path says. */
static bool do_rules(struct run *run, const char *line, const struct trace_row *row, struct trace_fault *fault) {
    struct trace_field name = row->field[TRACE_ARGS];
    const char *slash = strrchr(run->file, '/');
    char path[PATH_MAX_BYTES];
    struct rule_errors errors = {0};
    size_t directory = name.length && name.text[0] == '/' ? 0 : slash ? (size_t)(slash - run->file) + 1 : 0;
    if (!name.length || directory + name.length >= sizeof path) {
        *fault = fault_at(line, name, "expected the name of a rules file");
        return false;
    }
    snprintf(path, sizeof path, "%.*s%.*s", (int)directory, run->file, (int)name.length, name.text);
    bool good = replay_rules_load(&run->rules, path, &errors);
    rule_files_report(&errors);
    rule_errors_clear(&errors);
    if (!good) {
        *fault = fault_at(line, name, "these rules cannot be loaded: \"%.*s\"");
        return false;
    }
    if (replay_engine_adopt(&run->engine, &run->rules) < 0) {
        *fault = fault_at(line, name, "the engine has no room for these rules: \"%.*s\"");
        return false;
    }
    return true;
}

static bool do_row(struct run *run, const char *line, const struct trace_row *row, struct trace_fault *fault) {
    struct answer answer = {.decision_length = 0};
    bool good = true;
    switch (row->event) {
    case TRACE_ENTRY: good = do_entry(run, line, row, &answer, fault); break;
    case TRACE_EXIT: good = do_exit(run, line, row, fault); break;
    case TRACE_RULES: good = do_rules(run, line, row, fault); break;
    case TRACE_SYS:
        good = trace_sample(row->field[TRACE_ARGS], &run->sample, fault);
        if (good)
            replay_engine_sample(&run->engine, row->now_ns, &run->sample);
        else
            move_fault(fault, line, row->field[TRACE_ARGS]);
    }
    if (!good)
        return false;
    run->replay->summary.events++;
    if (run->replay->check)
        check_row(run, row, &answer);
    else if (!run->replay->summarise)
        put_row(run->replay, &run->trace, row, &answer);
    return true;
}

static bool do_line(struct run *run, const char *line, size_t length) {
    struct trace_row row;
    struct trace_fault fault;
    run->line++;
    if (run->line == 1 && length >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) { /* as some editors begin a file */
        line += 3;
        length -= 3;
    }
    switch (trace_line(&run->trace, line, length, &row, &fault)) {
    case TRACE_LINE_ROW:
        if (do_row(run, line, &row, &fault))
            return true;
        break;
    case TRACE_LINE_HEADER:
        if (run->replay->check && run->trace.column_of[TRACE_DECISION] < 0) {
            fault = (struct trace_fault){length + 1, "the trace has no column decision to check against", {"", 0}};
            break;
        }
        if (!run->replay->check && !run->replay->summarise && !run->replay->header_printed)
            put(run->replay, TRACE_HEADER "\n", sizeof TRACE_HEADER);
        run->replay->header_printed = true;
        return true;
    case TRACE_LINE_WRONG: break;
    }
    trace_error(run, fault.column, fault.reason, fault.what);
    return false;
}

/* -------------------------------------------------------------------------------------------------------- a trace */

/* Bytes of a regular file; 0: not known beforehand. */
static uint64_t size_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

/* All lines of the file; a last one without LF counts. */
static bool do_lines(struct run *run, int fd) {
    uint64_t size = size_of(fd), done = 0;
    char *buffer = malloc(READ_SIZE);
    size_t used = 0;
    bool good = buffer != NULL;
    for (ssize_t got = 1; good && got > 0;) {
        got = read(fd, buffer + used, READ_SIZE - used);
        if (got < 0) {
            output_text(stderr, "%s: error: cannot be read: %s", run->file, strerror(errno));
            good = false;
            break;
        }
        used += (size_t)got;
        done += (size_t)got;
        progress_step(&run->progress, size ? done : run->line, size);
        char *line = buffer, *end = buffer + used, *newline;
        while (good && (newline = memchr(line, '\n', (size_t)(end - line)))) {
            good = do_line(run, line, (size_t)(newline - line));
            line = newline + 1;
        }
        size_t left = (size_t)(end - line);
        if (good && left && (got == 0 || left > TRACE_LINE_MAX)) {
            good = do_line(run, line, left);
            left = 0;
        }
        memmove(buffer, end - left, left);
        used = left;
    }
    if (good && run->line == 0) {
        output_text(stderr, "%s:1:1: error: the trace is empty: expected the header " TRACE_HEADER, run->file);
        good = false;
    }
    free(buffer);
    return good;
}

static int open_trace(const char *file) {
    struct stat status;
    if (!strcmp(file, "-"))
        return STDIN_FILENO;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        output_text(stderr, "%s: error: cannot be opened: %s", file, strerror(errno));
    else if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        output_text(stderr, "%s: error: is a directory; expected a trace", file);
        close(fd);
        fd = -1;
    }
    return fd;
}

static int replay_trace(struct replay *replay, const char *file) {
    struct run run = {.replay = replay, .file = strcmp(file, "-") ? file : "<stdin>", .sample = {-1, -1, -1, 0}};
    struct rule_errors errors = {0};
    int status = CMD_USAGE;
    run.rules.kind = replay->kind;
    bool loaded = replay_rules_load(&run.rules, replay->rules_file, &errors);
    rule_files_report(&errors);
    rule_errors_clear(&errors);
    if (loaded) {
        int error = replay_engine_open(&run.engine, &run.rules);
        if (error < 0) {
            output_error("the engine cannot take these rules: %s", strerror(-error));
            status = CMD_FAILED;
        } else {
            int fd = open_trace(file);
            bool prints = !replay->check && !replay->summarise && isatty(STDOUT_FILENO);
            progress_begin(&run.progress, run.file, "rows", prints);
            if (fd >= 0 && do_lines(&run, fd))
                status = run.differences ? CMD_FAILED : CMD_DONE;
            progress_end(&run.progress);
            if (fd > STDIN_FILENO)
                close(fd);
        }
        if (replay->check && status != CMD_USAGE)
            output_text(stdout, "%s: %" PRIu64 " rows, %" PRIu64 " entries, %" PRIu64 " rows differ", run.file,
                        run.line - 1, run.entries, run.differences);
    }
    flush_out(replay);
    replay_engine_close(&run.engine);
    replay_rules_free(&run.rules);
    calls_free(&run.calls);
    return status;
}

static int replay_all(struct replay *replay, int count, char **files) {
    int worst = CMD_DONE;
    replay->out = malloc(WRITE_SIZE);
    replay->room = (struct trace_args){calloc(TRACE_ARGS_MAX, sizeof(struct engine_value)),
                                       calloc(TRACE_ARGS_MAX, sizeof(struct engine_value)), malloc(TRACE_TEXT_MAX)};
    if (!replay->out || !replay->room.values || !replay->room.elements || !replay->room.text) {
        output_error("not enough memory");
        worst = CMD_FAILED;
        count = 0;
    }
    for (int i = 0; i < count; i++) {
        int status = replay_trace(replay, files[i]);
        if (status > worst)
            worst = status;
    }
    if (replay->summarise && worst != CMD_USAGE)
        summary_print(&replay->summary);
    summary_free(&replay->summary);
    free(replay->out);
    free(replay->room.values);
    free(replay->room.elements);
    free(replay->room.text);
    return worst;
}

int cmd_replay(int argc, char **argv) {
    struct replay replay = {0};
    int key;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        switch (key) {
        case OPTION_RULES: replay.rules_file = optarg; break;
        case OPTION_CHECK: replay.check = true; break;
        case OPTION_SUMMARY: replay.summarise = true; break;
        case OPTION_KIND: replay.kind = optarg; break;
        default: return OPTIONS_STATUS(key);
        }
    }
    if (!replay.rules_file || optind >= argc) {
        output_error("expected --rules FILE and at least one trace; see --help");
        return CMD_USAGE;
    }
    return replay_all(&replay, argc - optind, argv + optind);
}
