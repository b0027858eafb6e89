/* What became of connections to a listener, of "connections" in an agent's status (agent/control/fates.h). */
#ifndef WEIR_TOOLS_FATES_H
#define WEIR_TOOLS_FATES_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct fates {
    double judged, empty, unread, opaque, refused;
};
/* Adds those of one listener. */
void fates_add(struct fates *, const cJSON *listener);
/* "tls 10, unread 2": those that no rule about requests decides upon; "" if there are none. */
enum { FATES_TEXT = 160 };
void fates_text(const cJSON *listener, char ret_text[static FATES_TEXT]);

#endif
