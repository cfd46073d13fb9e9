"""Moves a file over HTTP/1.1 and compares it, with asyncio or with sockets that block. Usage:

    transfer.py asyncio|blocking serve ADDRESS PORT FILE      GET /file is the file, PUT is answered with the body's SHA-256,
                                                              anything else with "small"
    transfer.py asyncio|blocking fetch ADDRESS PORT FILE N    gets and puts the file, with N small requests in between
"""
import asyncio
import hashlib
import socket
import sys
import threading

KIND, ROLE, ADDRESS, PORT, FILE = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
CONTENT = open(FILE, "rb").read()
DIGEST = hashlib.sha256(CONTENT).hexdigest().encode()
PIECE = 100_000


def head_of(data):
    """The method, the path or status, and the length of the body."""
    lines = data.decode().split("\r\n")
    first = lines[0].split(" ")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    return first[0], first[1], length


def response(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)


def request(method, path, body=b""):
    return b"%s %s HTTP/1.1\r\nHost: transfer\r\nContent-Length: %d\r\n\r\n" % (method, path, len(body))


def answer_to(method, path, digest):
    if method == "PUT":
        return digest
    return CONTENT if path == "/file" else b"small"


# ------------------------------------------------------------------------------------------------------------- asyncio

async def read_message(reader):
    data = await reader.readuntil(b"\r\n\r\n")
    method, path, length = head_of(data)
    return method, path, await reader.readexactly(length) if length else b""


async def write_message(writer, head, body):
    writer.write(head)
    for start in range(0, len(body), PIECE):
        writer.write(body[start:start + PIECE])
        await writer.drain()


async def serve_one(reader, writer):
    try:
        while True:
            method, path, body = await read_message(reader)
            answer = answer_to(method, path, hashlib.sha256(body).hexdigest().encode())
            await write_message(writer, response(answer), answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve_asyncio():
    server = await asyncio.start_server(serve_one, ADDRESS, PORT, limit=1 << 20)
    print("ready", flush=True)
    await server.serve_forever()


async def fetch_asyncio(count):
    reader, writer = await asyncio.open_connection(ADDRESS, PORT, limit=1 << 20)

    async def ask(method, path, body=b""):
        await write_message(writer, request(method, path, body), body)
        return (await read_message(reader))[2]

    for _ in range(count):
        assert await ask(b"GET", b"/small") == b"small"
    got, digest = await ask(b"GET", b"/file"), await ask(b"PUT", b"/file", CONTENT)
    writer.close()
    return got, digest


# ------------------------------------------------------------------------------------------------------------ blocking

def read_blocking(stream):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            raise ConnectionError
        data += line
    method, path, length = head_of(data)
    body = stream.read(length)
    if len(body) != length:
        raise ConnectionError(f"{len(body)} of {length} bytes")
    return method, path, body


def serve_blocking():
    def serve_one(connection):
        stream = connection.makefile("rb")
        try:
            while True:
                method, path, body = read_blocking(stream)
                answer = answer_to(method, path, hashlib.sha256(body).hexdigest().encode())
                connection.sendall(response(answer))
                connection.sendall(answer)
        except ConnectionError:
            connection.close()

    listener = socket.create_server((ADDRESS, PORT), backlog=128)
    print("ready", flush=True)
    while True:
        threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()


def fetch_blocking(count):
    connection = socket.create_connection((ADDRESS, PORT))
    stream = connection.makefile("rb")

    def ask(method, path, body=b""):
        connection.sendall(request(method, path, body))
        connection.sendall(body)
        return read_blocking(stream)[2]

    for _ in range(count):
        assert ask(b"GET", b"/small") == b"small"
    return ask(b"GET", b"/file"), ask(b"PUT", b"/file", CONTENT)


if ROLE == "serve":
    asyncio.run(serve_asyncio()) if KIND == "asyncio" else serve_blocking()
else:
    fetch = asyncio.run(fetch_asyncio(int(sys.argv[6]))) if KIND == "asyncio" else fetch_blocking(int(sys.argv[6]))
    if fetch[0] != CONTENT:
        sys.exit("what came is not the file")
    if fetch[1] != DIGEST:
        sys.exit("what arrived is not the file")
    print("same")
