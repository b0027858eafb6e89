/* It is recognised, parsed, named and refused by those who do not know it. */
#include <stdio.h>
#include <string.h>

#include "rules/naming/names.h"
#include "shim/protocol/protocol.h"
#include "shim/protocol/refusal.h"

static void take(void *context, const char *name, size_t length, const struct route_found *found, unsigned reading) {
    (void)context, (void)length, (void)found, (void)reading;
    printf("%s ", name);
}

int main(void) {
    static const char request[] = "SAY hello\n", other[] = "GET / HTTP/1.1\r\n\r\n";
    static uint64_t room[NAMES_ROOM / sizeof(uint64_t)];
    const struct protocol *protocol = NULL, *http = NULL;
    struct message message;
    struct naming_message naming;
    struct naming_rules none = {0};
    char answer[1024];
    if (protocol_sniff(request, sizeof(request) - 1, 0, &protocol) != SNIFFED_YES ||
        protocol_sniff(other, sizeof(other) - 1, 0, &http) != SNIFFED_YES || protocol == http)
        return 1;
    if (protocol->request(request, sizeof(request) - 1, 0, &message) != PARSED_DONE)
        return 1;
    message.protocol->names(&message, &naming);
    names_of(&none, &naming, &(struct naming_sink){take, NULL, room});
    size_t size = protocol->refuse(&message, &(struct refusal){.reason = REASON_FLOW}, answer, sizeof(answer));
    printf("%.*s", (int)size, answer);
    return 0;
}
