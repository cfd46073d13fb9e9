"""Does to a Workload API what no client should, and prints as JSON how the server took it.

hostile.py SOCKET CASE: see CASES below. Of a flood, `sent` says how many frames the server took before it hung up.
"""

import json
import os
import random
import socket
import struct
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FLOOD = 20000
GOAWAY, HEADERS, CONTINUATION, RST_STREAM = 7, 1, 9, 3


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4, 0, 0)


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    peer.settimeout(20)
    return peer


def frames_in(data):
    position = 0
    while position + 9 <= len(data):
        length = int.from_bytes(data[position:position + 3], "big")
        yield data[position + 3], data[position + 9:position + 9 + length]
        position += 9 + length


def drain(peer):
    """Everything until the server closes; how it said goodbye."""
    data = b""
    closed = False
    try:
        while not closed:
            more = peer.recv(65536)
            closed = not more
            data += more
    except (BrokenPipeError, ConnectionResetError):
        closed = True
    except TimeoutError:
        pass
    goodbyes = [int.from_bytes(payload[4:8], "big") for kind, payload in frames_in(data) if kind == GOAWAY]
    return {"closed": closed, "goaway": goodbyes[-1] if goodbyes else None, "received": len(data)}


def flood(path, chunks, first=PREFACE + SETTINGS):
    peer = connect(path)
    sent = 0
    try:
        peer.sendall(first)
        for chunk in chunks:
            peer.sendall(chunk)
            sent += 1
    except OSError:
        pass
    return {"sent": sent, **drain(peer)}


def request(number, fields=(), drop=()):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
    connection.initiate_connection()
    connection.data_to_send()
    connection.send_headers(number, head(fields, drop))
    return connection.data_to_send()


def head(fields=(), drop=()):
    usual = [
        (":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID"), (":authority", "a"),
        ("content-type", "application/grpc"), ("te", "trailers"), ("workload.spiffe.io", "true"),
    ]
    replaced = {name for name, _ in fields} | set(drop)
    # Pseudo-fields come first.
    return sorted(list(fields) + [field for field in usual if field[0] not in replaced], key=lambda f: f[0][0] != ":")


def ask(path, fields=(), drop=(), body=bytes(5)):
    """One request of any form, and the fields of the answer."""
    peer = connect(path)
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
    connection.initiate_connection()
    connection.send_headers(1, head(fields, drop))
    peer.sendall(connection.data_to_send())
    position = 0
    answer = {}
    while True:
        # As much as the windows take; the rest when they open.
        while position < len(body) and 1 in connection.streams and connection.streams[1].open:
            size = min(len(body) - position, connection.local_flow_control_window(1), 16384)
            if size == 0:
                break
            connection.send_data(1, body[position:position + size], end_stream=position + size == len(body))
            position += size
        peer.sendall(connection.data_to_send())
        data = peer.recv(65536)
        if not data:
            return {**answer, "closed": True}
        try:
            events = connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            return {**answer, "error": str(error)}
        for event in events:
            for name, value in getattr(event, "headers", None) or []:
                answer[name.decode()] = value.decode()
            if isinstance(event, h2.events.StreamReset):
                return {**answer, "reset": event.error_code}
            if isinstance(event, (h2.events.StreamEnded, h2.events.DataReceived)):
                return answer


def resets():
    for number in range(1, 2 * FLOOD, 2):
        yield request(number) + frame(RST_STREAM, 0, number, struct.pack(">I", 8))


def answered_resets():
    """As above, but every request is complete, so each one is answered."""
    for number in range(1, 2 * FLOOD, 2):
        yield request(number) + frame(0, 1, number, bytes(5)) + frame(RST_STREAM, 0, number, struct.pack(">I", 8))


def continuations():
    block = b"\x00\x01a\x01b"
    yield frame(HEADERS, 0, 1, block)
    for _ in range(FLOOD):
        yield frame(CONTINUATION, 0, 1, block)


def many_streams(path):
    """More calls than the server says it takes, on one connection."""
    peer = connect(path)
    peer.sendall(PREFACE + SETTINGS + b"".join(request(number) for number in range(1, 401, 2)))
    peer.settimeout(1)
    answer = drain(peer)
    return {"closed": answer["closed"], "goaway": answer["goaway"]}


def hold(path):
    """As many connections as can be had; held until standard input ends."""
    peers = []
    for _ in range(300):
        peer = connect(path)
        peer.settimeout(5)
        peers.append(peer)
        try:
            peer.sendall(PREFACE + SETTINGS)
        except OSError:
            pass
    time.sleep(0.5)
    held = 0
    for peer in peers:
        try:
            peer.setblocking(False)
            data = peer.recv(65536)
            held += 1 if data else 0
        except OSError:
            pass
    print(json.dumps({"held": held}), flush=True)
    sys.stdin.read()
    return {}


def garbage(path):
    source = random.Random(int(os.environ.get("SEED", "1")))
    closed = 0
    for _ in range(200):
        first = source.choice([b"", PREFACE, PREFACE + SETTINGS])
        data = first + source.randbytes(source.randrange(1, 2000))
        peer = connect(path)
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        closed += drain(peer)["closed"]
        peer.close()
    return {"closed": closed}


def changed(path):
    """A good request with some bytes changed."""
    source = random.Random(int(os.environ.get("SEED", "1")))
    good = PREFACE + SETTINGS + request(1) + frame(0, 1, 1, bytes(5))
    closed = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(source.randrange(1, 5)):
            data[source.randrange(len(PREFACE), len(data))] = source.randrange(256)
        peer = connect(path)
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        closed += drain(peer)["closed"]
        peer.close()
    return {"closed": closed}


def unread(path):
    """Asks for answers without end, and reads none of them."""
    peer = connect(path)
    peer.settimeout(3)
    sent = 0
    try:
        peer.sendall(PREFACE + SETTINGS)
        for _ in range(10_000_000):
            peer.sendall(frame(6, 0, 0, bytes(8)))
            sent += 1
    except OSError:
        pass
    return {"sent": sent}


CASES = {
    "http1": lambda path: flood(path, [], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "silence": lambda path: flood(path, [], b""),
    "preface": lambda path: flood(path, []),
    "pings": lambda path: flood(path, (frame(6, 0, 0, bytes(8)) for _ in range(FLOOD))),
    "settings": lambda path: flood(path, (SETTINGS for _ in range(FLOOD))),
    "windows": lambda path: flood(path, (frame(8, 0, 0, struct.pack(">I", 1)) for _ in range(FLOOD))),
    "priorities": lambda path: flood(path, (frame(2, 0, 3, struct.pack(">IB", 0, 1)) for _ in range(FLOOD))),
    "unknown": lambda path: flood(path, (frame(99, 0, 0, bytes(1000)) for _ in range(FLOOD))),
    "empty-data": lambda path: flood(path, (frame(0, 0, 1) for _ in range(FLOOD)), PREFACE + SETTINGS + request(1)),
    "resets": lambda path: flood(path, resets()),
    "answered-resets": lambda path: flood(path, answered_resets()),
    "continuations": lambda path: flood(path, continuations()),
    "many-streams": many_streams,
    "hold": hold,
    "garbage": garbage,
    "changed": changed,
    "unread": unread,
    "good": ask,
    "large-head": lambda path: ask(path, [("x-large", "x" * 9000)]),
    "huge-head": lambda path: ask(path, [(f"x-{n}", "x" * 4000) for n in range(40)]),
    "large-body": lambda path: ask(path, body=b"\0\0\0\xff\0" + bytes(65280)),
    "get": lambda path: ask(path, [(":method", "GET")]),
    "no-grpc": lambda path: ask(path, [("content-type", "text/plain")]),
    "no-path": lambda path: ask(path, drop=(":path",)),
    "twice": lambda path: ask(path, [("workload.spiffe.io", "true"), ("workload.spiffe.io", "true")]),
    "no-message": lambda path: ask(path, body=b"\0"),
    "short-message": lambda path: ask(path, body=b"\0\0\0\0\x05a"),
    "two-messages": lambda path: ask(path, body=bytes(10)),
    "compressed": lambda path: ask(path, body=b"\x01" + bytes(4)),
    "no-protobuf": lambda path: ask(path, body=b"\0\0\0\0\x02\x0a\x7f"),
    "unknown-fields": lambda path: ask(path, body=b"\0\0\0\0\x02\x50\x01"),
}

print(json.dumps(CASES[sys.argv[2]](sys.argv[1])), flush=True)
