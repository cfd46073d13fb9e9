"""A server of HTTP/1.1 whose answers follow from the request: exchange_server.py ADDRESS PORT NAME

What is asked for is in the query: id, n (bytes of the body), m (how it is written), s (status), t (pauses). The answer says
what has come: x-id, x-digest of the request's body, x-head of the request's head without its fields about the connection.
On SIGTERM it prints a JSON object of what it has seen: requests, ids that came twice, connections.
"""

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
from urllib.parse import parse_qs, urlsplit

PIECE = bytes(range(256)) * 257


def body_of(number, length):
    """The same bytes in client and server."""
    start = number % 251
    whole = PIECE[start:] * (length // (len(PIECE) - start) + 1)
    return whole[:length]


class Server:
    def __init__(self, name):
        self.name = name
        self.seen, self.twice, self.connections, self.broken = set(), [], 0, 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            self.broken += 1
        finally:
            writer.close()

    async def answer(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return False
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = [line.split(":", 1) for line in lines[1:]]
        framing = {name.lower(): value.strip() for name, value in fields}
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        if "chunked" in framing.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
                body += (await reader.readexactly(size + 2))[:-2]
                if not size:
                    break
        else:
            body = await reader.readexactly(int(framing.get("content-length", 0)))
        number = int(query.get("id", 0))
        if number in self.seen:
            self.twice.append(number)
        self.seen.add(number)
        # What a proxy may change: what is about a connection, and how a body's length is told.
        told = [lines[0]] + sorted(
            f"{name.lower()}:{value.strip()}" for name, value in fields
            if name.lower() not in ("connection", "keep-alive", "content-length", "transfer-encoding", "x-request-id"))
        length, status = int(query.get("n", 0)), int(query.get("s", 200))
        answer = [
            f"HTTP/1.1 {status} Answer", f"x-id: {number}", f"x-server: {self.name}",
            f"x-digest: {hashlib.sha1(body).hexdigest()}", f"x-method: {method}",
            f"x-head: {hashlib.sha1(chr(10).join(told).encode('latin-1')).hexdigest()}",
        ]
        return await self.write(writer, method, number, answer, length, status, query)

    async def write(self, writer, method, number, answer, length, status, query):
        mode, pause = query.get("m", "whole"), query.get("t") == "1"
        content = body_of(number, length)
        bare = method == "HEAD" or status in (204, 304)
        if mode == "chunked" and not bare:
            answer.append("transfer-encoding: chunked")
        elif mode == "close" and not bare:
            answer.append("connection: close")
        elif status != 204:
            answer.append(f"content-length: {length}")
        head = ("\r\n".join(answer) + "\r\n\r\n").encode("latin-1")
        if bare:
            content = b""
        if mode == "chunked" and not bare:
            pieces, at = [head], 0
            while at < length:
                size = random.randint(1, max(1, length // 3))
                part = content[at:at + size]
                pieces.append(b"%x\r\n%s\r\n" % (len(part), part))
                at += size
            pieces.append(b"0\r\n\r\n")
            if not pause:
                pieces = [b"".join(pieces)]
        elif mode == "pieces":
            whole, pieces = head + content, []
            while whole:
                size = random.randint(1, max(1, min(len(whole), 40000)))
                pieces.append(whole[:size])
                whole = whole[size:]
                if len(pieces) > 20:
                    pieces.append(whole)
                    break
        elif mode == "two":
            pieces = [head, content]
        else:
            pieces = [head + content]
        for piece in pieces:
            if not piece:
                continue
            writer.write(piece)
            await writer.drain()
            if pause and len(pieces) > 1:
                await asyncio.sleep(random.choice((0, 0, 0.001)))
        return not (mode == "close" and not bare)


async def main():
    server = Server(sys.argv[3])
    listening = await asyncio.start_server(server.serve, sys.argv[1], int(sys.argv[2]), limit=1 << 20, backlog=1024)
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    print("ready", flush=True)
    await done.wait()
    listening.close()
    print(json.dumps({
        "requests": len(server.seen), "twice": server.twice[:10], "connections": server.connections,
        "broken": server.broken,
    }), flush=True)
    # Connections that are open end with the process.
    os._exit(0)


asyncio.run(main())
