/* Bar H2: whatever the split, the pipelining, the read size and the way of waiting, an admitted request's bytes reach
 * the application unchanged and in order, each rejected one is answered exactly once and in its place, and nobody waits
 * for what has been there all along.  STREAM_CASES sets how many cases, STREAM_SEED the first one. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/simulated_socket.h"
#include "shim/protocol/http1/http1.h"
#include "tests/unit/suite.h"

#ifdef __SANITIZE_ADDRESS__
enum { CASES = 5000 };
#else
enum { CASES = 100000 };
#endif
enum { REQUESTS_MAX = 160, TEXT_MAX = 1 << 20 };

enum waiting { BLOCKING, LEVEL, EDGE, EDGE_SHORT };

struct request {
    size_t start, head_end, end; /* in the client's bytes */
    bool passes, ends_connection;
    size_t answer_at, answer_size; /* the response or our answer, in `answers` */
    size_t head_size;              /* of the response: what goes by write; the rest may go by sendfile */
    size_t handed_over;            /* bytes of it that the application has */
    unsigned judged, judged_in, completed, cancelled, status; /* judged_in: the number of the reading call */
};

static struct request requests[REQUESTS_MAX];
static unsigned requests_count;
static char input[TEXT_MAX], answers[TEXT_MAX];
static size_t input_size, answers_size;
static size_t seen_size;    /* bytes of admitted requests that the application has */
static unsigned calls;      /* that read */
static unsigned reading_id; /* the request that the next byte belongs to */
static enum waiting waiting;
static bool fired; /* the timer that tells an event loop of a turn: since it was set last */
static uint64_t seed;
static unsigned waits; /* percent of the admitted that have to wait */

__attribute__((format(printf, 1, 2), noreturn)) static void fail_case(const char *format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    ck_abort_msg("seed %llu: %s", (unsigned long long)seed, text);
    abort();
}

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_case(__VA_ARGS__);                                                                                    \
    } while (0)

static uint64_t below(uint64_t limit) {
    return sim_random() % limit;
}

static bool chance(unsigned percent) {
    return below(100) < percent;
}

static size_t put(char *text, size_t size, const char *more) {
    size_t length = strlen(more);
    memcpy(text + size, more, length);
    return size + length;
}

static size_t put_filler(char *text, size_t size, size_t length) {
    for (size_t i = 0; i < length; i++)
        text[size + i] = "abcdefgh\r\n"[below(10)];
    return size + length;
}

static size_t put_chunked(char *text, size_t size, size_t length) {
    char line[64];
    while (length) {
        size_t step = 1 + below(length);
        snprintf(line, sizeof(line), chance(20) ? "%zx;x=y\r\n" : "%zX\r\n", step);
        size = put(text, size, line);
        size = put_filler(text, size, step);
        size = put(text, size, "\r\n");
        length -= step;
    }
    return put(text, size, chance(20) ? "0\r\nTrailer: x\r\n\r\n" : "0\r\n\r\n");
}

/* ----------------------------------------------------------------------------------------------- the client's bytes */

static size_t body_length(void) {
    return chance(70) ? below(40) : chance(90) ? below(3000) : below(9000);
}

static const char *make_request(struct request *r, unsigned id) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE"};
    const char *method = methods[below(4)];
    char line[128];
    if (id && chance(5))
        input_size = put(input, input_size, "\r\n");
    snprintf(line, sizeof(line), "%s /%c%u HTTP/1.1\r\nHost: x\r\n", method, r->passes ? 'p' : 'r', id);
    input_size = put(input, input_size, line);
    if (chance(30)) {
        input_size = put(input, input_size, "X-Pad: ");
        for (size_t pad = below(chance(90) ? 100 : 4000); pad; pad--)
            input[input_size++] = 'x';
        input_size = put(input, input_size, "\r\n");
    }
    if (r->ends_connection)
        input_size = put(input, input_size, "Connection: close\r\n");
    size_t length = body_length();
    bool chunked = chance(30), sized = !chunked && chance(50);
    snprintf(line, sizeof(line), "Content-Length: %zu\r\n", length);
    input_size = put(input, input_size, chunked ? "Transfer-Encoding: chunked\r\n" : sized ? line : "");
    input_size = put(input, input_size, "\r\n");
    r->head_end = input_size;
    if (chunked)
        input_size = put_chunked(input, input_size, length);
    else if (sized)
        input_size = put_filler(input, input_size, length);
    r->end = input_size;
    return method;
}

/* -------------------------------------------------------------------------------------- what should come back to it */

static void make_response(struct request *r, unsigned id, bool head_only) {
    char line[128];
    size_t length = body_length(), at = r->answer_at = answers_size;
    static const unsigned statuses[] = {200, 200, 200, 404, 500, 204, 304};
    r->status = statuses[below(7)];
    bool no_body = head_only || r->status == 204 || r->status == 304, chunked = r->status != 204 && chance(40);
    if (chance(10))
        at = put(answers, at, "HTTP/1.1 100 Continue\r\n\r\n");
    snprintf(line, sizeof(line), "HTTP/1.1 %u Text\r\nX-Id: %u\r\n", r->status, id);
    at = put(answers, at, line);
    snprintf(line, sizeof(line), "Content-Length: %zu\r\n", length);
    at = put(answers, at, chunked ? "Transfer-Encoding: chunked\r\n" : r->status != 204 ? line : "");
    at = put(answers, at, "\r\n");
    r->head_size = at - r->answer_at;
    if (!no_body && chunked)
        at = put_chunked(answers, at, length), r->head_size = at - r->answer_at;
    else if (!no_body)
        at = put_filler(answers, at, length);
    r->answer_size = at - r->answer_at;
    answers_size = at;
}

#define CLOSE "Connection: close\r\n"

static void make_rejection(struct request *r, unsigned id, bool head_only, bool close) {
    char line[512];
    int pad = (int)below(200);
    snprintf(line, sizeof(line), "HTTP/1.1 429 No\r\n%sX-Id: %u\r\nX-Pad: %*s\r\nContent-Length: 2\r\n\r\n%s",
             close ? CLOSE : "", id, pad, "y", head_only ? "" : "no");
    r->answer_at = answers_size;
    answers_size = put(answers, answers_size, line);
    r->answer_size = answers_size - r->answer_at;
    r->status = 429;
    answers_size += sizeof(CLOSE); /* room for it */
}

/* A refusal of which the application has a part already ends the connection. */
static void close_after(struct request *r) {
    char *at = answers + r->answer_at + strlen("HTTP/1.1 429 No\r\n");
    memmove(at + strlen(CLOSE), at, r->answer_size - strlen("HTTP/1.1 429 No\r\n"));
    memcpy(at, CLOSE, strlen(CLOSE));
    r->answer_size += strlen(CLOSE);
    r->ends_connection = true;
}

static void make_case(void) {
    bool many = chance(5);
    unsigned rejected = (unsigned)below(101);
    input_size = answers_size = seen_size = reading_id = 0;
    requests_count = many ? 1 + (unsigned)below(REQUESTS_MAX) : 1 + (unsigned)below(9);
    memset(requests, 0, sizeof(requests));
    for (unsigned id = 0; id < requests_count; id++) {
        struct request *r = &requests[id];
        r->start = input_size;
        r->passes = !chance(rejected);
        r->ends_connection = !r->passes && chance(3);
        bool head_only = make_request(r, id)[0] == 'H';
        bool ends = r->ends_connection || (waiting == BLOCKING && !r->passes);
        if (r->passes)
            make_response(r, id, head_only);
        else
            make_rejection(r, id, head_only, ends);
        r->ends_connection = ends;
    }
}

/* ------------------------------------------------------------------------------- what the application may be given */

/* Requests that were refused before the application had anything of them are not for it.  (One that ends the connection
 * may have begun in a buffer of the same call before the one that it ended in.) */
static struct request *next_request(void) {
    while (reading_id < requests_count) {
        struct request *r = &requests[reading_id];
        bool refused = !r->passes && r->judged && !r->handed_over && !r->ends_connection;
        if (!refused && r->handed_over < r->end - r->start)
            return r;
        reading_id++;
    }
    return NULL;
}

/* Each byte is the client's next one; of a head the end only when it was admitted, of a refused one nothing more. */
static void expect_bytes(const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        struct request *r = next_request();
        EXPECT(r, "the application reads more than was sent");
        EXPECT(bytes[i] == input[r->start + r->handed_over],
               "the application reads something else: request %u, byte %zu", reading_id, r->handed_over);
        EXPECT(r->passes || !r->judged || r->judged_in == calls, "more of a refused request: %u, byte %zu", reading_id,
               r->handed_over);
        r->handed_over++;
        EXPECT((r->judged && r->passes) || r->start + r->handed_over < r->head_end,
               "a head's end, undecided: request %u", reading_id);
        seen_size += r->passes;
    }
}

/* The same without its having happened. */
static void expect_peeked(const char *bytes, size_t size) {
    struct request *r = next_request();
    EXPECT(r, "there is more to peek at than was sent");
    EXPECT(size <= r->end - r->start - r->handed_over, "peek: beyond the request: %zu bytes", size);
    EXPECT(memcmp(bytes, input + r->start + r->handed_over, size) == 0, "peek: %zu bytes", size);
    EXPECT((r->judged && r->passes) || r->start + r->handed_over + size < r->head_end, "peek: a head's end, undecided");
}

static bool connection_is_over(void) {
    for (unsigned id = 0; id < requests_count; id++)
        if (requests[id].ends_connection && requests[id].judged)
            return true;
    return false;
}

/* The application has all that it should have, if the client has sent so much. */
static void expect_all(size_t sent) {
    struct request *r = next_request();
    if (r && !connection_is_over())
        EXPECT(r->start + r->handed_over >= sent, "the application lacks bytes: of request %u %zu, of %zu (waiting %d)",
               reading_id, r->handed_over, sent - r->start, (int)waiting);
}

/* ----------------------------------------------------------------------------------------------------------- policy */

static struct request *request_of(const struct message *head, unsigned *ret_id) {
    unsigned id = 0;
    for (size_t i = 2; i < head->target.size; i++)
        id = id * 10 + (unsigned)(head->target.at[i] - '0');
    EXPECT(id < requests_count, "policy: a request that was never sent: %u", id);
    *ret_id = id;
    return &requests[id];
}

static enum engine_verdict policy_request(void *context, const struct message *head, bool *close,
                                          struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                          size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    (void)context;
    unsigned id;
    struct request *r = request_of(head, &id);
    r->judged++;
    r->judged_in = calls;
    memset(ret_ticket, 0, sizeof(*ret_ticket));
    ret_ticket->acquire = id;
    if (r->passes) {
        *ret_turn_ns = sim.now_ns + 1000000;
        return below(100) < waits ? ENGINE_WAIT : ENGINE_PASS;
    }
    EXPECT(*close || !r->handed_over, "a refused request of which the application has a part is not the last: %u", id);
    if (*close && !r->ends_connection)
        close_after(r);
    const char *text = answers + r->answer_at;
    size_t size = r->answer_size;
    if (r->ends_connection && !*close) { /* the stream is to find that out by itself */
        static const char extra[] = "Connection: close\r\n";
        size_t line = strlen("HTTP/1.1 429 No\r\n");
        memcpy(answer, text, line);
        memcpy(answer + line, text + line + sizeof(extra) - 1, size - line - sizeof(extra) + 1);
        size -= sizeof(extra) - 1;
    } else {
        memcpy(answer, text, size);
    }
    *ret_answer_size = size;
    if (id % 5 == 2)
        *ret_turn_ns = sim.now_ns + 2000000;
    return ENGINE_BLOCK;
}

static void policy_response(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end,
                            uint64_t now_ns) {
    (void)context, (void)now_ns;
    struct request *r = &requests[ticket->acquire];
    r->completed++;
    EXPECT(end != STREAM_DONE || status == r->status, "response: status %u, not %u", status, r->status);
}

static void policy_cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)answered;
    (void)context, (void)now_ns;
    requests[ticket->acquire].cancelled++;
}

static unsigned undecided, early;
static void policy_early(void *context) {
    (void)context;
    early++;
}

static void policy_undecided(void *context) {
    (void)context;
    undecided++;
}

static const struct stream_policy policy = {.request = policy_request,
                                            .response = policy_response,
                                            .undecided = policy_undecided,
                                            .early = policy_early,
                                            .cancel = policy_cancel};

/* ------------------------------------------------------------------------------------------------- the application */

struct application {
    struct stream *stream;
    size_t read_size;
    bool reading, blocked, stopped, gone; /* in an edge-triggered loop; waits for room; saw the end; saw an error */
    bool scatter, lazy;                   /* lazy: answers when there is nothing to read */
    unsigned next;                        /* request whose response is under way */
    size_t response_sent, due;            /* of it; received bytes that belong to requests before and to it */
    unsigned early;                       /* percent: answers as soon as the head is there */
};

static void app_skip_rejected(struct application *app) {
    while (app->next < requests_count && !requests[app->next].passes)
        app->next++;
}

/* Enough of the next request is there to answer it. */
static bool app_may_answer(struct application *app) {
    app_skip_rejected(app);
    if (app->next >= requests_count ||
        !requests[app->next].judged) /* a rejected one's beginning may be what is there */
        return false;
    const struct request *r = &requests[app->next];
    bool early = app->next * 37u % 100 < app->early;
    return seen_size >= app->due + (early ? r->head_end : r->end) - r->start;
}

/* A reset by the client, or because the application has part of a refused head, or of one that the client left; the
 * second only when all before it is answered. */
static void stop_at_error(struct application *app) {
    const struct request *r = next_request();
    bool refused = connection_is_over();
    EXPECT(sim.resets || refused || (r && r->handed_over), "an error for nothing");
    for (unsigned id = 0; refused && !sim.ended && id < requests_count && !requests[id].ends_connection; id++)
        EXPECT(!requests[id].passes || requests[id].completed, "a reset before the response: request %u", id);
    app->gone = !refused;
}

static void app_read(struct application *app) {
    static char buffer[1 << 17];
    size_t size = app->read_size;
    struct iovec iov[3] = {{buffer, size}, {NULL, 0}, {NULL, 0}};
    memset(buffer, '#', size + 8);
    if (app->scatter && size > 2)
        iov[0].iov_len = size / 3, iov[1] = (struct iovec){buffer + size / 3, 0},
        iov[2] = (struct iovec){buffer + size / 3, size - size / 3};
    int flags = 0;
    calls++;
    errno = 12345;
    if (chance(3)) {
        ssize_t shown = stream_read(app->stream, iov, 1, MSG_PEEK);
        if (shown > 0)
            expect_peeked(buffer, (size_t)shown);
        if (shown < 0 && errno != EAGAIN)
            app->stopped = true;
        if (shown < 0)
            app->reading = false;
        if (shown <= 0)
            return;
        memset(buffer, '#', size);
        errno = 12345;
    }
    uint64_t turn_ns = stream_turn_ns(app->stream);
    bool waits_now = waiting != BLOCKING && turn_ns > sim.now_ns && turn_ns != CHANNEL_SILENT;
    ssize_t got = stream_read(app->stream, iov, app->scatter && size > 2 ? 3 : 1, flags);
    EXPECT(!waits_now || got <= 0, "read before its turn: %zd bytes", got);
    for (size_t i = size; i < size + 8; i++)
        EXPECT(buffer[i] == '#', "behind the buffer: at %zu", i);
    if (got > 0) {
        EXPECT(errno == 12345, "read: errno %d on success", errno);
        EXPECT((size_t)got <= size, "count: %zd", got);
        for (size_t i = (size_t)got; i < size; i++)
            EXPECT(buffer[i] == '#' || buffer[i] == 0, "bytes behind the count: at %zu", i);
        expect_bytes(buffer, (size_t)got);
    }
    if (got < 0 && errno == EINTR)
        return;
    if (got == 0 || (got < 0 && errno != EAGAIN))
        app->stopped = true;
    if (got < 0 && errno != EAGAIN)
        stop_at_error(app);
    if (got <= 0 || (waiting == EDGE_SHORT && (size_t)got < size && !sim.ended))
        app->reading = false;
}

static ssize_t app_sendfile(struct application *app, const char *bytes, size_t size) {
    size_t skip, allowed = stream_sendfile_begin(app->stream, size, &skip), sent = 0;
    if (!allowed && !skip) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t result = allowed ? sim_send(bytes + skip, allowed) : 0;
    int error = errno;
    sent = stream_sendfile_done(app->stream, result > 0 ? (size_t)result : 0);
    errno = error;
    if (!skip && !sent && result > 0)
        errno = EAGAIN;
    return skip + sent ? (ssize_t)(skip + sent) : -1;
}

static bool finish_response(struct application *app) {
    const struct request *r = &requests[app->next];
    if (app->response_sent < r->answer_size)
        return false;
    app->due += r->end - r->start;
    app->response_sent -= r->answer_size;
    app->next++;
    return app_may_answer(app);
}

/* The rest of the response under way and, in one call with it, the next, if it is due: answers of ours
 * may belong between the two.  0: it is not. */
static size_t two_responses(struct application *app, struct iovec ret_iov[static 2]) {
    const struct request *r = &requests[app->next], *next = r + 1;
    size_t end = app->due + r->end - r->start;
    ret_iov[0] = (struct iovec){answers + r->answer_at + app->response_sent, r->answer_size - app->response_sent};
    while (next < requests + requests_count && !next->passes)
        next++;
    if (next >= requests + requests_count || !next->judged || seen_size < end + next->end - next->start)
        return 0;
    ret_iov[1] = (struct iovec){answers + next->answer_at, next->answer_size};
    return ret_iov[0].iov_len + ret_iov[1].iov_len;
}

/* Some more of the response under way. */
static void app_write(struct application *app) {
    const struct request *r = &requests[app->next];
    char *bytes = answers + r->answer_at + app->response_sent;
    size_t left = r->answer_size - app->response_sent, size = chance(60) ? left : 1 + below(left), both = 0;
    struct iovec iov[2] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
    bool file = app->response_sent >= r->head_size && chance(70);
    if (!file && chance(30) && (both = two_responses(app, iov)))
        size = both;
    else
        iov[0] = (struct iovec){bytes, size / 2};
    errno = 0;
    ssize_t sent = file ? app_sendfile(app, bytes, left) : stream_write(app->stream, iov, 2, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
        return;
    if (sent < 0 && errno != EAGAIN) {
        app->gone = true;
        return;
    }
    app->blocked = sent < (ssize_t)(file ? left : size);
    app->response_sent += sent > 0 ? (size_t)sent : 0;
    while (finish_response(app) && app->response_sent)
        ;
}

/* -------------------------------------------------------------------------------------------------------- one case */

/* The loop's timer, as the shim sets it. */
static enum notice notice(struct channel *channel, uint64_t at_ns) {
    fired = false;
    return sim_notice(channel, at_ns);
}

static bool timer_is_due(void) {
    return sim.announced_ns && sim.announced_ns <= sim.now_ns;
}

/* Time goes on to the turn. */
static bool step_timer(void) {
    if (!sim.announced_ns || sim.announced_ns == CHANNEL_SILENT || fired)
        return false;
    if (sim.now_ns < sim.announced_ns)
        sim.now_ns = sim.announced_ns;
    fired = true;
    sim.edge = true;
    return true;
}

static bool app_is_told(struct application *app) {
    if (app->stopped || app->gone)
        return false;
    if (waiting == LEVEL)
        return sim_readable() || timer_is_due();
    if (sim.edge)
        app->reading = true;
    sim.edge = false;
    return app->reading;
}

static bool step_network(size_t chunk) {
    return sim_arrive(1 + below(chunk));
}

static bool step_app(struct application *app) {
    bool readable = app_is_told(app), writable = !app->gone && !app->blocked && app_may_answer(app);
    if (!readable && !writable)
        return false;
    if (readable && (!writable || app->lazy || chance(50)))
        app_read(app);
    else
        app_write(app);
    return true;
}

/* The client reads what was sent. */
static bool step_window(struct application *app, size_t window) {
    if (sim.window == SIZE_MAX && app->blocked) { /* it was a mood */
        app->blocked = false;
        return true;
    }
    if (sim.window == SIZE_MAX || !(app->blocked || sim.window < window))
        return false;
    sim.window += 1 + below(window);
    app->blocked = false;
    return true;
}

static void run_event_driven(struct application *app, size_t chunk, size_t window, bool closes) {
    for (unsigned spins = 0; spins < 400000; spins++) {
        if (closes && chance(1))
            return;
        bool moved = false;
        switch (below(4)) {
        case 0: moved = step_network(chunk); break;
        case 1: moved = step_app(app); break;
        case 2: moved = step_window(app, window); break;
        case 3: moved = chance(20) && step_timer(); break;
        }
        if (!moved && !step_app(app) && !step_network(chunk) && !(app->blocked && step_window(app, window)) &&
            !step_timer())
            return;
    }
    EXPECT(false, "spins: after %zu bytes", seen_size);
}

static void run_blocking(struct application *app) {
    while (!app->gone) {
        while (!app->gone && app_may_answer(app))
            app_write(app);
        size_t before = seen_size;
        if (app->stopped || app->gone)
            return;
        app_read(app);
        if (seen_size == before && !app->stopped && !sim_readable() && sim.arrived == sim.input_size &&
            !((sim.ends || sim.resets) && !sim.ended))
            return; /* waits for ever, rightly */
    }
}

static void check_output(bool complete) {
    size_t at = 0;
    for (unsigned id = 0; id < requests_count && at < sim.output_size; id++) {
        const struct request *r = &requests[id];
        size_t size = r->answer_size < sim.output_size - at ? r->answer_size : sim.output_size - at;
        EXPECT(memcmp(sim.output + at, answers + r->answer_at, size) == 0,
               "the client reads something else: request %u, byte %zu of the output", id, at);
        at += size;
        EXPECT(!complete || size == r->answer_size, "part of an answer: request %u", id);
        if (r->ends_connection)
            break;
    }
    EXPECT(at == sim.output_size, "more output than answers: %zu", sim.output_size - at);
}

/* Every complete request that arrived, up to one that ends the connection, is answered. */
static void check_answered(size_t sent) {
    size_t size = 0;
    for (unsigned id = 0; id < requests_count; id++) {
        const struct request *r = &requests[id];
        if ((r->passes ? r->end : r->head_end) > sent)
            break;
        size += r->answer_size;
        if (r->ends_connection)
            break;
    }
    EXPECT(sim.output_size >= size, "answers are missing: %zu of %zu bytes", sim.output_size, size);
}

static void check_tickets(void) {
    for (unsigned id = 0; id < requests_count; id++) {
        const struct request *r = &requests[id];
        EXPECT(r->judged <= 1, "judged twice: request %u", id);
        EXPECT(r->completed + r->cancelled == (r->passes ? r->judged : 0), "completions: request %u: %u of %u", id,
               r->completed, r->judged);
    }
}

static void run_case(void) {
    sim_reset(input, 0);
    sim.random = seed * 0x9e3779b97f4a7c15 + 1;
    for (int i = 0; i < 8; i++)
        sim_random();
    waiting = (enum waiting)below(4);
    make_case();
    bool cut = chance(30), resets = chance(10), ends = chance(50), closes = chance(10) && waiting != BLOCKING;
    bool told = chance(
        50); /* who waits for a turn is told of it; a client that ends meanwhile gives it back, so none does */
    if (told && waiting != BLOCKING)
        resets = ends = false;
    struct channel_ops ops = simulated_ops;
    struct channel channel = {.ops = &ops};
    ops.notice = told && waiting != BLOCKING ? notice : NULL;
    fired = false;
    static const size_t sizes[] = {1, 2, 7, 64, 100, 512, 1024, 4096, 65536};
    size_t read_size = chance(50) ? sizes[below(9)] : 1 + below(3000), chunk = chance(30)   ? 3
                                                                               : chance(50) ? 200
                                                                                            : 100000;
    size_t window = chance(50) ? SIZE_MAX : 1 + below(800), sent = cut ? below(input_size + 1) : input_size;
    sim.input_size = sent;
    sim.resets = resets;
    sim.ends = ends || resets;
    sim.nonblocking = waiting != BLOCKING;
    sim.window = window;
    sim.growth = 1 << 20;
    sim.moods = waiting != EDGE_SHORT && chance(30) ? (unsigned)below(60)
                                                    : 0; /* a short read means the end to that one */
    struct application app = {.read_size = read_size,
                              .scatter = chance(20),
                              .lazy = chance(20),
                              .early = chance(50) ? 0 : (unsigned)below(101)};
    app.stream = calloc(1, stream_size());
    stream_open(app.stream, &channel, &policy, NULL, &simulated_memory);
    undecided = early = 0;
    waits = chance(50) ? 14 : (unsigned)below(101);
    if (waiting == BLOCKING)
        run_blocking(&app);
    else
        run_event_driven(&app, chunk, window == SIZE_MAX ? 1000 : window, closes);
    bool whole = !closes && !resets && !app.gone;
    if (whole) {
        EXPECT(stream_readable(app.stream) == 0, "owed: %zu bytes", stream_readable(app.stream));
        expect_all(sent);
        check_answered(sent);
    }
    check_output(whole);
    sim.now_ns += 1000000000; /* it did not end because of an EAGAIN */
    stream_close(app.stream);
    check_tickets();
    EXPECT(simulated_memory_used == 0, "not given back: %zu bytes", simulated_memory_used);
    EXPECT(undecided == 0 && early == 0, "undecided: %u, early: %u", undecided, early);
    free(app.stream);
}

START_TEST(random_cases) {
    const char *cases = getenv("STREAM_CASES"), *first = getenv("STREAM_SEED");
    uint64_t count = cases ? strtoull(cases, NULL, 10) : CASES, from = first ? strtoull(first, NULL, 10) : 1;
    for (seed = from; seed < from + count; seed++)
        run_case();
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("random");
    tcase_add_test(tcase, random_cases);
    tcase_set_timeout(tcase, 0);
    return suite_run("stream_property", tcase, NULL);
}
