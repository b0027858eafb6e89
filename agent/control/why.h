/* What is known of one rejection, by the id that its client was told. */
#ifndef WEIR_AGENT_WHY_H
#define WEIR_AGENT_WHY_H

struct agent;
struct cJSON;

/* Adds to the answer all that is known, or an "error" that says why nothing is. */
void why_answer(struct agent *, const char *id, struct cJSON *answer);

#endif
