/* What a program may do with a connection while a request on it has to wait (tests/process/queue_ends.py brings rules
 * that make it wait): take it out of an epoll set and put it back, change what it is to be told, have it in several
 * sets, close it, fork, close everything that it has not opened itself.  It is told with its own data, in the sets
 * where the connection is, once; and of nothing that is gone.  With an argument: requests that follow each other do
 * have to wait. */
#include "snippet.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>

enum { LATER_MS = 300, NEVER = -1 }; /* the turn has come by then */
static bool queued;                  /* the second of two requests waits */

static void control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};

    CHECK(QUIET(epoll_ctl(epoll, operation, fd, &event)) == 0);
}

static struct pair not_blocking(void) {
    struct pair pair = connected();

    CHECK(fcntl(pair.server, F_SETFL, O_NONBLOCK) == 0);
    return pair;
}

static size_t have; /* of the request under way */

/* Another request goes first. */
static void spend(const char *text) {
    struct pair pair = connected();

    CHECK(write(pair.client, text, strlen(text)) == (ssize_t)strlen(text));
    expect(pair.server, text);
    CHECK(write(pair.server, response, strlen(response)) == (ssize_t)strlen(response));
    expect(pair.client, response);
    disconnect(pair);
}

static void ask(struct pair pair) {
    if (queued)
        spend(request);
    have = 0;
    CHECK(write(pair.client, request, strlen(request)) == (ssize_t)strlen(request));
}

/* One event, of that connection. */
static uint32_t told(int epoll, uint64_t data) {
    struct epoll_event events[8];
    int count;

    do
        count = epoll_wait(epoll, events, 8, NEVER);
    while (count < 0 && errno == EINTR);
    CHECK(count == 1 && events[0].data.u64 == data);
    return events[0].events;
}

static void silent(int epoll) {
    struct epoll_event event;

    CHECK(epoll_wait(epoll, &event, 1, queued ? LATER_MS : 1) == 0);
}

/* False: the rest of it has to wait. */
static bool take(int fd) {
    char got[4096];
    ssize_t size;

    while (have < strlen(request) && (size = read(fd, got, sizeof got)) != -1) {
        CHECK(size > 0 && have + (size_t)size <= strlen(request) && memcmp(got, request + have, (size_t)size) == 0);
        have += (size_t)size;
    }
    CHECK(have == strlen(request) || errno == EAGAIN);
    return have == strlen(request);
}

static void answer_on(int fd, int client) {
    CHECK(write(fd, response, strlen(response)) == (ssize_t)strlen(response));
    expect(client, response);
}

static void take_when_told(int epoll, uint64_t data, int fd) {
    do
        CHECK(told(epoll, data) & EPOLLIN);
    while (!take(fd));
}

/* A connection in a set, its first event taken.  False: nothing has to wait, and the request is served. */
static bool waits(int epoll, struct pair pair, uint32_t events, uint64_t data) {
    control(epoll, EPOLL_CTL_ADD, pair.server, events, data);
    do {
        ask(pair);
        CHECK(told(epoll, data) & EPOLLIN);
        if (!take(pair.server))
            return true;
        answer_on(pair.server, pair.client);
        if (events & EPOLLONESHOT)
            control(epoll, EPOLL_CTL_MOD, pair.server, events, data);
    } while (queued); /* (so slow a machine that its turn had come) */
    return false;
}

static void every_way_of_asking(int epoll) {
    static const uint32_t ways[] = {EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLET | EPOLLRDHUP, EPOLLIN | EPOLLRDHUP,
                                    EPOLLIN | EPOLLEXCLUSIVE};

    for (size_t n = 0; n < sizeof ways / sizeof *ways; n++) {
        struct pair pair = not_blocking();
        if (waits(epoll, pair, ways[n], ~n)) {
            take_when_told(epoll, ~n, pair.server);
            answer_on(pair.server, pair.client);
        }
        disconnect(pair);
    }
}

static bool look(int fd, int way) {
    struct pollfd looks[] = {{.fd = -1, .events = POLLIN}, {.fd = fd, .events = POLLIN | POLLPRI}};
    struct timespec long_time = {.tv_sec = 3600};
    struct timeval long_value = {.tv_sec = 3600};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    switch (way) {
    case 0: return QUIET(poll(looks, 2, NEVER)) == 1 && looks[1].revents == POLLIN;
    case 1: return QUIET(poll(looks, 2, 3600000)) == 1 && looks[1].revents == POLLIN;
    case 2: return QUIET(ppoll(looks, 2, &long_time, NULL)) == 1 && looks[1].revents == POLLIN;
    case 3: return QUIET(ppoll(looks, 2, NULL, NULL)) == 1 && looks[1].revents == POLLIN;
    case 4: return QUIET(select(fd + 1, &set, NULL, NULL, NULL)) == 1 && FD_ISSET(fd, &set);
    case 5: return QUIET(select(fd + 1, &set, NULL, NULL, &long_value)) == 1 && long_value.tv_sec >= 3000;
    case 6: return QUIET(pselect(fd + 1, &set, NULL, NULL, &long_time, NULL)) == 1 && FD_ISSET(fd, &set);
    case 7: return QUIET(syscall(SYS_poll, looks, 2L, -1L)) == 1 && looks[1].revents == POLLIN;
    default: return false;
    }
}

/* Told once, and again after each EPOLL_CTL_MOD; not in between. */
static void once(int epoll) {
    struct pair pair = not_blocking();

    if (waits(epoll, pair, EPOLLIN | EPOLLONESHOT, 4)) {
        silent(epoll);
        do {
            control(epoll, EPOLL_CTL_MOD, pair.server, EPOLLIN | EPOLLONESHOT, 5);
            CHECK(told(epoll, 5) & EPOLLIN);
            silent(epoll);
        } while (!take(pair.server));
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
}

/* It is read without having been told, from a set in which it waits to be told once. */
static void not_told_yet(int epoll) {
    struct pair pair = not_blocking();

    control(epoll, EPOLL_CTL_ADD, pair.server, EPOLLIN | EPOLLONESHOT, 6);
    ask(pair);
    for (int size = 0; size == 0;)
        CHECK(ioctl(pair.server, FIONREAD, &size) == 0);
    if (!take(pair.server)) {
        CHECK(told(epoll, 6) == EPOLLIN);
        CHECK(take(pair.server));
        silent(epoll);
    }
    answer_on(pair.server, pair.client);
    disconnect(pair);
}

/* The request is there, and found to have to wait, before the connection is in a set at all. */
static void read_first(int epoll) {
    static const uint32_t ways[] = {EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLEXCLUSIVE};

    for (size_t n = 0; n < sizeof ways / sizeof *ways; n++) {
        struct pair pair = not_blocking();
        ask(pair);
        for (int size = 0; size == 0;)
            CHECK(ioctl(pair.server, FIONREAD, &size) == 0);
        if (!take(pair.server)) {
            control(epoll, EPOLL_CTL_ADD, pair.server, ways[n], n);
            CHECK(told(epoll, n) == EPOLLIN);
            CHECK(take(pair.server));
            silent(epoll);
        }
        answer_on(pair.server, pair.client);
        disconnect(pair);
    }
}

/* More than the kernel could be silent about (SO_RCVLOWAT) comes behind a request that waits: it is heard of only when
 * the request was read. */
static void much_behind(int epoll) {
    static const char post[] = "POST /hello HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n";
    static const uint32_t ways[] = {EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLEXCLUSIVE};
    static char body[200000], got[sizeof body + sizeof post];

    for (size_t n = 0; n < sizeof ways / sizeof *ways; n++) {
        struct pair pair = not_blocking();
        control(epoll, EPOLL_CTL_ADD, pair.server, ways[n], n);
        if (queued)
            spend("POST /hello HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n");
        CHECK(write(pair.client, post, strlen(post)) == (ssize_t)strlen(post));
        CHECK(write(pair.client, body, sizeof body) == (ssize_t)sizeof body);
        for (size_t have = 0, size = strlen(post) + sizeof body; have < size;) {
            CHECK(told(epoll, n) & EPOLLIN);
            for (ssize_t more; (more = read(pair.server, got + have, sizeof got - have)) != -1;) {
                CHECK(more > 0);
                have += (size_t)more;
            }
            CHECK(errno == EAGAIN);
        }
        CHECK(memcmp(got, post, strlen(post)) == 0);
        answer_on(pair.server, pair.client);
        disconnect(pair);
    }
}

/* Pointers that lead nowhere, while a request waits. */
static void bad_memory(int epoll) {
    struct pair pair = not_blocking();
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct timespec now = {0};
    struct timeval soon = {0};

    CHECK(page != MAP_FAILED);
    if (waits(epoll, pair, EPOLLIN, 1)) {
        FAILS(poll((struct pollfd *)(void *)page, 1, 0), EFAULT);
        FAILS(ppoll((struct pollfd *)(void *)page, 1, &now, NULL), EFAULT);
        FAILS(select(pair.server + 1, (fd_set *)(void *)page, NULL, NULL, &soon), EFAULT);
        FAILS(pselect(pair.server + 1, NULL, NULL, (fd_set *)(void *)page, &now, NULL), EFAULT);
        FAILS(syscall(SYS_ppoll, page, 0L, page, NULL, 8L), EFAULT);
        FAILS(epoll_ctl(epoll, EPOLL_CTL_MOD, pair.server, (struct epoll_event *)(void *)page), EFAULT);
        FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.server, (struct epoll_event *)(void *)page), EFAULT);
        take_when_told(epoll, 1, pair.server);
        answer_on(pair.server, pair.client);
    }
    CHECK(munmap(page, 4096) == 0);
    disconnect(pair);
}

/* Sets of the usual size at the end of memory, and a count beyond the process's table of descriptors. */
static void large_count(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd_set *set = (fd_set *)(void *)(pages + 4096 - sizeof(fd_set));
    struct pair pair = not_blocking();

    CHECK(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    ask(pair);
    do {
        FD_ZERO(set);
        FD_SET(pair.server, set);
        CHECK(select(65536, set, NULL, NULL, NULL) == 1 && FD_ISSET(pair.server, set));
    } while (!take(pair.server));
    answer_on(pair.server, pair.client);
    CHECK(munmap(pages, 8192) == 0);
    disconnect(pair);
}

/* Other descriptors and other events, asked for together with a connection whose request waits. */
static void polled_with_others(int epoll) {
    enum { MANY = 50 };
    struct pair pair = not_blocking();
    struct pollfd looks[MANY];
    struct timeval soon = {0};
    fd_set reads, writes, others;
    int ends[2];

    CHECK(pipe(ends) == 0);
    if (waits(epoll, pair, EPOLLIN, 1)) {
        for (int n = 0; n < MANY; n++)
            looks[n] = (struct pollfd){.fd = n % 2 ? pair.server : ends[0], .events = POLLIN};
        CHECK(QUIET(poll(looks, MANY, 0)) == 0);
        looks[1].events = POLLIN | POLLOUT;
        CHECK(QUIET(poll(looks, MANY, NEVER)) == 1 && looks[1].revents == POLLOUT);
        FD_ZERO(&reads);
        FD_SET(pair.server, &reads);
        writes = others = reads;
        CHECK(QUIET(select(pair.server + 1, &reads, &writes, &others, NULL)) == 1);
        CHECK(!FD_ISSET(pair.server, &reads) && FD_ISSET(pair.server, &writes) && !FD_ISSET(pair.server, &others));
        FD_SET(pair.server, &reads);
        CHECK(QUIET(select(pair.server + 1, &reads, NULL, NULL, &soon)) == 0 && !FD_ISSET(pair.server, &reads));
        CHECK(write(ends[1], "x", 1) == 1);
        FD_SET(ends[0], &reads);
        FD_SET(pair.server, &reads);
        CHECK(QUIET(select(FD_SETSIZE, &reads, NULL, NULL, NULL)) == 1 && FD_ISSET(ends[0], &reads));
        take_when_told(epoll, 1, pair.server);
        answer_on(pair.server, pair.client);
    }
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    disconnect(pair);
}

/* The client leaves: that is something to be read. */
static void left_polled(int epoll) {
    for (int way = 0; way < 8; way++) {
        struct pair pair = not_blocking();
        if (waits(epoll, pair, EPOLLIN, 1)) {
            char got[64];
            CHECK(shutdown(pair.client, SHUT_RDWR) == 0);
            CHECK(look(pair.server, way));
            CHECK(read(pair.server, got, sizeof got) <= 0);
        }
        disconnect(pair);
    }
}

/* While a request waits there is nothing to be read; when its turn has come, all of it. */
static void counted(int epoll) {
    struct pair pair = not_blocking();
    int size = -1;

    if (waits(epoll, pair, EPOLLIN, 1)) {
        CHECK(ioctl(pair.server, FIONREAD, &size) == 0 && size == 0);
        CHECK(told(epoll, 1) & EPOLLIN);
        CHECK(ioctl(pair.server, FIONREAD, &size) == 0 && size > 0);
        CHECK(take(pair.server));
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
}

static void changed(int epoll) {
    struct pair pair = not_blocking();

    if (waits(epoll, pair, EPOLLIN, 1)) {
        control(epoll, EPOLL_CTL_MOD, pair.server, 0, 2);
        silent(epoll);
        control(epoll, EPOLL_CTL_MOD, pair.server, EPOLLIN, 3);
        take_when_told(epoll, 3, pair.server);
        silent(epoll);
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
}

static void taken_out(int epoll) {
    struct pair pair = not_blocking();

    if (waits(epoll, pair, EPOLLIN, 1)) {
        control(epoll, EPOLL_CTL_DEL, pair.server, 0, 0);
        silent(epoll);
        control(epoll, EPOLL_CTL_ADD, pair.server, EPOLLIN | EPOLLET, 2);
        take_when_told(epoll, 2, pair.server);
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
}

static void in_two_sets(int epoll) {
    struct pair pair = not_blocking();
    int other = epoll_create1(EPOLL_CLOEXEC);

    control(other, EPOLL_CTL_ADD, pair.server, EPOLLIN, 2);
    if (waits(epoll, pair, EPOLLIN | EPOLLET, 1)) {
        usleep(LATER_MS * 1000);
        told(epoll, 1);
        told(other, 2);
        CHECK(take(pair.server));
        answer_on(pair.server, pair.client);
    }
    silent(other);
    disconnect(pair);
    CHECK(close(other) == 0);
}

/* The number of a set that is gone may be another set's. */
static void in_a_set_that_ends(void) {
    struct pair pair = not_blocking();
    int epoll = epoll_create1(0), number = epoll;

    if (waits(epoll, pair, EPOLLIN, 1)) {
        CHECK(close(epoll) == 0 && epoll_create1(0) == number);
        silent(epoll);
        control(epoll, EPOLL_CTL_ADD, pair.server, EPOLLIN, 2);
        take_when_told(epoll, 2, pair.server);
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
    CHECK(close(epoll) == 0);
}

static void under_two_numbers(int epoll) {
    struct pair pair = not_blocking();
    int copy = dup(pair.server);

    control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN | EPOLLET, 2);
    control(epoll, EPOLL_CTL_DEL, copy, 0, 0);
    if (waits(epoll, pair, EPOLLIN, 1)) {
        control(epoll, EPOLL_CTL_DEL, pair.server, 0, 0);
        CHECK(close(pair.server) == 0);
        silent(epoll);
        control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN, 3);
        take_when_told(epoll, 3, copy);
        answer_on(copy, pair.client);
    } else {
        CHECK(close(pair.server) == 0);
    }
    CHECK(close(copy) == 0 && close(pair.client) == 0 && close(pair.listening) == 0);
}

static void closed(int epoll) {
    int before = open_descriptors();
    struct pair pair = not_blocking();

    waits(epoll, pair, EPOLLIN, 1);
    disconnect(pair);
    CHECK(open_descriptors() == before);
    silent(epoll);
}

enum { GIVE_UP_WAYS = 8 };

static void give_up(int fd, int way) {
    int other = open("/dev/null", O_RDWR);

    switch (way) {
    case 0: CHECK(QUIET(close(fd)) == 0); break;
    case 1: CHECK(QUIET(shutdown(fd, SHUT_WR)) == 0); break;
    case 2: CHECK(QUIET(shutdown(fd, SHUT_RDWR)) == 0); break;
    case 3: CHECK(QUIET(dup2(other, fd)) == fd); break;
    case 4: CHECK(QUIET(dup3(other, fd, O_CLOEXEC)) == fd); break;
    case 5: CHECK(close_range((unsigned)fd, (unsigned)fd, 0) == 0 || close(fd) == 0); break;
    case 6: CHECK(fclose(fdopen(fd, "r+")) == 0); break;
    case 7: CHECK(syscall(SYS_close, fd) == 0); break;
    default: break;
    }
    CHECK(close(other) == 0);
}

/* It gives up a connection whose request waits, however: the client is answered, and sees the end in good order even if
 * it was still sending; and no set reports anything of it. */
static void given_up(int epoll) {
    for (int way = 0; way < GIVE_UP_WAYS; way++) {
        struct pair pair = not_blocking();
        bool waiting = waits(epoll, pair, EPOLLIN, 1);
        if (waiting) {
            char got[4096] = "";
            size_t size = 0;
            CHECK(write(pair.client, "more", 4) == 4);
            give_up(pair.server, way);
            CHECK(send(pair.client, "and more", 8, MSG_NOSIGNAL) == 8);
            for (ssize_t more; (more = read(pair.client, got + size, sizeof got - size - 1)) != 0; size += (size_t)more)
                CHECK(more > 0);
            CHECK(strncmp(got, "HTTP/1.1 503 ", 13) == 0 && strstr(got, "onnection: close\r\n"));
            CHECK(send(pair.client, "and more", 8, MSG_NOSIGNAL) == 8); /* a reset would make that fail */
        }
        if (fcntl(pair.server, F_GETFD) >= 0)
            CHECK(close(pair.server) == 0);
        CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
        silent(epoll);
    }
}

/* The turn and the end of the client come together: that is one event. */
static void left(int epoll) {
    struct pair pair = not_blocking();

    if (waits(epoll, pair, EPOLLIN | EPOLLRDHUP, 1)) {
        usleep(LATER_MS * 1000);
        CHECK(shutdown(pair.client, SHUT_WR) == 0);
        CHECK((told(epoll, 1) & (EPOLLIN | EPOLLRDHUP)) == (EPOLLIN | EPOLLRDHUP));
    }
    disconnect(pair);
}

static void forked(int epoll) {
    int before = open_descriptors();
    struct pair pair = not_blocking();
    bool waiting = waits(epoll, pair, EPOLLIN, 1);
    pid_t child = fork();

    if (child == 0) {
        CHECK(open_descriptors() == before + 3);
        disconnect(pair);
        exit(0);
    }
    ends_well(child);
    if (waiting) {
        take_when_told(epoll, 1, pair.server);
        answer_on(pair.server, pair.client);
    }
    disconnect(pair);
}

/* As daemons do it: what I have not opened, nobody needs. */
static void sweep(int way) {
    enum { FROM = 100, TO = 1100 };

    for (int fd = FROM; fd < TO && way == 0; fd++)
        CHECK(close(fd) == 0 || errno == EBADF);
    if (way == 1)
        CHECK(close_range(FROM, ~0u, 0) == 0 || errno == ENOSYS);
    if (way == 2)
        closefrom(FROM);
    for (int fd = FROM; fd < TO && way == 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            CHECK(dup2(epoll_create1(0), fd) == fd && close(fd) == 0);
}

/* All numbers above 100 are put to other use, while there are no more: a connection may end, but not hang. */
static void crowded_out(int epoll) {
    struct pair pair = not_blocking();
    struct rlimit before;
    struct epoll_event event;
    char got[256];

    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    bool waiting = waits(epoll, pair, EPOLLIN, 1);
    for (int fd = 100; fd < 1300; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        struct rlimit few = {(rlim_t)fd + 1, before.rlim_max};
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0 && dup2(pair.listening, fd) == fd && close(fd) == 0);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    }
    if (waiting)
        CHECK(epoll_wait(epoll, &event, 1, -1) == 1 && event.data.u64 == 1 &&
              (read(pair.server, got, sizeof got) >= 0 || errno == ECONNRESET));
    disconnect(pair);
}

static void swept(int epoll) {
    for (int way = 0; way < 4; way++) {
        struct pair pair = not_blocking();
        if (waits(epoll, pair, EPOLLIN, 1)) {
            sweep(way);
            take_when_told(epoll, 1, pair.server);
            answer_on(pair.server, pair.client);
        }
        disconnect(pair);
    }
}

/* Time-outs that end before: nothing is ready. */
static void look_briefly(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    struct timeval now = {0};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    int polled = poll(&one, 1, 0), selected = select(fd + 1, &set, NULL, NULL, &now);
    CHECK(polled == (one.revents == POLLIN) && (selected == 1) == !!FD_ISSET(fd, &set));
}

static void polled(void) {
    for (int way = 0; way < 8; way++) {
        struct pair pair = not_blocking();
        look_briefly(pair.server);
        ask(pair);
        do {
            CHECK(look(pair.server, way));
            look_briefly(pair.server);
        } while (!take(pair.server));
        answer_on(pair.server, pair.client);
        disconnect(pair);
    }
}

int main(int count, char **arguments) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    queued = count > 1 && strcmp(arguments[1], "queued") == 0;

    every_way_of_asking(epoll);
    once(epoll);
    not_told_yet(epoll);
    read_first(epoll);
    much_behind(epoll);
    bad_memory(epoll);
    large_count();
    polled_with_others(epoll);
    left_polled(epoll);
    counted(epoll);
    changed(epoll);
    taken_out(epoll);
    in_two_sets(epoll);
    in_a_set_that_ends();
    under_two_numbers(epoll);
    closed(epoll);
    given_up(epoll);
    left(epoll);
    forked(epoll);
    swept(epoll);
    crowded_out(epoll);
    polled();
    return 0;
}
