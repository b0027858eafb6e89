/* The agent's two sockets: any sequence of messages to agent.sock from a real connection, any request on control.sock.
 * The agent is a real one, stepped in this very process; its shared memory may be scribbled on by the messages' slots
 * alone.  Input: a byte that chooses, then messages of a length byte and that many bytes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/control/control.h"
#include "rules/attach.h"

enum { REQUEST = 32 << 10 /* bytes: they fit into a socket */ };
static char folder[] = "/tmp/weir-fuzz-XXXXXX";
static char rules_file[64], socket_path[64], control_path[64];
static struct agent *agent;

static void remove_all(void) {
    char command[128];
    agent_close(agent);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const char *paths[] = {rules_file};
    static char run_dir[64];
    int error;
    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder))
        abort();
    snprintf(rules_file, sizeof rules_file, "%s/rules.json", folder);
    snprintf(run_dir, sizeof run_dir, "%s/run", folder);
    snprintf(socket_path, sizeof socket_path, "%s/" ATTACH_SOCKET, run_dir);
    snprintf(control_path, sizeof control_path, "%s/" CONTROL_SOCKET, run_dir);
    FILE *file = fopen(rules_file, "w");
    if (!file || fputs("{\"app\": \"shop\", \"flow\": [{\"resource\": \"GET:/\", \"count\": 1}]}", file) < 0 ||
        fclose(file) != 0)
        abort();
    struct agent_options options = {.run_dir = run_dir, .rule_paths = paths, .rule_paths_count = 1};
    agent = agent_open(&options, NULL, &error);
    if (!agent)
        abort();
    atexit(remove_all);
    return 0;
}

static void step(void) {
    for (int i = 0; i < 3; i++)
        if (agent_step(agent, 0) != 0)
            abort();
}

static void take_replies(int fd) {
    char bytes[256], control[256];
    struct iovec part = {bytes, sizeof bytes};
    for (;;) {
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got <= 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int received;
                memcpy(&received, CMSG_DATA(c) + i * sizeof received, sizeof received);
                close(received);
            }
    }
}

static int connected(const char *path, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        abort();
    return fd;
}

/* `framed`: the fixed fields are right, so that what comes after them is reached. */
static void talk(const uint8_t *data, size_t size, int framed) {
    int fd = connected(socket_path, SOCK_SEQPACKET);
    while (size > 0) {
        struct attach_hello hello = {.magic = ATTACH_MAGIC, .version = LAYOUT_VERSION};
        size_t length = data[0] < size ? data[0] : size - 1, room = sizeof hello - 8;
        if (framed) {
            memcpy((char *)&hello + 8, data + 1, length < room ? length : room);
            hello.kind = 1 + hello.kind % 2;
            send(fd, &hello, sizeof hello, MSG_NOSIGNAL);
        } else {
            send(fd, data + 1, length, MSG_NOSIGNAL);
        }
        step();
        take_replies(fd);
        data += 1 + length;
        size -= 1 + length;
    }
    close(fd);
    step();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Whatever is asked, the answer is one line of JSON, or none where nothing was asked. */
static void ask(const uint8_t *request, size_t size) {
    static char answer[1 << 20];
    size_t have = 0;
    ssize_t got;
    int fd = connected(control_path, SOCK_STREAM);
    if (send(fd, request, size, MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) < 0)
        abort();
    step();
    while ((got = recv(fd, answer + have, sizeof answer - 1 - have, 0)) > 0 || (got < 0 && errno == EAGAIN)) {
        have += got > 0 ? (size_t)got : 0;
        if (agent_step(agent, got > 0 ? 0 : 100) != 0) /* some answers are made beside the loop */
            abort();
    }
    if (got < 0 || (have && (answer[0] != '{' || answer[have - 1] != '\n')))
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    if (data[0] % 3 != 2)
        talk(data + 1, size - 1, data[0] % 3);
    else
        ask(data + 1, size - 1 < REQUEST ? size - 1 : REQUEST);
    return 0;
}
