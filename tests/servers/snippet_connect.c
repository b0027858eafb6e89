/* connect: blocking, not blocking, refused, again, dissolved. */
#include "snippet.h"

#include <netinet/tcp.h>

static int error_of(int fd) {
    int error = -1;
    socklen_t length = sizeof error;

    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
    return error;
}

static void writable(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLOUT};

    CHECK(poll(&look, 1, 5000) == 1);
}

/* Nobody accepts: the handshake of one too many is not completed, and a non-blocking connect does not wait for it. */
static void does_not_wait(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), fd = -1, result = 0;

    CHECK(bind(listening, (struct sockaddr *)&address, sizeof address) == 0 && listen(listening, 0) == 0);
    CHECK(getsockname(listening, (struct sockaddr *)&address, &length) == 0);
    for (int n = 0; n < 10; n++) {
        struct pollfd look = {.events = POLLOUT};
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        result = connect(fd, (struct sockaddr *)&address, sizeof address);
        CHECK(result == 0 || errno == EINPROGRESS);
        look.fd = fd;
        if (result < 0 && poll(&look, 1, 50) == 0)
            break;
    }
    FAILS(connect(fd, (struct sockaddr *)&address, sizeof address), EALREADY);
    CHECK(close(fd) == 0); /* given up */
    CHECK(close(listening) == 0);
}

static void comes_about(void) {
    struct sockaddr_in address;
    int listening = listener(&address), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    int at_once = connect(fd, (struct sockaddr *)&address, sizeof address);
    CHECK(at_once == 0 || errno == EINPROGRESS);
    writable(fd);
    CHECK(error_of(fd) == 0);
    int server = accept(listening, NULL, NULL);
    if (at_once != 0) /* the first one to ask is told that it is done */
        CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    FAILS(connect(fd, (struct sockaddr *)&address, sizeof address), EISCONN);
    CHECK(fcntl(fd, F_SETFL, 0) == 0);
    exchange(server, fd);
    CHECK(close(fd) == 0 && close(server) == 0);

    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    fd = client(&address);
    CHECK(connect(fd, &nobody, sizeof nobody) == 0); /* dissolved */
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(close(accept(listening, NULL, NULL)) == 0);
    server = accept(listening, NULL, NULL);
    exchange(server, fd);
    CHECK(close(fd) == 0 && close(server) == 0 && close(listening) == 0);
}

static void refused(void) {
    struct sockaddr_in address, other;
    int gone = listener(&address), fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(close(gone) == 0);
    FAILS(connect(fd, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
    FAILS(read(fd, &other, 1), ENOTCONN);
    int listening = listener(&other); /* the socket is good for another attempt */
    CHECK(connect(fd, (struct sockaddr *)&other, sizeof other) == 0);
    int server = accept(listening, NULL, NULL);
    exchange(server, fd);
    CHECK(close(fd) == 0 && close(server) == 0);
    int later = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(later, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS) {
        writable(later);
        CHECK(error_of(later) == ECONNREFUSED);
    } else {
        CHECK(errno == ECONNREFUSED);
    }
    CHECK(close(later) == 0 && close(listening) == 0);
}

static void datagrams(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct mmsghdr messages[3] = {0};
    struct iovec iov[3];
    char bytes[3][8];

    CHECK(bind(server, (struct sockaddr *)&address, length) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(fd, (struct sockaddr *)&address, length) == 0);
    for (int n = 0; n < 3; n++) {
        iov[n] = (struct iovec){bytes[n], 1};
        bytes[n][0] = (char)('a' + n);
        messages[n].msg_hdr = (struct msghdr){.msg_iov = &iov[n], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(fd, messages, 3, 0) == 3);
    memset(bytes, 0, sizeof bytes);
    CHECK(recvmmsg(server, messages, 3, MSG_WAITFORONE, NULL) == 3 && bytes[2][0] == 'c' && messages[1].msg_len == 1);
    CHECK(close(fd) == 0 && close(server) == 0);
}

int main(void) {
    does_not_wait();
    comes_about();
    refused();
    datagrams();
    return 0;
}
