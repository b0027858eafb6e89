/* A load generator for HTTP/1.1 that does not wait for the server it loads: requests start when the schedule says, as
 * those of many independent clients do, and latency counts from that moment, so that a server (or this program) that
 * falls behind cannot hide it ("coordinated omission"). A client has patience; then it is gone and its connection
 * closed.
 *
 *     openload [options] HOST PORT PHASE...
 *
 *     PHASE   open:RATE:SECONDS      so many requests a second, at random (Poisson) moments
 *             even:RATE:SECONDS      so many requests a second, evenly spaced
 *             closed:N:SECONDS       N clients, each of which asks again when it has its response: measures the
 * capacity -p PATH     what is asked for (default /); several: in turn -k          connections are kept alive and used
 * again (otherwise: one for each request) -c N        at most so many connections (default 4000); what finds none waits
 * for one -t MS       patience, from the scheduled moment (default 1000) -s N        clients come from so many
 * addresses: 127.1.0.1 and up (default 1: the kernel's choice) -H LINE     a header more -r SEED     of the random
 * moments (default 1)
 *
 * Output: a line for each request, `PHASE SCHEDULED_us BEGUN_us LATENCY_us RESULT`, times from the start; RESULT is the
 * status, or timeout, reset or refused. The last line: `# cpu SHARE`, this program's use of its core. HOST is an IPv4
 * address. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/openload_http.h"

enum { PATHS = 16, PHASES = 256, EVENTS = 256, READ_SIZE = 1 << 16, NONE = -1 };
enum { TIMEOUT = -1, RESET = -2, REFUSED = -3 };
enum phase_kind { OPEN, EVEN, CLOSED };

struct phase {
    enum phase_kind kind;
    double rate;
    int64_t begins, ends; /* ns from the start */
};
struct request {
    int64_t scheduled, begun, took; /* ns from the start; begun: with its connection; took: from scheduled */
    int result;                     /* 0: not known yet */
    int connection, phase, path;
    bool sent;  /* on this connection */
    bool again; /* it was sent on a used connection that the server closed: once more, on a new one */
};
struct connection {
    int fd, request; /* request: NONE while idle */
    bool used;       /* has had a response */
    int next_idle;
    struct answer answer;
};

static struct {
    struct sockaddr_in address;
    const char *paths[PATHS], *header;
    int paths_count, most, sources, phases_count;
    bool keep_alive;
    int64_t patience, start;
    uint64_t seed;
    struct phase phases[PHASES];
} options = {.most = 4000, .sources = 1, .patience = 1000000000, .seed = 1, .header = ""};

static struct request *requests;
static int requests_count, requests_room, oldest, waiting; /* waiting: the first that has not been sent */
static struct connection *connections;
static int open_count, free_slot = NONE, idle = NONE, epoll;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec - options.start;
}

static double unit_random(void) { /* (0, 1] */
    options.seed ^= options.seed << 13, options.seed ^= options.seed >> 7, options.seed ^= options.seed << 17;
    return (double)((options.seed >> 11) + 1) / 9007199254740992.0;
}

static int request_new(int phase, int64_t scheduled) {
    if (requests_count == requests_room) {
        requests_room = requests_room ? 2 * requests_room : 4096;
        requests = realloc(requests, (size_t)requests_room * sizeof(*requests));
        if (!requests)
            fail("memory");
    }
    requests[requests_count] = (struct request){
        .scheduled = scheduled, .phase = phase, .connection = NONE, .path = requests_count % options.paths_count};
    return requests_count++;
}

static void request_ends(int number, int result) {
    requests[number].took = now() - requests[number].scheduled;
    requests[number].result = result;
    requests[number].connection = NONE;
}

static void connection_close(int slot) {
    struct connection *connection = &connections[slot];
    for (int *at = &idle; connection->request == NONE && *at != NONE; at = &connections[*at].next_idle)
        if (*at == slot) {
            *at = connection->next_idle;
            break;
        }
    close(connection->fd);
    connection->fd = -1;
    connection->next_idle = free_slot;
    free_slot = slot;
    open_count--;
}

static int connection_open(int number) {
    int slot = free_slot, on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (options.sources > 1) {
        uint32_t host = 0x7f010001u + (uint32_t)(unit_random() * (options.sources - 1));
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
            fail("bind");
    }
    if (connect(fd, (struct sockaddr *)&options.address, sizeof(options.address)) && errno != EINPROGRESS)
        return close(fd), NONE;
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u32 = (uint32_t)slot};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll_ctl");
    free_slot = connections[slot].next_idle;
    open_count++;
    connections[slot].fd = fd;
    connections[slot].used = false;
    connections[slot].request = number;
    answer_begin(&connections[slot].answer);
    return slot;
}

/* 0 when sent, or when the connection is not there yet. */
static int request_send(struct connection *connection) {
    struct request *request = &requests[connection->request];
    char text[2048];
    int length = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: bench.test\r\n%s%s%s\r\n",
                          options.paths[request->path], options.header, *options.header ? "\r\n" : "",
                          options.keep_alive ? "" : "Connection: close\r\n");
    if (send(connection->fd, text, (size_t)length, MSG_NOSIGNAL) == length)
        request->sent = true;
    else if (errno != EAGAIN && errno != ENOTCONN)
        return -errno;
    return 0;
}

static void connection_broke(int slot, int error);

/* Takes an idle connection, or a new one. False: there may be no more of them now. */
static bool request_start(int number) {
    struct request *request = &requests[number];
    if (options.keep_alive && idle != NONE && !request->again) {
        int slot = idle;
        request->begun = now();
        idle = connections[slot].next_idle;
        request->connection = slot;
        connections[slot].request = number;
        answer_begin(&connections[slot].answer);
        int error = request_send(&connections[slot]);
        if (error)
            connection_broke(slot, -error);
        return true;
    }
    if (open_count >= options.most)
        return false;
    if (!request->begun)
        request->begun = now();
    request->connection = connection_open(number);
    if (request->connection == NONE)
        request_ends(number, REFUSED);
    return true;
}

static void next_of_closed(int phase);

/* The connection is of no more use, and its request, if it has one, has no response. */
static void connection_broke(int slot, int error) {
    int number = connections[slot].request;
    bool again = number != NONE && connections[slot].used && connections[slot].answer.status == 0;
    connection_close(slot);
    if (number == NONE)
        return;
    requests[number].connection = NONE;
    if (again && !requests[number].again) {
        requests[number].again = true;
        requests[number].sent = false;
        if (request_start(number))
            return;
    }
    request_ends(number, error == ECONNREFUSED ? REFUSED : RESET);
    next_of_closed(requests[number].phase);
}

static void connection_answered(int slot) {
    struct connection *connection = &connections[slot];
    int phase = requests[connection->request].phase, status = connection->answer.status;
    request_ends(connection->request, status > 0 ? status : RESET);
    connection->request = NONE;
    connection->used = true;
    connection->next_idle = idle;
    idle = slot;
    if (!options.keep_alive || connection->answer.closes || status <= 0)
        connection_close(slot);
    next_of_closed(phase);
}

static void connection_read(int slot) {
    static char bytes[READ_SIZE];
    struct connection *connection = &connections[slot];
    const int fd = connection->fd;
    for (;;) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
        if (size < 0 && errno == EAGAIN)
            return;
        bool open = size > 0;
        if (connection->request != NONE) {
            if (open)
                answer_take(&connection->answer, bytes, (size_t)size);
            if (open ? connection->answer.stage == ANSWER_DONE : size == 0 && answer_ends(&connection->answer)) {
                connection_answered(slot);
                if (connection->fd != fd)
                    return;
                continue; /* edge-triggered: the end of an idle connection may be here already */
            }
        }
        if (!open) {
            connection_broke(slot, size < 0 ? errno : 0);
            return;
        }
    }
}

static void connection_event(int slot, uint32_t events) {
    struct connection *connection = &connections[slot];
    int error = 0;
    if (connection->fd < 0)
        return;
    if (events & EPOLLERR) {
        socklen_t size = sizeof(error);
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (!error && (events & EPOLLOUT) && connection->request != NONE && !requests[connection->request].sent)
        error = -request_send(connection);
    if (error)
        connection_broke(slot, error);
    else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        connection_read(slot);
}

static void next_of_closed(int phase) {
    int64_t time = now();
    if (options.phases[phase].kind == CLOSED && time < options.phases[phase].ends)
        request_new(phase, time);
}

/* Requests whose client has had no response in time. */
static void give_up(int64_t time) {
    for (; oldest < requests_count; oldest++) {
        struct request *request = &requests[oldest];
        if (request->result)
            continue;
        if (time < request->scheduled + options.patience || request->scheduled > time)
            return;
        if (request->connection != NONE)
            connection_close(request->connection);
        request_ends(oldest, TIMEOUT);
        next_of_closed(request->phase);
    }
}

static int64_t gap(const struct phase *phase) {
    return (int64_t)(1e9 / phase->rate * (phase->kind == OPEN ? -log(unit_random()) : 1)) + 1;
}

/* Schedules what is due; returns when the next is. */
static int64_t schedule(int64_t time) {
    static int phase = 0;
    static int64_t next = 0;
    for (; phase < options.phases_count; phase++, next = 0) {
        const struct phase *current = &options.phases[phase];
        if (time < current->begins)
            return current->begins;
        if (!next) {
            next = current->kind == CLOSED ? current->ends : current->begins + gap(current);
            for (int i = 0; current->kind == CLOSED && i < current->rate; i++)
                request_new(phase, time);
        }
        for (; current->kind != CLOSED && next < current->ends && next <= time; next += gap(current))
            request_new(phase, next);
        if (time < current->ends)
            return next < current->ends ? next : current->ends;
    }
    return INT64_MAX;
}

static void send_waiting(void) {
    for (; waiting < requests_count; waiting++)
        if (!requests[waiting].result && !request_start(waiting))
            return;
}

static void wait_until(int64_t time) {
    struct epoll_event events[EVENTS];
    int64_t left = time - now();
    struct timespec wait = {0, left > 0 ? left < 20000000 ? left : 20000000 : 0};
    int count = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait");
    for (int i = 0; i < count; i++)
        connection_event((int)events[i].data.u32, events[i].events);
}

static void run(void) {
    for (;;) {
        int64_t time = now(), next = schedule(time);
        give_up(time);
        send_waiting();
        if (next == INT64_MAX && oldest == requests_count)
            return;
        if (oldest < requests_count && requests[oldest].scheduled + options.patience < next)
            next = requests[oldest].scheduled + options.patience;
        wait_until(next);
    }
}

static void print(void) {
    for (int i = 0; i < requests_count; i++) {
        const struct request *request = &requests[i];
        printf("%d %ld %ld %ld ", request->phase, request->scheduled / 1000, request->begun / 1000,
               request->took / 1000);
        if (request->result > 0)
            printf("%d\n", request->result);
        else
            printf("%s\n", request->result == TIMEOUT ? "timeout" : request->result == RESET ? "reset" : "refused");
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("# cpu %.3f\n", cpu / ((double)now() / 1e9));
}

static bool phase_parse(const char *text) {
    static const char *names[] = {"open", "even", "closed"};
    struct phase *phase = &options.phases[options.phases_count];
    char name[8];
    double rate, seconds;
    if (options.phases_count == PHASES || sscanf(text, "%7[a-z]:%lf:%lf", name, &rate, &seconds) != 3 || rate <= 0 ||
        seconds <= 0)
        return false;
    for (int kind = 0; kind < 3; kind++)
        if (!strcmp(name, names[kind])) {
            int64_t begins = options.phases_count ? phase[-1].ends : 0;
            *phase = (struct phase){(enum phase_kind)kind, rate, begins, begins + (int64_t)(seconds * 1e9)};
            options.phases_count++;
            return true;
        }
    return false;
}

static void usage(const char *why) {
    fprintf(
        stderr,
        "openload: %s\nusage: openload [-k] [-p PATH]... [-c CONNECTIONS] [-t MS] [-s SOURCES] [-H HEADER] [-r SEED]"
        " HOST PORT open|even|closed:RATE|N:SECONDS...\n",
        why);
    exit(2);
}

static void arguments(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "kp:c:t:s:H:r:")) >= 0;) {
        if (letter == 'k')
            options.keep_alive = true;
        else if (letter == 'p' && options.paths_count < PATHS)
            options.paths[options.paths_count++] = optarg;
        else if (letter == 'c')
            options.most = atoi(optarg);
        else if (letter == 't')
            options.patience = atoll(optarg) * 1000000;
        else if (letter == 's')
            options.sources = atoi(optarg);
        else if (letter == 'H')
            options.header = optarg;
        else if (letter == 'r')
            options.seed = strtoull(optarg, NULL, 10) * 2654435761u + 1;
        else
            usage("what is that?");
    }
    if (argc - optind < 3)
        usage("HOST, PORT and a phase are needed");
    options.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[optind + 1]))};
    if (inet_pton(AF_INET, argv[optind], &options.address.sin_addr) != 1)
        usage("HOST is an IPv4 address");
    for (int i = optind + 2; i < argc; i++)
        if (!phase_parse(argv[i]))
            usage(argv[i]);
    if (!options.paths_count)
        options.paths[options.paths_count++] = "/";
    if (options.most < 1 || options.patience < 1 || options.sources < 1)
        usage("-c, -t and -s are numbers from 1 on");
}

int main(int argc, char **argv) {
    arguments(argc, argv);
    connections = calloc((size_t)options.most, sizeof(*connections));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || epoll < 0)
        fail("openload");
    struct rlimit files = {(rlim_t)options.most + 64, (rlim_t)options.most + 64}, now_is;
    if (!getrlimit(RLIMIT_NOFILE, &now_is) && now_is.rlim_cur < files.rlim_cur) {
        files.rlim_max = now_is.rlim_max > files.rlim_max ? now_is.rlim_max : files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files))
            fail("so many descriptors (ulimit -n)");
    }
    for (int i = options.most - 1; i >= 0; i--) {
        connections[i] = (struct connection){.fd = -1, .request = NONE, .next_idle = free_slot};
        free_slot = i;
    }
    options.start = now();
    run();
    print();
    return 0;
}
