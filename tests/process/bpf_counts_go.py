#!/usr/bin/python3
"""A Go server, which no preload reaches: its traffic is counted all the same, exactly."""
import socket

import weirtest
from harness import bpf

SERVER = """package main

import (
	"io"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp4", os.Args[1])
	if err != nil {
		panic(err)
	}
	for {
		if connection, err := listener.Accept(); err == nil {
			go func() { io.Copy(connection, connection); connection.Close() }()
		}
	}
}
"""


def echoes(box, place):
    weirtest.need("go")
    binary = bpf.go_program(box, "echo", SERVER)
    place.agent(box.rules({"flow": []}))
    address = ("127.0.0.1", weirtest.free_port())
    server = box.start("go", [binary, "%s:%d" % address])
    weirtest.until(lambda: weirtest.listening(address) or not server.running(), "the Go server")
    for number in range(20):
        with socket.create_connection(address, timeout=20) as sock:
            sock.sendall(b"g" * (1000 + number))
            sock.shutdown(socket.SHUT_WR)
            got = 0
            while part := sock.recv(1 << 16):
                got += len(part)
            assert got == 1000 + number
    total = sum(1000 + number for number in range(20))
    place.expect("in", address[1], attempts=20, opened=20, closed=20, active=0, bytes_in=total, bytes_out=total)
    place.expect("out", address[1], attempts=20, opened=20, closed=20, active=0, bytes_in=total, bytes_out=total)


bpf.main(echoes)
