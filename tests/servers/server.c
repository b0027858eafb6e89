/* A small HTTP server in every style: server STYLE PORT [READ_SIZE].  STYLE is one of the table at the end.  It
 * answers every request with its target, keeps connections, and takes pipelined requests. Only GET. */
#include "snippet.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int output = -1;         /* where answers go; -1: back */
static size_t read_size = 4096; /* not known when compiled: a fortified build asks __read_chk */
enum { CONNECTIONS = 1024, ROOM = 16384 };

struct conversation {
    char in[ROOM], out[ROOM];
    size_t have, out_size, out_sent;
    bool open;
};
static struct conversation *conversations[CONNECTIONS];
static bool (*receive_whole)(int fd, struct conversation *);

static struct conversation *conversation(int fd) {
    CHECK(fd < CONNECTIONS);
    if (!conversations[fd])
        conversations[fd] = calloc(1, sizeof(struct conversation));
    memset(conversations[fd], 0, offsetof(struct conversation, open));
    conversations[fd]->open = true;
    return conversations[fd];
}

/* Answers the requests that are complete; what is left stays. */
static void answer(struct conversation *c) {
    char *end;

    while ((end = memmem(c->in, c->have, "\r\n\r\n", 4)) && c->out_size < ROOM - 1024) {
        char target[256] = "?";
        size_t size = (size_t)(end + 4 - c->in);
        *end = 0;
        if (sscanf(c->in, "GET %255s", target) != 1)
            fprintf(stderr, "not a request: %.60s\n", c->in);
        c->out_size += (size_t)sprintf(c->out + c->out_size, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s\n",
                                       strlen(target) + 1, target);
        memmove(c->in, c->in + size, c->have -= size);
    }
}

/* False: the connection is at its end. */
static bool flush(int fd, struct conversation *c) {
    while (c->out_sent < c->out_size) {
        ssize_t sent = write(output < 0 ? fd : output, c->out + c->out_sent, c->out_size - c->out_sent);
        if (sent < 0)
            return errno == EAGAIN;
        c->out_sent += (size_t)sent;
    }
    c->out_sent = c->out_size = 0;
    return true;
}

static ssize_t take(int fd, struct conversation *c) {
    char piece[ROOM]; /* of a size that the compiler knows, for the fortified build */
    size_t room = sizeof c->in - c->have;
    ssize_t got = read(fd, piece, room < read_size ? room : read_size);

    if (got > 0) {
        memcpy(c->in + c->have, piece, (size_t)got);
        c->have += (size_t)got;
    }
    return got;
}

/* Level-triggered and blocking: one read for each notice. */
static bool once(int fd, struct conversation *c) {
    ssize_t got = take(fd, c);

    if (got == 0 || (got < 0 && errno != EAGAIN))
        return false;
    answer(c);
    return flush(fd, c);
}

/* Edge-triggered: until there is nothing more. */
static bool drain(int fd, struct conversation *c) {
    for (;;) {
        ssize_t got = take(fd, c);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        answer(c);
        if (!flush(fd, c))
            return false;
        if (got < 0)
            return true;
    }
}

static void finish(int fd) {
    conversations[fd]->open = false;
    close(fd);
}

static void rearm(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};

    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0);
}

static void take_event(int epoll, uint32_t edge, const struct epoll_event *event) {
    int fd = event->data.fd;

    if ((event->events & EPOLLOUT && !flush(fd, conversations[fd])) || !receive_whole(fd, conversations[fd]))
        finish(fd);
    else if (edge & EPOLLONESHOT)
        rearm(epoll, fd);
}

/* `edge`: EPOLLET, EPOLLONESHOT or 0. */
static void epoll_loop(int listening, uint32_t edge) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | edge, .data.fd = listening};

    CHECK(fcntl(listening, F_SETFL, O_NONBLOCK) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event) == 0);
    for (;;) {
        int count = epoll_wait(epoll, &event, 1, -1), fd = event.data.fd;
        if (count < 1)
            continue;
        if (fd != listening) {
            take_event(epoll, edge, &event);
            continue;
        }
        while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED) {
            if (fd < 0)
                continue;
            conversation(fd);
            event = (struct epoll_event){.events = EPOLLIN | edge | (edge & EPOLLET ? EPOLLOUT | EPOLLRDHUP : 0),
                                         .data.fd = fd};
            CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
        }
        if (edge & EPOLLONESHOT)
            rearm(epoll, listening);
    }
}

static void serve_epoll(int listening) {
    receive_whole = once;
    epoll_loop(listening, 0);
}

static void serve_epoll_edge(int listening) {
    receive_whole = drain;
    epoll_loop(listening, EPOLLET);
}

static void serve_epoll_oneshot(int listening) {
    receive_whole = once;
    epoll_loop(listening, EPOLLONESHOT);
}

static void *wait_for_connections(void *set) {
    struct epoll_event event;

    for (;;) {
        if (epoll_wait(*(int *)set, &event, 1, -1) == 1)
            take_event(*(int *)set, EPOLLONESHOT, &event);
    }
    return NULL;
}

/* Style of Java's NIO.2: what a thread accepts is read before it is put into the set, where only a pipe is so far. */
static void serve_reads_first(int listening) {
    struct epoll_event event = {.events = EPOLLIN};
    int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    pthread_t thread;

    receive_whole = once;
    CHECK(pipe(ends) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_connections, &epoll) == 0);
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
        if (!receive_whole(fd, conversation(fd)))
            finish(fd);
        else
            CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    }
}

static void ready(int listening, int fd) {
    if (fd != listening) {
        if (!once(fd, conversations[fd]))
            finish(fd);
        return;
    }
    int accepted = accept(listening, NULL, NULL);
    if (accepted >= 0 && accepted < FD_SETSIZE) {
        fcntl(accepted, F_SETFL, O_NONBLOCK);
        conversation(accepted);
    }
}

static void poll_loop(int listening, int looked_at) {
    for (;;) {
        struct pollfd looks[CONNECTIONS];
        nfds_t count = 0;
        looks[count++] = (struct pollfd){.fd = looked_at, .events = POLLIN};
        for (int fd = 0; fd < CONNECTIONS; fd++)
            if (conversations[fd] && conversations[fd]->open)
                looks[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        poll(looks, count, -1);
        for (nfds_t n = 0; n < count; n++)
            if (looks[n].revents)
                ready(listening, n ? looks[n].fd : listening);
    }
}

static void serve_poll(int listening) {
    poll_loop(listening, listening);
}

/* The number that is waited for is not the one that is accepted from. */
static void serve_poll_copy(int listening) {
    poll_loop(listening, dup(listening));
}

static void serve_select(int listening) {
    for (;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(listening, &set);
        for (int fd = 0; fd < CONNECTIONS; fd++)
            if (conversations[fd] && conversations[fd]->open)
                FD_SET(fd, &set);
        select(CONNECTIONS, &set, NULL, NULL, NULL);
        for (int fd = 0; fd < CONNECTIONS; fd++)
            if (FD_ISSET(fd, &set))
                ready(listening, fd);
    }
}

static void converse(int fd) {
    struct conversation *c = calloc(1, sizeof *c);

    while (once(fd, c))
        continue;
    free(c);
    close(fd);
}

static void *thread_body(void *argument) {
    converse((int)(intptr_t)argument);
    return NULL;
}

static int next(int listening) {
    int fd;

    do
        fd = accept(listening, NULL, NULL);
    while (fd < 0 && (errno == ECONNABORTED || errno == EINTR));
    CHECK(fd >= 0);
    return fd;
}

static void serve_threads(int listening) {
    for (;;) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, thread_body, (void *)(intptr_t)next(listening)) == 0);
        pthread_detach(thread);
    }
}

/* Says when nothing came for 0.3 s. */
static void serve_timed(int listening) {
    struct timeval limit = {.tv_usec = 300000};

    CHECK(setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    for (;;) {
        pthread_t thread;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0) {
            CHECK(errno == EAGAIN);
            puts("timed out");
            fflush(stdout);
            continue;
        }
        limit = (struct timeval){0}; /* is inherited */
        CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
        CHECK(pthread_create(&thread, NULL, thread_body, (void *)(intptr_t)fd) == 0);
        pthread_detach(thread);
    }
}

static void serve_fork(int listening) {
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = next(listening);
        if (fork() == 0) {
            close(listening);
            converse(fd);
            _exit(0);
        }
        close(fd);
    }
}

static void serve_one_by_one(int listening) {
    for (;;)
        converse(next(listening));
}

static void serve_prefork(int listening) {
    for (int n = 0; n < 4; n++)
        if (fork() == 0)
            serve_one_by_one(listening);
    for (;;)
        pause();
}

/* Style of inetd: the connection is standard input and output. */
static void serve_standard(int listening) {
    close(listening);
    output = 1;
    converse(0);
    exit(0);
}

/* Style of socket activation: the listener is there already, number 3. */
static void serve_activated(int listening) {
    CHECK(listening != 3 && close(listening) == 0);
    serve_epoll(3);
}

static const struct {
    const char *name;
    void (*serve)(int listening);
} styles[] = {
    {"epoll", serve_epoll},         {"edge", serve_epoll_edge},         {"oneshot", serve_epoll_oneshot},
    {"poll", serve_poll},           {"select", serve_select},           {"threads", serve_threads},
    {"fork", serve_fork},           {"prefork", serve_prefork},         {"standard", serve_standard},
    {"activated", serve_activated}, {"reads-first", serve_reads_first}, {"poll-copy", serve_poll_copy},
    {"timed", serve_timed},
};

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

    signal(SIGPIPE, SIG_IGN);
    CHECK(count >= 3);
    address.sin_port = htons((uint16_t)atoi(arguments[2]));
    if (count > 3)
        read_size = (size_t)atoi(arguments[3]);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 128) == 0);
    for (size_t n = 0; n < sizeof styles / sizeof *styles; n++)
        if (strcmp(styles[n].name, arguments[1]) == 0)
            styles[n].serve(fd);
    fprintf(stderr, "no such style: %s\n", arguments[1]);
    return 2;
}
