"""Ends of TCP connections that wait for a line on standard input before they go on.

stall.py read ADDRESS PORT: takes one connection, and reads it to its end from the line on
stall.py send ADDRESS PORT BYTES: sends that much, waits for the other end's FIN, and prints for how many microseconds
    the kernel says that the peer's receive window held it up (tcpi_rwnd_limited)
stall.py accept ADDRESS PORT BACKLOG: accepts connections from the line on
stall.py connect ADDRESS PORT COUNT: opens connections, and closes them at the line
"""

import socket
import struct
import sys

TCPI_RWND_LIMITED = 176  # the offset in struct tcp_info of linux/tcp.h


def listen(address, backlog, buffer=None):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    listener.bind(address)
    listener.listen(backlog)
    print("ready", flush=True)
    return listener


def main():
    mode, address = sys.argv[1], (sys.argv[2], int(sys.argv[3]))
    if mode == "read":
        connection, _ = listen(address, 8, buffer=16384).accept()
        sys.stdin.readline()
        while connection.recv(65536):
            pass
        connection.close()
    elif mode == "send":
        connection = socket.create_connection(address)
        connection.sendall(bytes(int(sys.argv[4])))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        print(struct.unpack_from("Q", information, TCPI_RWND_LIMITED)[0], flush=True)
    elif mode == "accept":
        listener = listen(address, int(sys.argv[4]))
        sys.stdin.readline()
        connections = []
        while True:
            connections.append(listener.accept()[0])
    elif mode == "connect":
        connections = [socket.create_connection(address) for _ in range(int(sys.argv[4]))]
        print("ready", flush=True)
        sys.stdin.readline()


main()
