/* Whole streams on any bytes from the client, in any splits, with any behaviour of the application.
 * 16 bytes say how; the rest is what the client sends.  Three ways:
 *   all pass: the application reads exactly what was sent, the client exactly what was written;
 *   some are rejected: what the application reads does not depend on the splits;
 *   anything goes: every admitted request is completed once, all memory is given back. */
#include "tests/simulated_socket.h"

#include "shim/protocol/http1/http1.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

enum way { ALL_PASS, SPLITS, ANYTHING };

static struct {
    enum way way;
    enum stream_strictness strict;
    bool scarce;
    unsigned passed, completed, cancelled, judged;
} now;

static enum engine_verdict judge(void *context, const struct message *head, bool *close,
                                 struct engine_ticket *ret_ticket, char answer[static STREAM_TEXT_MAX],
                                 size_t *ret_answer_size, uint64_t *ret_turn_ns) {
    (void)context;
    now.judged++;
    REQUIRE(head->target.size > 0);
    char kind = now.way == ALL_PASS ? 'p' : head->target.at[head->target.size - 1];
    memset(ret_ticket, 0, sizeof(*ret_ticket));
    *ret_turn_ns = sim.now_ns + 1000000;
    if (kind == 'r' || (kind == 'W' && now.way == ANYTHING)) {
        const char *text = *close ? "HTTP/1.1 429 No\r\nConnection: close\r\n\r\n"
                                  : "HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n";
        *ret_answer_size = strlen(text);
        memcpy(answer, text, *ret_answer_size);
    }
    if (kind == 'r')
        return ENGINE_BLOCK;
    now.passed++;
    return now.way == ANYTHING && (kind == 'w' || kind == 'W') ? ENGINE_WAIT : ENGINE_PASS;
}

static void complete(void *context, struct engine_ticket *ticket, unsigned status, enum stream_end end,
                     uint64_t now_ns) {
    (void)context, (void)ticket, (void)status, (void)end, (void)now_ns;
    now.completed++;
}

static void cancel(void *context, struct engine_ticket *ticket, bool answered, uint64_t now_ns) {
    (void)answered;
    (void)context, (void)ticket, (void)now_ns;
    now.cancelled++;
}

static void undecided(void *context) {
    (void)context;
}

static enum stream_strictness strictness(void *context) {
    (void)context;
    return now.strict;
}

static void *take_scarce(size_t size) {
    return now.scarce && sim_random() % 4 == 0 ? NULL : sim_take(size);
}

static const struct stream_policy policy = {
    .request = judge, .response = complete, .cancel = cancel, .undecided = undecided, .strict = strictness};
static const struct stream_memory memory = {take_scarce, sim_give};

static char got[1 << 16], written[1 << 16];
static size_t got_size, written_size;

/* (What the first bytes are taken for does depend on the splits.) */
static const struct stream_policy policy_http_only = {.request = judge,
                                                      .response = complete,
                                                      .cancel = cancel,
                                                      .undecided = undecided,
                                                      .strict = strictness,
                                                      .protocol = &http1};

static struct stream *open_stream(const char *bytes, size_t size, uint64_t seed, struct channel *channel) {
    enum way way = now.way;
    enum stream_strictness strict = now.strict;
    bool scarce = now.scarce;
    sim_reset(bytes, size);
    sim.random = seed | 1;
    memset(&now, 0, sizeof(now));
    now.way = way;
    now.strict = strict;
    now.scarce = scarce;
    got_size = written_size = 0;
    struct stream *s = calloc(1, stream_size());
    stream_open(s, channel, way == SPLITS ? &policy_http_only : &policy, NULL, &memory);
    return s;
}

static ssize_t read_some(struct stream *s, size_t size, int flags) {
    static char buffer[1 << 16];
    struct iovec iov[2] = {{buffer, size / 2}, {buffer + size / 2, size - size / 2}};
    ssize_t count = stream_read(s, iov, 2, flags);
    REQUIRE(count <= (ssize_t)size);
    if (count > 0 && !(flags & (MSG_PEEK | MSG_TRUNC)) && got_size + (size_t)count <= sizeof(got)) {
        memcpy(got + got_size, buffer, (size_t)count);
        got_size += (size_t)count;
    }
    return count;
}

static void write_some(struct stream *s, bool sane) {
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switch\r\n\r\n",
        "nonsense",
        "HTTP/1.0 200 OK\r\n\r\nbody",
        "\r\n",
        "4\r\nbody\r\n",
        "x",
    };
    const char *text = texts[sim_random() % (sane ? 4 : sizeof(texts) / sizeof(texts[0]))];
    size_t size = strlen(text);
    if (sim_random() % 2)
        size = 1 + sim_random() % size;
    if (sim_random() % 4 == 0) {
        size_t skip, allowed = stream_sendfile_begin(s, size, &skip);
        if (!allowed && !skip)
            return;
        ssize_t sent = allowed ? sim_send(text + skip, allowed) : 0;
        size_t claimed = stream_sendfile_done(s, sent > 0 ? (size_t)sent : 0);
        REQUIRE(skip + claimed <= size);
        return;
    }
    struct iovec iov = {(char *)(uintptr_t)text, size};
    ssize_t sent = stream_write(s, &iov, 1, 0);
    REQUIRE(sent <= (ssize_t)size);
    if (sent > 0 && written_size + (size_t)sent <= sizeof(written)) {
        memcpy(written + written_size, text, (size_t)sent);
        written_size += (size_t)sent;
    }
}

static void close_stream(struct stream *s) {
    stream_close(s);
    REQUIRE(now.completed + now.cancelled == now.passed);
    REQUIRE(simulated_memory_used == 0);
    free(s);
}

static void all_pass(const char *bytes, size_t size, uint64_t seed) {
    struct stream *s = open_stream(bytes, size, seed, &simulated_channel);
    sim.ends = true;
    for (int idle = 0; idle < 3;) {
        bool arrived = sim_arrive(1 + sim_random() % 64);
        ssize_t count = read_some(s, 1 + sim_random() % 100, sim_random() % 8 ? 0 : MSG_PEEK);
        idle = arrived || count > 0 ? 0 : idle + 1;
    }
    while (read_some(s, 100, 0) > 0)
        ;
    REQUIRE(got_size == size && memcmp(got, bytes, size) == 0);
    REQUIRE(sim.output_size == 0);
    close_stream(s);
}

static size_t read_all(struct stream *s, size_t chunk, size_t read_size) {
    bool more = true;
    while (more) {
        more = sim_arrive(chunk == SIZE_MAX ? chunk : 1 + sim_random() % chunk);
        while (read_some(s, read_size == SIZE_MAX ? 60000 : 1 + sim_random() % read_size, 0) > 0)
            ;
    }
    return got_size;
}

/* What a refused head's pieces do to the connection depends on the splits; up to there nothing does: the same requests
 * are decided upon, and of what is admitted the same bytes are read, but for a head that was not whole. */
static void splits(const char *bytes, size_t size, uint64_t seed) {
    static char first[1 << 16];
    struct stream *s = open_stream(bytes, size, seed, &simulated_channel);
    sim.ends = true;
    size_t first_size = read_all(s, SIZE_MAX, SIZE_MAX);
    unsigned judged = now.judged, rejected = now.judged - now.passed;
    memcpy(first, got, first_size);
    close_stream(s);
    s = open_stream(bytes, size, seed, &simulated_channel);
    sim.ends = true;
    size_t second_size = read_all(s, 1 + seed % 97, 1 + seed % 89);
    REQUIRE(now.judged <= judged && (rejected || now.judged == judged));
    if (!rejected)
        REQUIRE(second_size == first_size && memcmp(first, got, first_size) == 0);
    close_stream(s);
}

static void anything(const char *bytes, size_t size, uint64_t seed, const unsigned char *options) {
    struct channel_ops ops = simulated_ops;
    struct channel channel = {.ops = &ops};
    ops.notice = options[0] & 1 ? sim_notice : NULL;
    ops.stir = options[0] & 2 ? sim_stir : NULL;
    struct stream *s = open_stream(bytes, size, seed, &channel);
    static const int flags[] = {0, 0, 0, 0, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC};
    sim.notice = (enum notice)(options[6] >> 6 < 3 ? options[6] >> 6 : NOTICE_GIVEN);
    sim.nonblocking = options[0] & 4;
    sim.ends = options[0] & 8;
    sim.resets = options[0] & 16;
    sim.silent = options[0] & 32;
    sim.window = options[0] & 64 ? options[1] : SIZE_MAX;
    sim.growth = options[2];
    unsigned steps = 20 + options[3];
    while (steps--) {
        uint64_t what = sim_random() % 16;
        if (what < 4)
            sim_arrive(1 + sim_random() % (1 + options[4]));
        else if (what < 10)
            read_some(s, sim_random() % (2 + options[5]), flags[sim_random() % 8]);
        else if (what < 14)
            write_some(s, options[6] & 1);
        else if (what == 14)
            sim.window += sim.window == SIZE_MAX ? 0 : sim_random() % 50, sim.now_ns += 20000000;
        else if (options[6] & 2 && sim_random() % 16 == 0)
            sim_random() % 2   ? stream_shutdown_write(s)
            : sim_random() % 2 ? (void)stream_last_words(s)
                               : stream_opaque(s, OPAQUE_SHARED);
        REQUIRE(stream_readable(s) <= size);
    }
    close_stream(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t seed;
    if (size < 16 || size > 8192)
        return 0;
    memcpy(&seed, data + 8, 8);
    now.way = (enum way)(data[7] % 3);
    now.strict = now.way == ANYTHING ? (enum stream_strictness)(data[7] >> 5 & 3) % 3 : STREAM_OPAQUE;
    now.scarce = now.way == ANYTHING && data[7] & 128;
    const char *bytes = (const char *)data + 16;
    if (now.way == ALL_PASS)
        all_pass(bytes, size - 16, seed);
    else if (now.way == SPLITS)
        splits(bytes, size - 16, seed);
    else
        anything(bytes, size - 16, seed, data);
    return 0;
}
