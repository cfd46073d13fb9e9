"""Bytes with checksums, both ways at once.

serve ADDRESS PORT         echoes each connection until its end, and prints "ready" when it listens
send ADDRESS PORT BYTES    sends as many bytes, reads as many, and prints both counts and SHA-256 sums as JSON
"""
import hashlib
import json
import random
import socket
import sys
import threading

# No power of two, so that bytes out of place do not look like those that belong there.
BLOCK = random.Random(7).randbytes((1 << 20) - 3)


def echo(sock):
    with sock:
        buffer = memoryview(bytearray(1 << 18))
        try:
            while count := sock.recv_into(buffer):
                sock.sendall(buffer[:count])
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)


def serve(address, port):
    listener = socket.create_server((address, int(port)))
    print("ready", flush=True)
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def send(address, port, size):
    size = int(size)
    books = {"sent": 0, "received": 0}
    sock = socket.create_connection((address, int(port)), timeout=60)

    def write():
        digest = hashlib.sha256()
        while books["sent"] < size:
            part = BLOCK[: size - books["sent"]]
            sock.sendall(part)
            digest.update(part)
            books["sent"] += len(part)
        sock.shutdown(socket.SHUT_WR)
        books["sentSum"] = digest.hexdigest()

    writer = threading.Thread(target=write)
    writer.start()
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 18))
    while count := sock.recv_into(buffer):
        digest.update(buffer[:count])
        books["received"] += count
    writer.join()
    books["receivedSum"] = digest.hexdigest()
    print(json.dumps(books))


globals()[sys.argv[1]](*sys.argv[2:])
