/* hold PORT: takes every connection on any address, IPv4 and IPv6, says "hi", and keeps it until the other side closes.
 * hold ADDRESS PORT N: makes N connections, prints how many came about and how many were refused, and keeps them until
 * its input ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 512 };

static int serve(const char *port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(port))};
    struct pollfd fds[CONNECTIONS] = {{.fd = socket(AF_INET6, SOCK_STREAM, 0), .events = POLLIN}};
    int on = 1;
    nfds_t count = 1;
    setsockopt(fds[0].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fds[0].fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fds[0].fd, 1024) < 0)
        return 1;
    while (poll(fds, count, -1) >= 0) {
        char bytes[512];
        for (nfds_t i = count - 1; i > 0; i--)
            if (fds[i].revents && read(fds[i].fd, bytes, sizeof bytes) <= 0) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        if (fds[0].revents && count < CONNECTIONS) {
            int fd = accept(fds[0].fd, NULL, NULL);
            if (fd >= 0 && write(fd, "hi", 2) == 2)
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
    return 1;
}

static int call(const char *host, const char *port, int times) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
    int family = strchr(host, ':') ? AF_INET6 : AF_INET, made = 0, refused = 0;
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t size = family == AF_INET ? sizeof v4 : sizeof v6;
    if (inet_pton(family, host, family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr) != 1)
        return 2;
    for (int i = 0; i < times; i++) {
        int fd = socket(family, SOCK_STREAM, 0);
        if (connect(fd, address, size) == 0) {
            made++;
        } else {
            refused += errno == ECONNREFUSED;
            close(fd);
        }
    }
    printf("%d %d\n", made, refused);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    return 0;
}

int main(int argc, char **argv) {
    return argc == 2 ? serve(argv[1]) : argc == 4 ? call(argv[1], argv[2], atoi(argv[3])) : 2;
}
