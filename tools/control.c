#include "tools/control.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/control/control.h"
#include "tools/cmd.h"
#include "tools/output.h"
#include "tools/run_dir.h"

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline_ms) {
    struct pollfd wait = {fd, events, 0};
    for (;;) {
        int64_t left = deadline_ms - now_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        int ready = poll(&wait, 1, (int)left);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

static int open_control(const char *run_dir, int64_t deadline_ms) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/" CONTROL_SOCKET, run_dir);
    if (length >= (int)sizeof address.sun_path)
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = 0;
    while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error = -errno;
        if (error != -EAGAIN && error != -EINTR)
            break;
        /* EAGAIN: its queue is full, and there is no way to learn when it no longer is */
        if (now_ms() >= deadline_ms)
            error = -ETIMEDOUT;
        if (error == -ETIMEDOUT)
            break;
        poll(NULL, 0, 10);
        error = 0;
    }
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static int send_all(int fd, const char *text, size_t length, int64_t deadline_ms) {
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            int error = wait_for(fd, POLLOUT, deadline_ms);
            if (error < 0)
                return error;
        } else if (sent < 0 && errno != EINTR) {
            return -errno;
        } else if (sent > 0) {
            text += sent;
            length -= (size_t)sent;
        }
    }
    return 0;
}

/* Until the end of the stream; a line's end is not enough to stop at, a value printed prettily has many. */
static int receive_all(int fd, int64_t deadline_ms, char **ret_text) {
    size_t length = 0, room = 0;
    char *text = NULL;
    for (;;) {
        if (room - length < 4096) {
            room = room ? room * 2 : 16384;
            char *larger = room <= CONTROL_REPLY_MAX ? realloc(text, room) : NULL;
            if (!larger)
                break;
            text = larger;
        }
        int error = wait_for(fd, POLLIN, deadline_ms);
        ssize_t got = error < 0 ? -1 : recv(fd, text + length, room - length - 1, 0);
        if (got == 0) {
            text[length] = '\0';
            *ret_text = text;
            return 0;
        }
        if (got < 0 && error == 0)
            error = errno == EINTR || errno == EAGAIN ? 0 : -errno;
        if (error < 0) {
            free(text);
            return error;
        }
        if (got > 0)
            length += (size_t)got;
    }
    free(text);
    return -ENOMEM;
}

static int send_question(int fd, const cJSON *question, int64_t deadline_ms) {
    char *text = cJSON_PrintUnformatted(question);
    if (!text)
        return -ENOMEM;
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL: one send, one line */
    int error = send_all(fd, text, length + 1, deadline_ms);
    free(text);
    return error;
}

int control_ask(const char *run_dir, const char *cmd, const char *app, int timeout_ms, cJSON **ret_reply) {
    return control_ask_about(run_dir, cmd, "app", app, timeout_ms, ret_reply);
}

int control_ask_about(const char *run_dir, const char *cmd, const char *member, const char *value, int timeout_ms,
                      cJSON **ret_reply) {
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "cmd", cmd);
    if (value)
        cJSON_AddStringToObject(question, member, value);
    int error = control_ask_question(run_dir, question, timeout_ms, ret_reply);
    cJSON_Delete(question);
    return error;
}

int control_ask_question(const char *run_dir, const cJSON *question, int timeout_ms, cJSON **ret_reply) {
    int64_t deadline_ms = now_ms() + timeout_ms;
    int fd = open_control(run_dir, deadline_ms);
    if (fd < 0)
        return fd;
    char *text = NULL;
    int error = send_question(fd, question, deadline_ms);
    if (error == 0)
        error = receive_all(fd, deadline_ms, &text);
    close(fd);
    if (error < 0)
        return error;
    bool silent = text && !*text; /* at its limit of connections it closes more at once */
    cJSON *reply = cJSON_ParseWithOpts(text, NULL, true);
    free(text);
    if (silent)
        return -ECONNABORTED;
    if (!cJSON_IsObject(reply)) {
        cJSON_Delete(reply);
        return -EBADMSG;
    }
    *ret_reply = reply;
    return 0;
}

/* ------------------------------------------------------------------------------------------- many agents */

static bool no_agent_there(int error) {
    return error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
}

void control_ask_all(const char *named, const char *cmd, int timeout_ms, struct control_answers *ret_answers) {
    *ret_answers = (struct control_answers){0};
    char **places = run_dir_list(named);
    size_t count = 0;
    while (places && places[count])
        count++;
    ret_answers->list = calloc(count + 1, sizeof *ret_answers->list);
    for (size_t i = 0; ret_answers->list && i < count; i++) {
        struct control_answer answer = {0};
        answer.error = control_ask(places[i], cmd, NULL, timeout_ms, &answer.reply);
        if (no_agent_there(answer.error))
            continue; /* a place to look at, or what a killed run has left */
        answer.run_dir = places[i];
        places[i] = NULL; /* the answer's now */
        ret_answers->list[ret_answers->count++] = answer;
        ret_answers->reached += answer.reply != NULL;
    }
    for (size_t i = 0; i < count; i++)
        free(places[i]);
    free(places);
}

void control_answers_clear(struct control_answers *answers) {
    for (size_t i = 0; i < answers->count; i++) {
        free(answers->list[i].run_dir);
        cJSON_Delete(answers->list[i].reply);
    }
    free(answers->list);
    *answers = (struct control_answers){0};
}

cJSON *control_join(const struct control_answers *answers, const char *member) {
    cJSON *joined = cJSON_CreateArray();
    for (size_t i = 0; i < answers->count; i++) {
        cJSON *array = cJSON_GetObjectItemCaseSensitive(answers->list[i].reply, member), *element;
        cJSON_ArrayForEach(element, array) {
            cJSON *copy = cJSON_IsObject(element) ? cJSON_Duplicate(element, true) : NULL;
            if (!copy)
                continue;
            cJSON_AddStringToObject(copy, "run_dir", answers->list[i].run_dir);
            cJSON_AddItemToArray(joined, copy);
        }
    }
    return joined;
}

const char *control_text(const cJSON *object, const char *member) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));
    return text ? text : "";
}

double control_number(const cJSON *object, const char *member) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

bool control_true(const cJSON *object, const char *member) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, member));
}

const char *control_error_text(int error) {
    switch (error) {
    case -EACCES: return "permission denied; be root or in the agent's group";
    case -ETIMEDOUT: return "the agent does not answer (is it stopped?)";
    case -ECONNABORTED: return "the agent has closed the connection: it ended, or has too many of them; try again";
    case -EBADMSG: return "the program that answers there is not an agent of this version";
    case -ENAMETOOLONG: return "the path is too long for a socket";
    default: return strerror(-error);
    }
}

int control_report(const struct control_answers *answers, const char *named) {
    for (size_t i = 0; i < answers->count; i++) {
        const struct control_answer *answer = &answers->list[i];
        if (answer->error < 0)
            output_error("%s: %s", answer->run_dir, control_error_text(answer->error));
    }
    if (answers->reached > 0)
        return CMD_DONE;
    const char *place = named ? named : run_dir_of_environment();
    if (answers->count == 0 && place) {
        output_error("no agent in %s%s", place, named ? "" : " ($WEIR_RUN_DIR)");
    } else if (answers->count == 0) {
        output_error("no agent can be reached: neither weir-agent in " RUN_DIR_SERVICE " nor `weir run` is running");
    }
    return CMD_NO_AGENT;
}
