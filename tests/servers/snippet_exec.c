/* A connection that is inherited through exec, as inetd hands it over: on 0, 1 and 2.  Our own first argument is the
 * step. */
#include "snippet.h"

static int serve(void) {
    char bytes[512];
    ssize_t have = 0, n;

    while (have < (ssize_t)strlen(request) && (n = read(0, bytes + have, sizeof bytes - (size_t)have)) > 0)
        have += n;
    if (have != (ssize_t)strlen(request) || memcmp(bytes, request, (size_t)have) != 0)
        return 2;
    return write(1, response, strlen(response)) == (ssize_t)strlen(response) ? 0 : 3;
}

int main(int count, char **arguments) {
    if (count > 1)
        return serve();
    for (int round = 0; round < 5; round++) {
        struct pair pair = connected();
        pid_t child = fork();
        if (child == 0) {
            CHECK(dup2(pair.server, 0) == 0 && dup2(pair.server, 1) == 1);
            closefrom(3);
            execl(arguments[0], arguments[0], "serve", (char *)NULL);
            _exit(127);
        }
        CHECK(close(pair.server) == 0);
        CHECK(write(pair.client, request, strlen(request)) == (ssize_t)strlen(request));
        expect(pair.client, response);
        ends_well(child);
        char byte;
        CHECK(read(pair.client, &byte, 1) == 0); /* nobody else holds it open */
        CHECK(close(pair.client) == 0 && close(pair.listening) == 0);
    }
    return 0;
}
