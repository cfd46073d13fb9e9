"""Requests that differ in all that clients choose, and a server that answers with any status.

serve ADDRESS PORT                 answers each request with the status in its x-status field
attack ADDRESS PORT COUNT SEED     sends COUNT requests with random methods, targets, hosts and statuses over eight
                                   connections, and prints as JSON how many answers there were
"""

import asyncio
import json
import random
import string
import sys


def word(source, least, most):
    return "".join(source.choice(string.ascii_letters) for _ in range(source.randint(least, most)))


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return lines[0], fields


async def answer(reader, writer):
    try:
        while True:
            _, fields = await read_head(reader)
            status = int(fields["x-status"])
            length = "" if status in (204, 304) else "content-length: 0\r\n"
            writer.write(f"HTTP/1.1 {status} {word(random, 1, 9)}\r\n{length}\r\n".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(address, port):
    server = await asyncio.start_server(answer, address, port)
    print("ready", flush=True)
    await server.serve_forever()


async def send(address, port, count, source, answers):
    done = 0
    while done < count:
        reader, writer = await asyncio.open_connection(address, port)
        try:
            while done < count:
                done += 1
                method = "X" + word(source, 2, 10).upper()
                writer.write(
                    f"{method} /{word(source, 1, 60)}?{word(source, 1, 9)}={word(source, 1, 20)} HTTP/1.1\r\n"
                    f"host: {word(source, 1, 40)}.example\r\nuser-agent: {word(source, 1, 40)}\r\n"
                    f"x-status: {source.randint(200, 999)}\r\n\r\n".encode())
                line, fields = await read_head(reader)
                status = line.split(" ")[1]
                answers[status] = answers.get(status, 0) + 1
                await reader.readexactly(int(fields.get("content-length", 0)))
                if fields.get("connection") == "close":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            answers["none"] = answers.get("none", 0) + 1
        writer.close()


async def attack(address, port, count, seed):
    source = random.Random(seed)
    answers = {}
    parts = [count // 8 + (number < count % 8) for number in range(8)]
    await asyncio.gather(*(send(address, port, part, source, answers) for part in parts))
    print(json.dumps(answers))


if sys.argv[1] == "serve":
    asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
else:
    asyncio.run(attack(sys.argv[2], *map(int, sys.argv[3:])))
