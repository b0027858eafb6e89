#include "agent/process/half_open.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SYN_SENT = 2, SYN_RECV = 3, MOST = 1 << 17, REPLY_BYTES = 32 << 10 };

struct reading {
    struct half_open *list;
    size_t count, room;
    int error;
    bool done;
};

static void take(struct reading *reading, const struct inet_diag_msg *m) {
    if (reading->count == reading->room) {
        size_t room = reading->room ? 2 * reading->room : 64;
        struct half_open *more = room <= MOST ? reallocarray(reading->list, room, sizeof *more) : NULL;
        if (!more) {
            reading->error = -ENOMEM;
            return;
        }
        reading->list = more;
        reading->room = room;
    }
    struct half_open *one = &reading->list[reading->count++];
    *one = (struct half_open){.local_port = ntohs(m->id.idiag_sport),
                              .remote_port = ntohs(m->id.idiag_dport),
                              .outbound = m->idiag_state == SYN_SENT};
    if (m->idiag_family == AF_INET) {
        one->remote[10] = one->remote[11] = 0xff;
        memcpy(one->remote + 12, m->id.idiag_dst, 4);
    } else {
        memcpy(one->remote, m->id.idiag_dst, 16);
    }
}

static int ask(int fd, uint8_t family) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message = {
        .header = {.nlmsg_len = sizeof message,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1u << SYN_SENT | 1u << SYN_RECV},
    };
    return send(fd, &message, sizeof message, 0) == (ssize_t)sizeof message ? 0 : -errno;
}

static void read_reply(struct reading *reading, int fd) {
    static _Alignas(struct nlmsghdr) char bytes[REPLY_BYTES];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0) {
        reading->error = got < 0 ? -errno : -EPROTO;
        return;
    }
    unsigned left = (unsigned)got;
    for (const struct nlmsghdr *h = (const void *)bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type == NLMSG_DONE)
            reading->done = true;
        else if (h->nlmsg_type == NLMSG_ERROR)
            reading->error = -EPROTO;
        else if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            take(reading, NLMSG_DATA(h));
    }
}

int half_open_read(struct half_open **ret_list, size_t *ret_count) {
    static const uint8_t families[] = {AF_INET, AF_INET6};
    const struct timeval patience = {.tv_sec = 1};
    struct reading reading = {0};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (size_t i = 0; i < sizeof families && !reading.error; i++) {
        reading.done = false;
        reading.error = ask(fd, families[i]);
        while (!reading.error && !reading.done)
            read_reply(&reading, fd);
    }
    close(fd);
    if (reading.error) {
        free(reading.list);
        return reading.error;
    }
    *ret_list = reading.list;
    *ret_count = reading.count;
    return 0;
}
