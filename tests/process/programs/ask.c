/* ask ADDRESS PORT TARGET N: N requests, each on a connection of its own; prints the status codes on one line. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(const struct sockaddr *address, socklen_t size, const char *target) {
    char bytes[4096];
    size_t have = 0;
    ssize_t got;
    int status = 0, fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (connect(fd, address, size) < 0)
        return -1;
    int length = snprintf(bytes, sizeof bytes, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    if (write(fd, bytes, (size_t)length) != length)
        return -1;
    while (have < sizeof bytes - 1 && (got = read(fd, bytes + have, sizeof bytes - 1 - have)) > 0)
        have += (size_t)got;
    bytes[have] = 0;
    close(fd);
    return sscanf(bytes, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (argc != 5)
        return 2;
    v4.sin_port = v6.sin6_port = htons((unsigned short)atoi(argv[2]));
    int is_v4 = inet_pton(AF_INET, argv[1], &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, argv[1], &v6.sin6_addr) != 1)
        return 2;
    for (int i = 0; i < atoi(argv[4]); i++)
        printf("%d ", is_v4 ? ask((struct sockaddr *)&v4, sizeof v4, argv[3])
                            : ask((struct sockaddr *)&v6, sizeof v6, argv[3]));
    printf("\n");
    return 0;
}
