"""A client that speaks HTTP/1 in every way that is allowed, cut anywhere, and a server that does what each request asks for.

http_mix.py serve ADDRESS PORT
http_mix.py ask ADDRESS PORT CONNECTIONS SEED

`ask` prints, as JSON, what was asked and answered in all: requests by "STATUS FLAGS" as Weft's metrics name them, and the
bytes of the bodies. A target is /STATUS/SIZE/FRAMING/END: how the server frames its answer and what it ends with, where
END is one of go (on), drop (close without an answer), half (close in the answer), wait (for the client's end before the
answer), hang (for the client's end in the answer).
"""

import json
import random
import socket
import sys
import threading


def read_request(reader):
    """The target and the body of the next request; None at the end of the connection."""
    line = reader.readline()
    if not line.endswith(b"\r\n"):
        return None
    length, chunked = 0, False
    while (field := reader.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        elif name.lower() == b"transfer-encoding":
            chunked = True
    if chunked:
        while size := int(reader.readline().split(b";")[0], 16):
            reader.read(size + 2)
        while reader.readline() != b"\r\n":
            pass
    else:
        reader.read(length)
    return line.split(b" ")[0].decode(), line.split(b" ")[1].decode()


def answer_of(method, status, size, framing, chooser):
    """Head, body as it is on the wire."""
    head = f"HTTP/1.1 {status} Because\r\nServer: mix\r\nX-Padding: {'p' * chooser.randrange(200)}\r\n"
    if chooser.random() < 0.1:
        head = "HTTP/1.1 100 Continue\r\n\r\n" + head
    body = b"y" * size
    if method == "HEAD":
        return f"{head}Content-Length: {size}\r\n\r\n".encode(), b""
    if status in (204, 304):
        return f"{head}\r\n".encode(), b""
    if framing == "length":
        return f"{head}content-length: {size}\r\n\r\n".encode(), body
    if framing == "close":
        return f"{head}Connection: close\r\n\r\n".encode(), body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), chunks(body, chooser)


def chunks(body, chooser):
    wire, start = b"", 0
    while start < len(body):
        piece = body[start : start + chooser.randint(1, 700)]
        wire += b"%x%s\r\n%s\r\n" % (len(piece), b";a=b" if chooser.random() < 0.2 else b"", piece)
        start += len(piece)
    return wire + b"0\r\n" + (b"T: 1\r\n" if chooser.random() < 0.2 else b"") + b"\r\n"


def send(connection, data, chooser):
    """In pieces that are cut anywhere, or in one."""
    while data:
        size = len(data) if chooser.random() < 0.5 else chooser.randint(1, len(data))
        connection.sendall(data[:size])
        data = data[size:]


def serve_connection(connection):
    chooser = random.Random(7)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = connection.makefile("rb")
    try:
        while request := read_request(reader):
            method, target = request
            _, status, size, framing, end = target.split("/")
            head, body = answer_of(method, int(status), int(size), framing, chooser)
            if end == "drop":
                return
            if end == "wait":
                reader.read()
                return
            if end in ("half", "hang"):
                # Whole head, half of the body.
                connection.sendall(head + body[: len(body) // 2])
                if end == "hang":
                    reader.read()
                return
            send(connection, head + body, chooser)
            if framing == "close":
                return
    except OSError:
        pass
    finally:
        reader.close()
        connection.close()


def serve(address, port):
    listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=512)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


def request_of(method, target, body, chooser):
    head = f"{method} {target} HTTP/1.1\r\nHost: mix\r\nCookie: {'c' * chooser.randrange(400)}\r\n"
    if not body and chooser.random() < 0.7:
        return f"{head}\r\n".encode()
    if chooser.random() < 0.5:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks(body, chooser)


class Books:
    def __init__(self):
        self.requests, self.request_bytes, self.response_bytes = {}, 0, 0

    def note(self, status, flags, request_bytes, response_bytes):
        key = f"{status} {flags}"
        self.requests[key] = self.requests.get(key, 0) + 1
        self.request_bytes += request_bytes
        self.response_bytes += response_bytes


def read_answer(reader, method):
    """Reads one answer to its end; the client checks nothing of it but that it is there."""
    while True:
        status = int(reader.readline().split(b" ")[1])
        length, chunked = None, False
        while (field := reader.readline()) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"transfer-encoding":
                chunked = True
        if status >= 200:
            break
    if method == "HEAD" or status in (204, 304):
        return
    if chunked:
        while size := int(reader.readline().split(b";")[0], 16):
            reader.read(size + 2)
        while reader.readline() != b"\r\n":
            pass
    elif length is None:
        reader.read()
    else:
        reader.read(length)


def one_request(chooser, last):
    method = chooser.choice(["GET", "GET", "GET", "POST", "PUT", "HEAD"])
    body = b"x" * (chooser.choice([0, 5, 100, 3000, 30000]) if method in ("POST", "PUT") else 0)
    status = chooser.choice([200, 200, 200, 201, 204, 304, 404, 500])
    size = chooser.choice([2, 64, 1000, 1000, 20000])
    framing = chooser.choice(["length", "length", "chunked"])
    end = "go"
    if last and chooser.random() < 0.5:
        end = chooser.choice(["drop", "half", "wait", "hang", "close"])
        if end == "close":
            framing, end = "close", "go"
        elif end in ("half", "hang"):
            method, body, status, framing = "GET", b"", 200, "length"
    return method, body, status, size, framing, end


def ask_once(place, chooser, books):
    """One connection with some requests, by turns or several at once."""
    with socket.create_connection(place, 20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        left = chooser.randint(1, 40)
        while left:
            batch = min(left, chooser.choice([1, 1, 1, 2, 5, 8]))
            left -= batch
            asked = [one_request(chooser, left == 0 and number == batch - 1) for number in range(batch)]
            wire = b""
            for method, body, status, size, framing, end in asked:
                wire += request_of(method, f"/{status}/{size}/{framing}/{end}", body, chooser)
            send(connection, wire, chooser)
            for method, body, status, size, framing, end in asked:
                content = 0 if method == "HEAD" or status in (204, 304) else size
                if end == "go":
                    read_answer(reader, method)
                    books.note(status, "-", len(body), content)
                    if framing == "close":
                        return
                elif end in ("drop", "half"):
                    reader.read()
                    half = end == "half"
                    books.note(status if half else 0, "UC", len(body), content // 2 if half else 0)
                    return
                else:
                    hang = end == "hang"
                    if hang:
                        while reader.readline() != b"HTTP/1.1 200 Because\r\n":
                            pass
                        while reader.readline() != b"\r\n":
                            pass
                        reader.read(content // 2)
                    # The server closes when it has seen the client's end.
                    connection.shutdown(socket.SHUT_WR)
                    reader.read()
                    books.note(status if hang else 0, "DC", len(body), content // 2 if hang else 0)
                    return


def ask(address, port, connections, seed):
    chooser, books = random.Random(seed), Books()
    for _ in range(connections):
        ask_once((address, port), chooser, books)
    print(json.dumps({"requests": books.requests, "requestBytes": books.request_bytes, "responseBytes": books.response_bytes}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
