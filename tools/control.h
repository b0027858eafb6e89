/* Talks to agents over their control sockets (agent/agent.h): finds them, asks them, joins what they say. */
#ifndef WEIR_TOOLS_CONTROL_H
#define WEIR_TOOLS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

enum { CONTROL_TIMEOUT_MS = 2000, CONTROL_REPLY_MAX = 32 << 20 /* bytes */ };

/* One question to the agent in `run_dir`, {"cmd":cmd} or {"cmd":cmd,"app":app}.  0 and its answer (an object; delete
 * it), or -errno: -ENOENT, -ECONNREFUSED no agent there; -EACCES; -ETIMEDOUT; -EBADMSG not an answer; -ENAMETOOLONG. */
int control_ask(const char *run_dir, const char *cmd, const char *app, int timeout_ms, struct cJSON **ret_reply);

/* The same with another member than the app: {"cmd":cmd,member:value}. */
int control_ask_about(const char *run_dir, const char *cmd, const char *member, const char *value, int timeout_ms,
                      struct cJSON **ret_reply);

/* The same with any question, which stays the caller's. */
int control_ask_question(const char *run_dir, const struct cJSON *question, int timeout_ms, struct cJSON **ret_reply);

struct control_answer {
    char *run_dir;
    struct cJSON *reply; /* NULL if there is none */
    int error;           /* 0, or as control_ask */
};
struct control_answers {
    struct control_answer *list; /* agents that are there; those of places named by the user, there or not */
    size_t count;
    size_t reached; /* of these, how many have answered */
};
/* Asks every agent that run_dir_list(named) knows. */
void control_ask_all(const char *named, const char *cmd, int timeout_ms, struct control_answers *ret_answers);
void control_answers_clear(struct control_answers *);

/* The members `member` (arrays of objects) of all answers in one array, each element with "run_dir" added. */
struct cJSON *control_join(const struct control_answers *, const char *member);

/* A member of an answer; "", 0, false where it is missing or of another kind. */
const char *control_text(const struct cJSON *object, const char *member);
double control_number(const struct cJSON *object, const char *member);
bool control_true(const struct cJSON *object, const char *member);

/* Why an agent did not answer: one of the errors of control_ask, in words. */
const char *control_error_text(int error);

/* Says on stderr which agents did not answer; where none did, how to get one.  CMD_DONE if one at least did. */
int control_report(const struct control_answers *, const char *named);

#endif
