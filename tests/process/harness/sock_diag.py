"""How much of what came on a TCP socket its program has not read yet: asked of the kernel for one socket, since the table of all
of them (/proc/net/tcp) is long after other tests."""
import errno
import socket
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
HEADER, QUESTION, ANY_COOKIE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), b"\xff" * 8
RQUEUE_AT = 16 + 4 + 48 + 4  # nlmsghdr; family, state, timer, retransmissions; identity; expiry


def unread(local, remote):
    """Of the IPv4 socket with these two addresses; None when there is no such socket (any more)."""
    identity = struct.pack("!HH4s12x4s12x", local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]))
    body = QUESTION.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity + bytes(4) + ANY_COOKIE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(HEADER.pack(16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body)
        answer = kernel.recv(4096)
    if HEADER.unpack_from(answer)[1] == NLMSG_ERROR:
        error = -struct.unpack_from("=i", answer, 16)[0]
        if error == errno.ENOENT:
            return None
        raise OSError(error, "sock_diag")
    return struct.unpack_from("=I", answer, RQUEUE_AT)[0]


def works():
    """Can this kernel be asked? (A kernel without the module says of every socket that there is none.)"""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        return unread(client.getsockname(), client.getpeername()) is not None
