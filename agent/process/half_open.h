/* Connections that are not established yet, as the kernel has them now. */
#ifndef WEIR_AGENT_HALF_OPEN_H
#define WEIR_AGENT_HALF_OPEN_H

#include <stddef.h>
#include <stdint.h>

struct half_open {
    uint16_t local_port, remote_port;
    unsigned char remote[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t outbound;         /* it was begun here (SYN_SENT); else it came in (SYN_RECV) */
};

/* All of them in our network namespace, malloc'ed.  0 or -errno. */
int half_open_read(struct half_open **ret_list, size_t *ret_count);

#endif
