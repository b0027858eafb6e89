#include "shim/admission/arrival.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
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
#define RECENT_NS 100000000u

/* Of requests that are not the first of their connection, and of first ones, which waited to be accepted, too. */
static struct samples {
    _Atomic uint64_t next_ns, last_ns; /* when to ask again, and what the answer was */
} samples[2];

/* Since its last byte came; in the accept queue, or in the socket. */
static uint64_t ask(int fd) {
    struct tcp_info info;
    socklen_t size = offsetof(struct tcp_info, tcpi_last_data_recv) + sizeof(info.tcpi_last_data_recv);
    if (OWN5(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return ENGINE_WAITED_UNKNOWN;
    return (uint64_t)info.tcpi_last_data_recv * 1000000;
}

/* What the last one that was asked for had waited, if that was not long ago. */
static uint64_t as_others(const struct samples *of, uint64_t now_ns) {
    uint64_t next = atomic_load_explicit(&of->next_ns, memory_order_relaxed);
    return now_ns - next <= RECENT_NS || next - now_ns <= SELDOM_NS
               ? atomic_load_explicit(&of->last_ns, memory_order_relaxed)
               : ENGINE_WAITED_UNKNOWN;
}

static uint64_t of_tcp(int fd, const struct message *message, uint64_t now_ns) {
    struct samples *of = &samples[message->busy_ns == 0];
    uint64_t next = atomic_load_explicit(&of->next_ns, memory_order_relaxed), waited;
    if (!message->whole || message->busy_ns > now_ns || ((int64_t)(now_ns - next) < 0 && next - now_ns <= SELDOM_NS))
        return as_others(of, now_ns);
    waited = ask(fd);
    if (waited == ENGINE_WAITED_UNKNOWN)
        return waited;
    atomic_store_explicit(&of->last_ns, waited, memory_order_relaxed);
    atomic_store_explicit(&of->next_ns, now_ns + (waited >= LONG_NS ? OFTEN_NS : SELDOM_NS), memory_order_relaxed);
    return waited;
}

/* -------------------------------------------------------------------------------------------------- unix sockets */

enum { LISTENERS = 64, MATTERS_SHIFT = 33 /* for 8.6 s after a rule has asked */ };
static _Atomic uint64_t empty_ns[LISTENERS]; /* by the listener's number: when its queue was found empty; 0: never */
static _Atomic uint64_t idle_ns;             /* until then a thread waited for something to do, the last time */
static _Atomic uint64_t asked_ns;

/* In the place of the peer's address, of which a unix socket has none. */
_Static_assert(sizeof(((struct admit_connection *)0)->peer) >= sizeof(uint64_t), "the time it came has room there");

bool admit_asks_idle(void) {
    uint64_t asked = atomic_load_explicit(&asked_ns, memory_order_relaxed);
    return __builtin_expect(asked != 0, 0) && clock_ns() - asked < 1ull << MATTERS_SHIFT;
}

void admit_idle(void) {
    atomic_store_explicit(&idle_ns, clock_ns(), memory_order_relaxed);
}

void admit_queue_empty(int listener) {
    atomic_store_explicit(&empty_ns[(unsigned)listener % LISTENERS], clock_ns(), memory_order_relaxed);
}

void admit_arrived(struct admit_connection *c, int listener, bool last) {
    uint64_t empty = atomic_load_explicit(&empty_ns[(unsigned)listener % LISTENERS], memory_order_relaxed),
             idle = atomic_load_explicit(&idle_ns, memory_order_relaxed), since = empty > idle ? empty : idle;
    memcpy(c->peer, &since, sizeof(since));
    if (last)
        admit_queue_empty(listener);
}

static uint64_t of_unix(const struct admit_connection *c, uint64_t busy_ns, uint64_t now_ns) {
    uint64_t since;
    atomic_store_explicit(&asked_ns, now_ns, memory_order_relaxed);
    memcpy(&since, c->peer, sizeof(since));
    if (!since || busy_ns || c->address_length)
        return ENGINE_WAITED_UNKNOWN;
    return now_ns > since ? now_ns - since : 0;
}

uint64_t arrival_waited_ns(const struct admit_connection *c, int fd, const struct message *message, uint64_t now_ns) {
    uint64_t busy_ns = message->busy_ns, since = now_ns > busy_ns ? now_ns - busy_ns : UINT64_MAX,
             waited = c->port ? of_tcp(fd, message, now_ns) : of_unix(c, busy_ns, now_ns);
    return waited == ENGINE_WAITED_UNKNOWN || waited < since ? waited : since;
}
