#include "shim/admission/arrival.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "rules/engine/engine.h"
#include "shim/admission/admit.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/clock.h"
#include "shim/protocol/protocol.h"

/* A question takes about a microsecond: 200 of them a second are 0.02 % of a CPU; 4000, while requests wait, 0.4 %. */
#define SELDOM_NS 5000000u
#define OFTEN_NS 250000u
#define LONG_NS 8000000u /* so long do requests that wait wait */
#define RECENT_NS 1000000000u

/* ---------------------------------------------------------------------------------------------------------- naps
 *
 * A thread that slept while a request lay there, since the client of another one did not send what was missing, was not
 * kept from it by work: a few clients that send slowly, to a server whose threads wait for them, are no overload. */
enum nap { NAP_CLIENT, NAP_ANY };
enum { NAPS = 16, NAP_LEAST_NS = 1000000, MATTERS_SHIFT = 33 /* for 8.6 s after a rule has asked */ };
static __thread struct {
    uint64_t from_ns, to_ns;
    bool client; /* it waited for a client; else for whatever comes */
} naps[NAPS] __attribute__((tls_model("initial-exec")));
static __thread unsigned naps_count __attribute__((tls_model("initial-exec")));
_Atomic uint64_t admit_asked_ns;

void arrival_asked(uint64_t now_ns) {
    atomic_store_explicit(&admit_asked_ns, now_ns, memory_order_relaxed);
}

bool admit_asks_idle(void) {
    uint64_t asked = atomic_load_explicit(&admit_asked_ns, memory_order_relaxed);
    return __builtin_expect(asked != 0, 0) && clock_ns() - asked < 1ull << MATTERS_SHIFT;
}

void admit_slept(uint64_t from_ns, bool client) {
    uint64_t now_ns = clock_ns();
    if (now_ns - from_ns < NAP_LEAST_NS || now_ns < from_ns)
        return;
    unsigned n = naps_count++ % NAPS;
    naps[n].from_ns = from_ns;
    naps[n].to_ns = now_ns;
    naps[n].client = client;
}

/* A wait until now, without the time of it that this thread slept. */
static uint64_t less_naps(uint64_t waited_ns, enum nap which, uint64_t now_ns) {
    uint64_t arrived_ns = now_ns - waited_ns, slept_ns = 0;
    if (waited_ns == ENGINE_WAITED_UNKNOWN || waited_ns > now_ns)
        return waited_ns;
    for (unsigned n = 0; n < NAPS; n++) {
        uint64_t from = naps[n].from_ns > arrived_ns ? naps[n].from_ns : arrived_ns,
                 to = naps[n].to_ns < now_ns ? naps[n].to_ns : now_ns;
        slept_ns += to > from && (which == NAP_ANY || naps[n].client) ? to - from : 0;
    }
    return slept_ns < waited_ns ? waited_ns - slept_ns : 0;
}

/* ------------------------------------------------------------------------------------------------------------- TCP */

/* Of requests that are not the first of their connection, and of first ones, which waited to be accepted, too. */
static struct samples {
    _Atomic uint64_t next_ns, last_ns;  /* when to ask again; what the last one that was read had waited */
    _Atomic uint64_t mean_ns, noted_ns; /* of all that were asked for, those at the door, too; and when */
} samples[2];

/* Since its last byte came; in the accept queue, or in the socket. */
static uint64_t ask(int fd) {
    struct tcp_info info;
    socklen_t size = offsetof(struct tcp_info, tcpi_last_data_recv) + sizeof(info.tcpi_last_data_recv);
    if (OWN5(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return ENGINE_WAITED_UNKNOWN;
    return (uint64_t)info.tcpi_last_data_recv * 1000000;
}

static uint64_t note(struct samples *of, uint64_t waited_ns, uint64_t now_ns) {
    enum { SMOOTH = 8 };
    if (waited_ns == ENGINE_WAITED_UNKNOWN)
        return waited_ns;
    uint64_t mean = atomic_load_explicit(&of->mean_ns, memory_order_relaxed);
    atomic_store_explicit(&of->mean_ns, mean - mean / SMOOTH + waited_ns / SMOOTH, memory_order_relaxed);
    atomic_store_explicit(&of->noted_ns, now_ns, memory_order_relaxed);
    return waited_ns;
}

/* Of one that tells nothing of how long it has waited, or too little: as long as the others. */
static uint64_t as_others(const struct samples *of, uint64_t least_ns, uint64_t now_ns) {
    uint64_t mean = atomic_load_explicit(&of->mean_ns, memory_order_relaxed);
    bool recent = now_ns - atomic_load_explicit(&of->noted_ns, memory_order_relaxed) <= RECENT_NS;
    return recent && (least_ns == ENGINE_WAITED_UNKNOWN || mean > least_ns) ? mean : least_ns;
}

/* What is not whole came after what is asked for, so that it is too short, if anything. */
static uint64_t of_tcp(int fd, const struct message *message, bool door, uint64_t now_ns) {
    struct samples *of = &samples[message->busy_ns == 0];
    uint64_t next = atomic_load_explicit(&of->next_ns, memory_order_relaxed), waited;
    if (message->busy_ns > now_ns)
        return as_others(of, ENGINE_WAITED_UNKNOWN, now_ns);
    if (!door && message->whole && (int64_t)(now_ns - next) < 0 && next - now_ns <= SELDOM_NS)
        return atomic_load_explicit(&of->last_ns, memory_order_relaxed);
    waited = less_naps(ask(fd), NAP_CLIENT, now_ns);
    if (!message->whole)
        return as_others(of, waited, now_ns);
    if (note(of, waited, now_ns) == ENGINE_WAITED_UNKNOWN || door)
        return waited;
    atomic_store_explicit(&of->last_ns, waited, memory_order_relaxed);
    atomic_store_explicit(&of->next_ns, now_ns + (waited >= LONG_NS ? OFTEN_NS : SELDOM_NS), memory_order_relaxed);
    return waited;
}

/* -------------------------------------------------------------------------------------------------- unix sockets */

enum { LISTENERS = 64 };
static _Atomic uint64_t empty_ns[LISTENERS]; /* by the listener's number: when its queue was found empty; 0: never */

/* In the place of the peer's address, of which a unix socket has none. */
struct arrival {
    uint64_t waited_ns;   /* in the listener's queue */
    uint64_t accepted_ns; /* 0: nothing is known of it */
};
_Static_assert(sizeof(((struct admit_connection *)0)->peer) >= sizeof(struct arrival), "it has room there");

void admit_queue_empty(int listener) {
    atomic_store_explicit(&empty_ns[(unsigned)listener % LISTENERS], clock_ns(), memory_order_relaxed);
}

void admit_arrived(struct admit_connection *c, int listener, bool last) {
    uint64_t empty = atomic_load_explicit(&empty_ns[(unsigned)listener % LISTENERS], memory_order_relaxed),
             now_ns = clock_ns();
    struct arrival arrival = {.accepted_ns = empty ? now_ns : 0};
    if (empty)
        arrival.waited_ns = less_naps(now_ns - empty, NAP_ANY, now_ns);
    memcpy(c->peer, &arrival, sizeof(arrival));
    if (last)
        admit_queue_empty(listener);
}

/* The thread that accepted it need not be the one that reads it: each has naps of its own. */
static uint64_t of_unix(const struct admit_connection *c, uint64_t busy_ns, uint64_t now_ns) {
    struct arrival arrival;
    memcpy(&arrival, c->peer, sizeof(arrival));
    if (!arrival.accepted_ns || busy_ns || c->address_length)
        return ENGINE_WAITED_UNKNOWN;
    uint64_t since_ns = now_ns > arrival.accepted_ns ? now_ns - arrival.accepted_ns : 0;
    return arrival.waited_ns + less_naps(since_ns, NAP_ANY, now_ns);
}

uint64_t arrival_waited_ns(const struct admit_connection *c, int fd, const struct message *message, bool door,
                           uint64_t now_ns) {
    uint64_t busy_ns = message->busy_ns, since = now_ns > busy_ns ? now_ns - busy_ns : UINT64_MAX;
    uint64_t waited = c->port ? of_tcp(fd, message, door, now_ns) : of_unix(c, busy_ns, now_ns);
    return waited == ENGINE_WAITED_UNKNOWN || waited < since ? waited : since;
}
