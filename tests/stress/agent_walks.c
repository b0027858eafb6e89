/* The agent's loop and its worker under ThreadSanitizer: rules edited, processes and ports asked about, agents opened
 * and closed in the middle of a walk.
 *
 *     agent_walks [agents]        default 20 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/control/control.h"

enum { EDITS = 10, ANSWER = 1 << 20 };

static char folder[] = "/tmp/weir-walks-XXXXXX", rules[64], run_dir[64];
static unsigned published, answers;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void count_line(void *context, int level, const char *line) {
    (void)context;
    (void)level;
    published += strstr(line, " published, ") != NULL;
}

static void put_rules(unsigned count) {
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", rules);
    FILE *file = fopen(fresh, "w");
    if (!file ||
        fprintf(file, "{\"app\": \"shop\", \"flow\": [{\"resource\": \"tcp::%u\", \"count\": 1}]}", count) < 0 ||
        fclose(file) != 0 || rename(fresh, rules) != 0)
        fail(rules);
}

static int connected(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/" CONTROL_SOCKET, run_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        fail(address.sun_path);
    return fd;
}

/* Asks, and steps the agent until the answer is whole; or, with `patient` false, goes away at once. */
static void ask(struct agent *agent, const char *request, bool patient) {
    static char answer[ANSWER];
    size_t have = 0;
    ssize_t got = -1;
    int fd = connected();
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        fail("send");
    while (patient && got != 0) {
        agent_step(agent, 10);
        while ((got = recv(fd, answer + have, sizeof answer - have, 0)) > 0)
            have += (size_t)got;
    }
    agent_step(agent, 0);
    close(fd);
    if (patient && (have < 2 || answer[0] != '{' || answer[have - 1] != '\n')) {
        fprintf(stderr, "no answer to %s: %zu bytes\n", request, have);
        exit(1);
    }
    answers += patient;
}

static void one_agent(unsigned number) {
    static const char *paths[] = {rules};
    struct agent_options options = {
        .run_dir = run_dir, .rule_paths = paths, .rule_paths_count = 1, .log = {.write = count_line}, .embedded = true};
    int error;
    put_rules(1);
    struct agent *agent = agent_open(&options, NULL, &error);
    if (!agent)
        fail("agent_open");
    for (unsigned i = 0; i < EDITS; i++) {
        unsigned before = published;
        put_rules(2 + i + number * EDITS);
        ask(agent, "{\"cmd\":\"ports\"}\n", i % 2);
        ask(agent, "{\"cmd\":\"status\"}\n", true);
        while (published == before)
            agent_step(agent, 1000);
    }
    ask(agent, "{\"cmd\":\"ports\"}\n", false);
    agent_close(agent); /* with a walk going on, perhaps */
}

int main(int argc, char **argv) {
    unsigned agents = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    char command[128];
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder))
        fail(folder);
    snprintf(rules, sizeof rules, "%s/rules.json", folder);
    snprintf(run_dir, sizeof run_dir, "%s/run", folder);
    for (unsigned i = 0; i < agents; i++)
        one_agent(i);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    printf("%u agents, %u versions of rules, %u answers\n", agents, published, answers);
    return system(command) != 0;
}
