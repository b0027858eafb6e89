/* The child of a vfork closes, replaces and runs programs on its parent's memory; the parent's connections live on. */
#include "snippet.h"

#include <spawn.h>

extern char **environ;

static void child_closes(struct pair pair) {
    int status;
    pid_t child = vfork();

    if (child == 0) {
        dup2(pair.client, pair.server);
        close(pair.server);
        close(pair.client);
        dup2(0, pair.listening);
        close_range(3, ~0u, 0);
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
}

static void child_runs(struct pair pair) {
    pid_t child = vfork();

    if (child == 0) {
        dup2(pair.server, 0);
        close(pair.server);
        closefrom(3);
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    ends_well(child);
}

static void child_fails(struct pair pair) {
    int status;
    pid_t child = vfork();

    if (child == 0) {
        close(pair.server);
        execl("/nowhere/at/all", "nothing", (char *)NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
}

static void child_in_child(struct pair pair) {
    pid_t child = vfork();

    if (child == 0) {
        int status;
        pid_t grandchild = vfork();
        if (grandchild == 0) {
            close(pair.client);
            _exit(3);
        }
        close(pair.server);
        _exit(waitpid(grandchild, &status, 0) == grandchild && WEXITSTATUS(status) == 3 ? 0 : 1);
    }
    ends_well(child);
}

static void spawned(struct pair pair) {
    posix_spawn_file_actions_t actions;
    char *arguments[] = {"true", NULL};
    pid_t child;

    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, pair.server, 0) == 0);
    CHECK(posix_spawn_file_actions_addclose(&actions, pair.server) == 0);
    CHECK(posix_spawn(&child, "/bin/true", &actions, NULL, arguments, environ) == 0);
    ends_well(child);
    CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
}

int main(void) {
    static void (*const children[])(struct pair) = {child_closes, child_runs, child_fails, child_in_child, spawned};

    for (unsigned n = 0; n < sizeof children / sizeof *children; n++) {
        struct pair pair = connected();
        exchange(pair.server, pair.client);
        children[n](pair);
        exchange(pair.server, pair.client);
        struct pair other = connected(); /* what is new in the parent is the parent's again */
        exchange(other.server, other.client);
        disconnect(other);
        disconnect(pair);
    }
    return 0;
}
