/* /proc/net/tcp and tcp6, line by line. */
#ifndef WEIR_AGENT_TCP_TABLE_H
#define WEIR_AGENT_TCP_TABLE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { TCP_TABLE_LISTEN = 0x0a };

struct tcp_entry {
    bool v6;
    struct in6_addr address; /* local; IPv4 in the first four bytes */
    uint16_t port;
    uint8_t state;
    uint32_t waiting; /* of a listening socket: connections in its accept queue */
    uint32_t uid;
    uint64_t inode;
};

/* False: not a line of a socket (the heading, or anything else). */
bool tcp_table_parse(const char *line, bool v6, struct tcp_entry *ret_entry);
bool tcp_table_is_loopback(const struct tcp_entry *);
bool tcp_table_is_any(const struct tcp_entry *);
void tcp_table_address(const struct tcp_entry *, char ret_text[static INET6_ADDRSTRLEN]);

#endif
