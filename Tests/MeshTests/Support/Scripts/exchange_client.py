"""Asks exchange_server.py through a mesh, and checks every byte: exchange_client.py HOST PORT [--connections N] ...

Requests are of all kinds: with and without bodies, in one piece and in many, one after the other and several at once, on
connections that last and on some that break. After SIGTERM nothing more is asked. Prints a JSON object: requests, answers by status, what was wrong; by server
and by path when the last answer came (seconds since 1970); answers in each tenth of a second since 1970; a digest of all that servers have told of what came to them.
What is asked for under a number is always the same.
"""

import argparse
import asyncio
import collections
import hashlib
import itertools
import json
import random
import signal
import time

PIECE = bytes(range(256)) * 257


def body_of(number, length):
    """The same bytes in client and server."""
    start = number % 251
    whole = PIECE[start:] * (length // (len(PIECE) - start) + 1)
    return whole[:length]


class Failure(Exception):
    """An answer that is not the one to what was asked."""


class Client:
    def __init__(self, options):
        self.options, self.random = options, random.Random(options.seed)
        self.numbers = itertools.count(options.first)
        self.statuses, self.servers, self.refused = (collections.Counter() for _ in range(3))
        self.failures, self.aborted, self.connections = [], 0, 0
        self.last, self.digests, self.timeline = {}, [], collections.Counter()
        self.deadline = time.monotonic() + options.seconds if options.seconds else None
        self.is_stopped = False
        self.left = options.requests

    # Asking.

    def size(self, pick):
        if self.options.small:
            return pick.randint(0, 300)
        return pick.choices(
            (0, pick.randint(1, 300), pick.randint(1, 30000), pick.randint(1, self.options.largest)), (30, 50, 17, 3))[0]

    def request(self):
        """(number, method, bytes, what to expect)"""
        number = next(self.numbers)
        # The same for the same number, whatever has become of those before it.
        pick = random.Random(number)
        method = pick.choices(("GET", "POST", "PUT", "HEAD", "DELETE"), (60, 20, 10, 5, 5))[0]
        status = pick.choices((200, 201, 204, 304, 404, 500, 503), (70, 5, 5, 5, 9, 3, 3))[0]
        if self.options.plain:
            method, status = pick.choices(("GET", "POST"), (80, 20))[0], 200
        mode = "whole" if self.options.plain else pick.choices(
            ("whole", "two", "pieces", "chunked", "close"), (50, 20, 15, 13, 2))[0]
        length, sent = self.size(pick), self.size(pick) if method in ("POST", "PUT") else 0
        path = pick.choice(self.options.paths)
        pause = 0 if self.options.plain else pick.random() < 0.2
        target = f"{path}?id={number}&n={length}&m={mode}&s={status}&t={int(pause)}"
        fields = [f"Host: {self.options.authority}", f"X-Number: {number}"]
        if not self.options.small and pick.random() < 0.3:
            fields.append("X-Long: " + "v" * pick.choice((10, 200, 500, 2000)))
        if pick.random() < 0.1:
            fields.append("Connection: keep-alive")
        content, chunked = body_of(number + 7, sent), sent and not self.options.small and pick.random() < 0.15
        if chunked:
            fields.append("Transfer-Encoding: chunked")
            wire = b"%x\r\n%s\r\n0\r\n\r\n" % (sent, content)
        else:
            if sent or method in ("POST", "PUT"):
                fields.append(f"Content-Length: {sent}")
            wire = content
        head = f"{method} {target} HTTP/1.1\r\n" + "\r\n".join(fields) + "\r\n\r\n"
        expected = {
            "number": number, "method": method, "status": status, "length": length, "mode": mode,
            "digest": hashlib.sha1(content).hexdigest(), "path": path,
        }
        return head.encode() + wire, expected

    async def send(self, writer, wire):
        if self.random.random() < self.options.split:
            for _ in range(self.random.randint(1, 4)):
                cut = self.random.randint(0, len(wire))
                writer.write(wire[:cut])
                wire = wire[cut:]
                await writer.drain()
                await asyncio.sleep(self.random.choice((0, 0, 0.0005)))
        writer.write(wire)
        await writer.drain()

    # Checking.

    async def receive(self, reader, expected):
        """Whether the connection goes on."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            if status >= 200:
                break
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head[1:])}
        self.statuses[status] += 1
        self.timeline[int(time.time() * 10)] += 1
        closes = fields.get("connection", "") == "close"
        if "x-id" not in fields:
            if status not in self.options.tolerated and not (
                    status == 403 and expected["path"].startswith("/denied")):
                raise Failure(f"{status} by the mesh for {expected}: {fields}")
            self.refused[expected["path"]] += 1
            await self.read_body(reader, fields, expected, status)
            return not closes
        self.servers[fields["x-server"]] += 1
        self.last[fields["x-server"]] = self.last[expected["path"]] = time.time()
        self.digests.append(f"{expected['number']} {status} {fields['x-head']} {fields['x-digest']}")
        if expected["path"].startswith("/denied"):
            raise Failure(f"{expected} was let pass")
        if int(fields["x-id"]) != expected["number"] or status != expected["status"]:
            raise Failure(f"{expected} got {status} {fields}")
        if fields["x-digest"] != expected["digest"] or fields["x-method"] != expected["method"]:
            raise Failure(f"{expected} has come as {fields}")
        content = await self.read_body(reader, fields, expected, status)
        length = 0 if expected["method"] == "HEAD" or status in (204, 304) else expected["length"]
        if content != body_of(expected["number"], length):
            raise Failure(f"{expected} got another body, of {len(content)} bytes")
        return not closes

    async def read_body(self, reader, fields, expected, status):
        if expected["method"] == "HEAD" or status in (204, 304):
            return b""
        if "chunked" in fields.get("transfer-encoding", ""):
            content = b""
            while True:
                size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
                content += (await reader.readexactly(size + 2))[:-2]
                if not size:
                    return content
        if "content-length" in fields:
            return await reader.readexactly(int(fields["content-length"]))
        return await reader.read()

    def goes_on(self):
        if self.failures and not self.options.keep_going:
            return False
        return self.left > 0 and not self.is_stopped and (not self.deadline or time.monotonic() < self.deadline)

    async def converse(self):
        """One connection, until it ends."""
        reader, writer = await asyncio.open_connection(self.options.host, self.options.port, limit=1 << 22)
        self.connections += 1
        try:
            while self.goes_on():
                burst = [self.request() for _ in range(self.random.choice((2, 3, 5)))] \
                    if self.random.random() < self.options.pipeline else [self.request()]
                # Nothing is asked behind what ends the connection.
                for place, (_, expected) in enumerate(burst):
                    if expected["mode"] == "close":
                        burst = burst[:place + 1]
                        break
                self.left -= len(burst)
                wire = b"".join(wire for wire, _ in burst)
                if self.random.random() < self.options.abort:
                    writer.write(wire[:self.random.randint(1, len(wire))])
                    self.aborted += 1
                    return
                await self.send(writer, wire)
                if self.random.random() < self.options.stall:
                    await asyncio.sleep(self.random.choice((0.001, 0.01, 0.05)))
                for _, expected in burst:
                    try:
                        goes_on = await asyncio.wait_for(self.receive(reader, expected), self.options.patience)
                    except asyncio.TimeoutError as error:
                        raise Failure(f"no answer, or not all of it, to {expected}") from error
                    if not goes_on:
                        return
                if self.random.random() < self.options.leave:
                    return
        finally:
            writer.close()

    async def work(self):
        while self.goes_on():
            try:
                await self.converse()
            except (Failure, ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}"[:600])

    def stop(self):
        self.is_stopped = True

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        await asyncio.gather(*(self.work() for _ in range(self.options.connections)))
        print(json.dumps({
            "requests": sum(self.statuses.values()), "statuses": self.statuses, "servers": self.servers,
            "connections": self.connections, "aborted": self.aborted, "failures": self.failures[:5],
            "failed": len(self.failures), "refused": self.refused, "last": self.last, "timeline": self.timeline,
            "digest": hashlib.sha1("\n".join(sorted(self.digests)).encode()).hexdigest(), "answered": len(self.digests),
        }), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--authority", default="web")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--largest", type=int, default=1500000)
    parser.add_argument("--paths", nargs="*", default=["/x"])
    parser.add_argument("--split", type=float, default=0.1)
    parser.add_argument("--pipeline", type=float, default=0.03)
    parser.add_argument("--abort", type=float, default=0.002)
    parser.add_argument("--stall", type=float, default=0.02)
    parser.add_argument("--leave", type=float, default=0.005)
    parser.add_argument("--patience", type=float, default=30, help="seconds for an answer")
    parser.add_argument("--plain", action="store_true", help="requests that a kernel can decide, alone")
    parser.add_argument("--small", action="store_true", help="none that is too long for a kernel")
    parser.add_argument("--tolerated", type=int, nargs="*", default=[])
    parser.add_argument("--keep-going", action="store_true")
    asyncio.run(Client(parser.parse_args()).run())


main()
