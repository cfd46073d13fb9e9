"""Servers that say who they are.

Usage: server.py NAME,KIND,ADDRESS,PORT...

KIND  tcp        greets with "NAME local-address local-port peer-address peer-port\n", then echoes
      transfer   reads two 32-bit counts, then as many bytes as the first; sends as many as the second; waits for the end
      udp        answers each datagram with "NAME " and the datagram
      utransfer  a datagram begins with a 32-bit count and is answered with as many bytes

Prints "ready" when every socket listens. One thread, one epoll: fast enough that the client is what is measured.
"""
import errno
import select
import socket
import struct
import sys

FILLER = bytes(range(256)) * 1024


class Connection:
    def __init__(self, sock, kind):
        self.sock = sock
        self.kind = kind
        self.head = b""
        self.to_read = None
        self.output = b""
        self.to_send = 0


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(specification):
    name, kind, address, port = specification.split(",")
    stream = kind in ("tcp", "transfer")
    sock = socket.socket(family_of(address), socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not stream:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((address, int(port)))
    if stream:
        sock.listen(4096)
    sock.setblocking(False)
    return name, kind, sock


def main():
    poller = select.epoll()
    listeners, connections = {}, {}
    for specification in sys.argv[1:]:
        name, kind, sock = listen(specification)
        listeners[sock.fileno()] = (name, kind, sock)
        poller.register(sock.fileno(), select.EPOLLIN)
    print("ready", flush=True)

    def close(connection):
        connections.pop(connection.sock.fileno(), None)
        connection.sock.close()

    def accept(name, kind, listener):
        for _ in range(256):
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                continue
            sock.setblocking(False)
            connection = Connection(sock, kind)
            connections[sock.fileno()] = connection
            try:
                if kind == "tcp":
                    local = sock.getsockname()
                    sock.send(f"{name} {local[0]} {local[1]} {peer[0]} {peer[1]}\n".encode())
                poller.register(sock.fileno(), select.EPOLLIN)
            except OSError:
                close(connection)

    def datagrams(name, kind, sock):
        for _ in range(256):
            try:
                data, peer = sock.recvfrom(65535)
            except OSError:
                return
            answer = name.encode() + b" " + data
            if kind == "utransfer":
                answer = FILLER[: struct.unpack("!I", data[:4])[0]]
            try:
                sock.sendto(answer, peer)
            except OSError as error:
                print(f"{name}: reply to {peer}: {error}", file=sys.stderr, flush=True)

    def flush(connection):
        """Sends what is due; False when the socket is full."""
        while connection.output or connection.to_send:
            chunk = connection.output or FILLER[: connection.to_send]
            try:
                sent = connection.sock.send(chunk)
            except BlockingIOError:
                poller.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
                return False
            if connection.output:
                connection.output = connection.output[sent:]
            else:
                connection.to_send -= sent
        poller.modify(connection.sock.fileno(), select.EPOLLIN)
        return True

    def read(connection):
        data = connection.sock.recv(262144)
        if not data:
            close(connection)
            return
        if connection.kind == "tcp":
            connection.output += data
            flush(connection)
            return
        if connection.to_read is None:
            connection.head += data
            if len(connection.head) < 8:
                return
            connection.to_read, connection.to_send = struct.unpack("!II", connection.head[:8])
            connection.pending = connection.to_send
            connection.to_send = 0
            data = connection.head[8:]
        connection.to_read -= len(data)
        if connection.to_read == 0:
            connection.to_send = connection.pending
            flush(connection)

    while True:
        for fd, events in poller.poll():
            if fd in listeners:
                name, kind, sock = listeners[fd]
                (accept if kind in ("tcp", "transfer") else datagrams)(name, kind, sock)
                continue
            connection = connections.get(fd)
            if connection is None:
                continue
            try:
                if events & select.EPOLLOUT:
                    flush(connection)
                if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    read(connection)
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ECONNABORTED):
                    print(f"connection: {error}", file=sys.stderr, flush=True)
                close(connection)


main()
