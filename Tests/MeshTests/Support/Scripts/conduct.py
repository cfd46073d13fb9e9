"""An echo server that uses its connections in one particular way, and a client that keeps them in use.

Usage: conduct.py MODE ADDRESS PORT

MODE  client     opens two connections, and sends and receives on them for ever
      clean      non-blocking descriptors, one epoll
      blocking   recv() that waits
      waitall    non-blocking descriptors, received from with MSG_WAITALL
      lowwater   non-blocking descriptors with SO_RCVLOWAT 8
      fionread   asks how much there is before it receives
      truncate   throws away half of what it gets by MSG_TRUNC
      urgent     sends an urgent byte before each answer
      idle       listens, and is never connected to
"""
import array
import fcntl
import select
import socket
import sys
import termios
import threading
import time

SIZE = 16


def client(address, port):
    connections = [socket.create_connection((address, port)) for _ in range(2)]
    while True:
        for connection in connections:
            connection.sendall(b"x" * SIZE)
            connection.recv(SIZE)
        time.sleep(0.01)


def blocking(listener):
    def serve(connection):
        while data := connection.recv(SIZE):
            connection.sendall(data)

    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def receive(connection, mode):
    if mode == "waitall":
        return connection.recv(SIZE, socket.MSG_WAITALL)
    if mode == "fionread":
        count = array.array("i", [0])
        fcntl.ioctl(connection, termios.FIONREAD, count)
        return connection.recv(max(count[0], 1))
    if mode == "truncate":
        connection.recv(SIZE // 2, socket.MSG_TRUNC)
        return connection.recv(SIZE)
    return connection.recv(SIZE)


def events(listener, mode):
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                connection = listener.accept()[0]
                connection.setblocking(False)
                if mode == "lowwater":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 8)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            connection = connections[descriptor]
            try:
                data = receive(connection, mode)
            except BlockingIOError:
                continue
            if data:
                if mode == "urgent":
                    connection.send(b"!", socket.MSG_OOB)
                connection.send(data + b"x" * (SIZE - len(data)))
            else:
                poll.unregister(connection)
                connections.pop(descriptor).close()


def main():
    mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if mode == "client":
        return client(address, port)
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    return blocking(listener) if mode == "blocking" else events(listener, mode)


main()
