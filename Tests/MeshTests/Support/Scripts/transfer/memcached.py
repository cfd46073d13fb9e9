"""Sets and gets values of memcached's, many at a time, and compares them. Usage: memcached.py asyncio|blocking ADDRESS PORT COUNT"""
import asyncio
import random
import socket
import sys

KIND, ADDRESS, PORT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
BATCH = 20

randomness = random.Random(1)
values = {b"key%d" % i: randomness.randbytes(randomness.choice((1, 100, 1000, 10_000, 100_000))) for i in range(COUNT)}
keys = list(values)


def orders():
    """What is sent, and what has to come back."""
    for start in range(0, COUNT, BATCH):
        batch = keys[start:start + BATCH]
        yield (b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(values[key]), values[key]) for key in batch),
               b"STORED\r\n" * len(batch))
    for start in range(0, COUNT, BATCH):
        batch = keys[start:start + BATCH]
        yield (b"get %s\r\n" % b" ".join(batch),
               b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(values[key]), values[key]) for key in batch) + b"END\r\n")


def compare(found, wanted):
    if found != wanted:
        sys.exit("other bytes came back")


async def use_asyncio():
    reader, writer = await asyncio.open_connection(ADDRESS, PORT)
    for order, wanted in orders():
        writer.write(order)
        await writer.drain()
        compare(await reader.readexactly(len(wanted)), wanted)


def use_blocking():
    connection = socket.create_connection((ADDRESS, PORT))
    stream = connection.makefile("rb")
    for order, wanted in orders():
        connection.sendall(order)
        compare(stream.read(len(wanted)), wanted)


asyncio.run(use_asyncio()) if KIND == "asyncio" else use_blocking()
print("same")
