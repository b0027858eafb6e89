/* A new descriptor is the lowest that is free, and nobody holds one that the program does not know of. */
#include "snippet.h"

static int lowest(void) {
    int fd = dup(0);

    CHECK(fd >= 0 && close(fd) == 0);
    return fd;
}

int main(void) {
    closefrom(3);
    CHECK(open_descriptors() == 3 && lowest() == 3);
    for (int round = 0; round < 50; round++) {
        struct pair pair = connected();
        CHECK(pair.listening == 3 && pair.client == 4 && pair.server == 5 && lowest() == 6);
        exchange(pair.server, pair.client);
        CHECK(lowest() == 6 && open_descriptors() == 6);
        disconnect(pair);
        CHECK(lowest() == 3);
    }
    return 0;
}
