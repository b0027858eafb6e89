/* A TCP socket in memory for driving sessions: what the peer sent, what it will send next and when, how much it has
 * room for.  One at a time (they have no descriptor); simulated_channel is the channel that leads to it. */
#ifndef WEIR_TESTS_SIMULATED_SOCKET_H
#define WEIR_TESTS_SIMULATED_SOCKET_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/session/stream.h"

struct simulated_socket {
    const char *input; /* everything that the peer sends in the end … */
    size_t input_size;
    size_t arrived, read; /* … of which so much is here, and so much is taken */
    bool ends, resets;    /* how it ends after that; else it stays silent */
    bool ended, reset;    /* that has arrived, too */
    bool nonblocking;
    bool edge;    /* an edge-triggered waiter has not been told yet */
    char *output; /* what went out */
    size_t output_size, output_capacity;
    size_t window;     /* so much more fits into the send buffer; SIZE_MAX: everything */
    size_t growth;     /* by which the send buffer can grow, each time; 0: it cannot */
    bool write_wanted; /* somebody met a full send buffer */
    bool shut_read, shut_write, peer_gone;
    uint64_t now_ns, announced_ns;
    enum notice notice;       /* what is said to who wants to announce */
    bool leaves;              /* the peer ends its side while somebody waits for it to do so */
    unsigned calls, receives; /* system calls made */
    uint64_t random;          /* how much arrives at a time; 0: all at once */
    int receive_error;        /* of the next receiving call, once */
    size_t peeked;            /* so much was peeked at, and is given without a mood */
    unsigned moods; /* percent of the calls that give less than they could: fewer bytes, EAGAIN or EINTR, as a channel
                       does that has half a record, or is interrupted */
    bool silent;    /* a poll runs into its time-out */
};

static struct simulated_socket sim;

static inline uint64_t sim_random(void) {
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return sim.random;
}

static inline void sim_reset(const char *input, size_t size) {
    free(sim.output);
    sim = (struct simulated_socket){.input = input,
                                    .input_size = size,
                                    .nonblocking = true,
                                    .window = SIZE_MAX,
                                    .growth = 65536,
                                    .notice = NOTICE_GIVEN,
                                    .now_ns = 1000000000};
}

/* The next thing from the network.  False: nothing more will come. */
static inline bool sim_arrive(size_t most) {
    if (sim.arrived < sim.input_size) {
        size_t left = sim.input_size - sim.arrived, step = most < left ? most : left;
        sim.arrived += step ? step : 1;
        sim.edge = true;
        return true;
    }
    if ((sim.ends || sim.resets) && !sim.ended) {
        sim.ended = sim.edge = true;
        sim.reset = sim.peer_gone = sim.resets;
        return true;
    }
    return false;
}

/* A request waits, or too much is unanswered: of what arrives nothing is reported. */
static inline bool sim_is_silent(void) {
    return sim.announced_ns > sim.now_ns;
}

static inline bool sim_readable(void) {
    size_t ready = sim.arrived - sim.read;
    return (ready > 0 && !sim_is_silent()) || sim.ended || sim.shut_read;
}

/* 0, or the error of a call that could have given something.  What is there is reported anew. */
static inline int sim_mood(int flags) {
    if (!sim.moods || sim_random() % 100 >= sim.moods || (flags & MSG_PEEK))
        return 0;
    sim.edge = true;
    return !sim.nonblocking && !(flags & MSG_DONTWAIT) ? EINTR : EAGAIN;
}

static inline ssize_t sim_recv(struct channel *channel, void *bytes, size_t size, int flags) {
    (void)channel;
    sim.calls++;
    sim.receives++;
    if (sim.receive_error) {
        errno = sim.receive_error;
        sim.receive_error = 0;
        return -1;
    }
    while (size && sim.arrived == sim.read && !sim.ended && !sim.shut_read) {
        if (sim.nonblocking || (flags & MSG_DONTWAIT) || !sim_arrive(sim.random ? 1 + sim_random() % 300 : SIZE_MAX)) {
            errno = EAGAIN;
            return -1;
        }
    }
    size_t ready = sim.arrived - sim.read, step = size < ready ? size : ready;
    int mood = ready && sim.peeked <= sim.read ? sim_mood(flags) : 0;
    if (mood) {
        errno = mood;
        return -1;
    }
    if (ready && sim.moods && !(flags & MSG_PEEK) && sim_random() % 100 < sim.moods) {
        step = 1 + sim_random() % step;
        sim.edge = true;
    }
    if (!ready && sim.reset) {
        sim.reset = false;
        errno = ECONNRESET;
        return -1;
    }
    memcpy(bytes, sim.input + sim.read, step);
    if (!(flags & MSG_PEEK))
        sim.read += step;
    else if (sim.read + step > sim.peeked)
        sim.peeked = sim.read + step;
    return (ssize_t)step;
}

static inline ssize_t sim_recvv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t got = iov[i].iov_len
                          ? sim_recv(channel, iov[i].iov_base, iov[i].iov_len, total ? flags | MSG_DONTWAIT : flags)
                          : 0;
        if (got < 0)
            return total ? (ssize_t)total : -1;
        total += (size_t)got;
        if ((size_t)got < iov[i].iov_len)
            break;
    }
    return (ssize_t)total;
}

static inline ssize_t sim_sendv(struct channel *channel, const struct iovec *iov, int count, int flags) {
    (void)channel;
    sim.calls++;
    if (sim.shut_write || sim.peer_gone) {
        errno = EPIPE;
        return -1;
    }
    int mood = flags & MSG_DONTWAIT ? 0 : sim_mood(flags); /* what is injected goes when it can */
    if (mood) {
        sim.write_wanted = true;
        errno = mood;
        return -1;
    }
    size_t total = 0, wanted = 0;
    bool wait = !sim.nonblocking && !(flags & MSG_DONTWAIT);
    for (int i = 0; i < count; i++)
        wanted += iov[i].iov_len;
    for (int i = 0; i < count; i++) {
        size_t step = iov[i].iov_len;
        if (!wait && sim.window != SIZE_MAX)
            step = step < sim.window ? step : sim.window;
        if (sim.output_size + step > sim.output_capacity) {
            sim.output_capacity = (sim.output_size + step) * 2;
            sim.output = realloc(sim.output, sim.output_capacity);
        }
        if (step)
            memcpy(sim.output + sim.output_size, iov[i].iov_base, step);
        sim.output_size += step;
        total += step;
        if (!wait && sim.window != SIZE_MAX)
            sim.window -= step;
        if (step < iov[i].iov_len)
            break;
    }
    sim.write_wanted |= total < wanted;
    if (wanted && !total) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)total;
}

static inline ssize_t sim_send(const void *bytes, size_t size) {
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    return sim_sendv(NULL, &iov, 1, 0);
}

static inline int sim_finish(struct channel *channel, int how) {
    (void)channel;
    sim.calls++;
    sim.shut_read |= how != SHUT_WR;
    sim.shut_write |= how != SHUT_RD;
    sim.edge |= how != SHUT_WR;
    return 0;
}

static inline int sim_wait(struct channel *channel, short events, uint64_t timeout_ns) {
    (void)channel;
    sim.calls++;
    if (events & POLLIN) {
        if (sim_readable() || (!sim.silent && sim_arrive(sim.random ? 1 + sim_random() % 300 : SIZE_MAX)))
            return 1;
    } else {
        if (sim.leaves && timeout_ns)
            sim.ended = true;
        if (events ? sim.ended : sim.peer_gone)
            return 1;
    }
    sim.now_ns += timeout_ns;
    return 0;
}

static inline bool sim_nonblocking(struct channel *channel) {
    (void)channel;
    sim.calls++;
    return sim.nonblocking;
}

static inline bool sim_make_room(struct channel *channel) {
    (void)channel;
    sim.calls++;
    sim.window += sim.window == SIZE_MAX ? 0 : sim.growth;
    return sim.growth;
}

static inline uint64_t sim_now(void) {
    return sim.now_ns;
}

static inline bool sim_stir(struct channel *channel) {
    (void)channel;
    sim.calls++;
    sim.edge |= sim.arrived > sim.read;
    return true;
}

static inline enum notice sim_notice(struct channel *channel, uint64_t at_ns) {
    (void)channel;
    sim.announced_ns = sim.notice == NOTICE_GIVEN ? at_ns : 0;
    sim.edge |= !at_ns && sim.arrived > sim.read;
    return sim.notice;
}

/* Without a notice: a loop that cannot be informed. */
static const struct channel_ops simulated_ops = {
    .recv = sim_recv,
    .recvv = sim_recvv,
    .sendv = sim_sendv,
    .finish = sim_finish,
    .wait = sim_wait,
    .nonblocking = sim_nonblocking,
    .make_room = sim_make_room,
    .stir = sim_stir,
    .now_ns = sim_now,
};
__attribute__((unused)) static struct channel simulated_channel = {.ops = &simulated_ops, .fd = 3};

/* Counts what is taken, so that a test can say that all of it was given back. */
static size_t simulated_memory_used;

static inline void *sim_take(size_t size) {
    simulated_memory_used += size;
    return malloc(size);
}

static inline void sim_give(void *bytes, size_t size) {
    simulated_memory_used -= size;
    free(bytes);
}

static const struct stream_memory simulated_memory = {sim_take, sim_give};

#endif
