#include "shim/fd/classify.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "rules/rule.h"
#include "shim/admission/unix_name.h"
#include "shim/fd/connection.h"
#include "shim/fd/fd_custody.h"
#include "shim/fd/fd_table.h"
#include "shim/process/lifecycle.h"
#include "shim/libc/syscall_raw.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
enum { LISTENER_UNIX = 1 << 16, ALIAS_SEARCH = 1024 };

static long option(int fd, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    long result = OWN5(SYS_getsockopt, fd, SOL_SOCKET, name, &value, &length);

    return result < 0 ? result : value;
}

static bool is_stream_over_tcp(int fd) {
    long protocol = option(fd, SO_PROTOCOL);

    return option(fd, SO_TYPE) == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

bool classify_is_tcp(int fd) {
    long domain = option(fd, SO_DOMAIN);

    return (domain == AF_INET || domain == AF_INET6) && is_stream_over_tcp(fd);
}

/* Abstract names begin with a NUL, shown as '@'.  0: it has none. */
static uint32_t unix_name(const struct sockaddr_un *address, socklen_t length) {
    char path[UNIX_NAME_MAX] = "";
    size_t before = offsetof(struct sockaddr_un, sun_path), bytes = length > before ? length - before : 0;

    for (size_t n = 0; n < bytes && n < sizeof path - 1; n++) {
        path[n] = address->sun_path[n] ? address->sun_path[n] : n == 0 ? '@' : 0;
        if (!path[n])
            break;
    }
    return *path ? unix_name_note(path) : 0;
}

static bool local_name(int fd, struct admit_connection *ret_admit) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    memset(ret_admit, 0, sizeof *ret_admit);
    ret_admit->side = SIDE_INBOUND;
    if (OWN3(SYS_getsockname, fd, &address, &length) < 0)
        return false;
    if (address.ss_family == AF_INET)
        ret_admit->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    else if (address.ss_family == AF_INET6)
        ret_admit->port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    else if (address.ss_family == AF_UNIX)
        ret_admit->unix_name = unix_name((struct sockaddr_un *)&address, length);
    return ret_admit->port || ret_admit->unix_name;
}

static bool remembered_listener(uint64_t word, struct admit_connection *ret_admit) {
    uint32_t value = fd_word_value(word);

    if (fd_word_kind(word) != FD_LISTENER || !value)
        return false;
    memset(ret_admit, 0, sizeof *ret_admit);
    ret_admit->side = SIDE_INBOUND;
    if (value > LISTENER_UNIX)
        ret_admit->unix_name = value - LISTENER_UNIX;
    else
        ret_admit->port = (uint16_t)value;
    return true;
}

bool classify_listener(int fd, struct admit_connection *ret_admit) {
    uint64_t word = fd_table_get(fd);

    if (remembered_listener(word, ret_admit))
        return true;
    if (option(fd, SO_TYPE) != SOCK_STREAM || !local_name(fd, ret_admit))
        return false;
    if (ret_admit->port && !is_stream_over_tcp(fd))
        return false;
    uint32_t value = ret_admit->unix_name ? ret_admit->unix_name + LISTENER_UNIX : ret_admit->port;
    unsigned flags = fd_word_flags(word);
    if (fd_word_kind(word) <= FD_LISTENER && fd_table_replace(fd, word, FD_LISTENER, value) && flags)
        fd_table_flag(fd, fd_table_get(fd), (enum fd_flag)flags);
    return true;
}

void classify_peer(struct admit_connection *admit, const struct sockaddr_storage *address, socklen_t length) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    admit->address_length = 0;
    if (length >= sizeof(struct sockaddr_in) && address->ss_family == AF_INET) {
        admit->address_length = 4;
        memcpy(admit->peer, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (length >= sizeof(struct sockaddr_in6) && address->ss_family == AF_INET6) {
        const unsigned char *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;
        bool v4 = memcmp(bytes, mapped, sizeof mapped) == 0; /* the same caller, whichever socket it came to */
        admit->address_length = v4 ? 4 : 16;
        memcpy(admit->peer, v4 ? bytes + 12 : bytes, admit->address_length);
    }
}

/* One socket under several inherited numbers (inetd: 0, 1 and 2) is one connection. */
static uint64_t find_alias(int fd, uint32_t cookie) {
    int last = fd_table_highest();

    for (int other = 0; other <= last && other < ALIAS_SEARCH; other++) {
        uint64_t word = fd_table_get(other);
        if (other == fd || fd_word_kind(word) != FD_STREAM)
            continue;
        struct connection *connection = connection_hold(other, word);
        bool same = connection && connection->cookie == cookie;
        if (same)
            connection_share(connection);
        if (connection)
            connection_drop(connection);
        if (same)
            return word;
    }
    return 0;
}

/* The kernel counts them up: the lower half distinguishes sockets that exist together. */
static uint32_t socket_cookie(int fd) {
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;

    OWN5(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &length);
    return (uint32_t)cookie;
}

/* A connection with a name on our side.  The ends of a socketpair and a client's end of an AF_UNIX connection have
 * none; a client's end of a TCP connection that was handed to us is taken for a server's, and found to speak no
 * HTTP. */
static bool inherited_connection(int fd, struct admit_connection *ret_admit, struct sockaddr_storage *ret_peer) {
    socklen_t length = sizeof *ret_peer;

    if (option(fd, SO_TYPE) != SOCK_STREAM || option(fd, SO_ACCEPTCONN) != 0 || !local_name(fd, ret_admit))
        return false;
    if (ret_admit->port && !is_stream_over_tcp(fd))
        return false;
    if (OWN3(SYS_getpeername, fd, ret_peer, &length) < 0)
        return false;
    classify_peer(ret_admit, ret_peer, length);
    return true;
}

static void open_inherited(int fd, uint64_t word, const struct admit_connection *admit,
                           const struct sockaddr_storage *peer) {
    uint32_t cookie = socket_cookie(fd);
    uint64_t alias = cookie ? find_alias(fd, cookie) : 0;

    if (alias) {
        if (!fd_table_replace(fd, word, FD_STREAM, fd_word_value(alias)))
            connection_release(alias, fd, false);
        return;
    }
    struct connection *connection = connection_new(admit);
    if (!connection) {
        fd_table_replace(fd, word, FD_PLAIN, 0);
        return;
    }
    connection->cookie = cookie;
    fd_custody_receive(&connection->admit, peer);
    connection_open_stream(connection, fd);
    uint32_t index = connection_index(connection);
    if (!fd_table_replace(fd, word, FD_STREAM, index))
        connection_release((uint64_t)index << 32 | FD_STREAM, fd, false);
}

void classify_known(void) {
    enum { LOW = 1024 };

    for (int fd = 0; fd < LOW; fd++) {
        struct admit_connection admit;
        if (fd_word_kind(fd_table_get(fd)) == FD_UNKNOWN)
            classify(fd);
        if (fd_word_kind(fd_table_get(fd)) == FD_SOCKET && option(fd, SO_ACCEPTCONN) == 1)
            classify_listener(fd, &admit);
    }
}

uint64_t classify(int fd) {
    uint64_t word = fd_table_get(fd);
    struct admit_connection admit;
    struct sockaddr_storage peer;
    int saved = errno;

    if (fd_word_kind(word) != FD_UNKNOWN || !lifecycle_watches())
        return word;
    long type = option(fd, SO_TYPE);
    if (type == -EBADF)
        return word;
    if (type == SOCK_STREAM && inherited_connection(fd, &admit, &peer))
        open_inherited(fd, word, &admit, &peer);
    else
        fd_table_replace(fd, word, type == SOCK_STREAM && classify_is_tcp(fd) ? FD_SOCKET : FD_PLAIN, 0);
    errno = saved;
    return fd_table_get(fd);
}
