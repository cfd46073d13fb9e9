#!/usr/bin/env python3
"""A peer of the tunnel listener that is not Weft: `peer.py HOST:PORT DIRECTORY SCENARIO [ARGUMENT...]`.

The directory has `cert.pem` (chain and key) and `root.pem`. What came of the scenario is printed, one fact a line.
"""
import socket
import ssl
import struct
import sys
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from hpack import Encoder
from hyperframe.frame import (DataFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
target, directory, scenario, *arguments = sys.argv[1:]
host, port = target.rsplit(":", 1)


def secure(alpn=("h2",), certificate=True, highest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(f"{directory}/root.pem")
    context.maximum_version = highest
    if certificate:
        context.load_cert_chain(f"{directory}/cert.pem")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    plain = socket.create_connection((host, int(port)), timeout=10)
    return context.wrap_socket(plain, server_hostname=None)


class Peer:
    """A client of HTTP/2 that notes what it gets."""

    def __init__(self, window=None):
        self.socket = secure()
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.status = {}
        self.data = {}
        self.ended = set()
        self.resets = {}
        self.goaway = None
        self.acknowledges = True
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def connect(self, authority, extra=()):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", authority), *extra])
        self.flush()
        return stream

    def read(self):
        """False at the connection's end."""
        try:
            received = self.socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            return False
        if not received:
            return False
        for event in self.h2.receive_data(received):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.ResponseReceived):
                self.status[stream] = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.data[stream] = self.data.get(stream, b"") + event.data
                if self.acknowledges:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(stream)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[stream] = int(event.error_code)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = int(event.error_code)
        try:
            self.flush()
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    def until(self, condition):
        while not condition():
            if not self.read():
                return False
        return True

    def finish(self, stream):
        self.h2.end_stream(stream)
        self.flush()


def echo(authority):
    peer = Peer()
    stream = peer.connect(authority)
    peer.until(lambda: stream in peer.status)
    print("status", peer.status.get(stream))
    peer.h2.send_data(stream, b"hello")
    peer.finish(stream)
    peer.until(lambda: stream in peer.ended)
    print("data", peer.data.get(stream, b"").decode())


def statuses(*authorities):
    """One connection, which has to survive all of them."""
    peer = Peer()
    for authority in authorities:
        stream = peer.connect(authority)
        alive = peer.until(lambda: stream in peer.status or stream in peer.resets)
        print(authority, peer.status.get(stream, f"reset {peer.resets.get(stream)}") if alive else "closed")


def get(authority):
    peer = Peer()
    stream = peer.h2.get_next_available_stream_id()
    peer.h2.send_headers(
        stream, [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", authority)], end_stream=True)
    peer.flush()
    peer.until(lambda: stream in peer.status)
    print("status", peer.status.get(stream))


def headers(authority, count, size):
    peer = Peer()
    peer.h2.max_outbound_frame_size = 1 << 14
    stream = peer.connect(authority, [(f"x-{number}", "v" * int(size)) for number in range(int(count))])
    alive = peer.until(lambda: stream in peer.status or stream in peer.resets)
    print("status", peer.status.get(stream) if alive else "closed")


def window(authority, size):
    """Takes nothing at first; then everything."""
    peer = Peer(window=0)
    stream = peer.connect(authority)
    peer.until(lambda: stream in peer.status)
    time.sleep(0.5)
    print("early", len(peer.data.get(stream, b"")))
    peer.h2.increment_flow_control_window(1 << 20, stream)
    peer.h2.increment_flow_control_window(1 << 20)
    peer.flush()
    peer.acknowledges = True
    peer.until(lambda: len(peer.data.get(stream, b"")) >= int(size) or stream in peer.ended)
    print("data", len(peer.data.get(stream, b"")))


def handshake(kind):
    try:
        if kind == "alpn":
            connection = secure(alpn=("http/1.1",))
        elif kind == "none":
            connection = secure(alpn=None)
        elif kind == "old":
            connection = secure(highest=ssl.TLSVersion.TLSv1_2)
        else:
            connection = secure(certificate=kind != "bare")
        # A client of TLS 1.3 learns that it was refused only from what it reads.
        connection.sendall(PREFACE)
        print("accepted" if connection.recv(1) else "refused")
    except (ssl.SSLError, ConnectionError):
        print("refused")


def flood(kind, authority):
    """Sends frames of one kind without an end, and says how the connection ends."""
    connection = secure()
    settings = SettingsFrame(0)
    connection.sendall(PREFACE + settings.serialize())
    encoder = Encoder()
    number = 1

    def request(stream, ends_headers=True):
        frame = HeadersFrame(stream)
        frame.data = encoder.encode([(":method", "CONNECT"), (":authority", authority)])
        if ends_headers:
            frame.flags.add("END_HEADERS")
        return frame.serialize()

    def frames():
        nonlocal number
        if kind == "ping":
            return PingFrame(0, opaque_data=b"12345678").serialize()
        if kind == "settings":
            return SettingsFrame(0, settings={4: 65535}).serialize()
        if kind == "empty":
            return DataFrame(1, b"").serialize()
        if kind == "priority":
            return PriorityFrame(1, depends_on=3, stream_weight=7).serialize()
        if kind == "window":
            return WindowUpdateFrame(0, window_increment=1).serialize()
        if kind == "reset":
            number += 2
            return request(number) + RstStreamFrame(number, error_code=8).serialize()
        if kind == "malformed":
            number += 2
            frame = HeadersFrame(number)
            frame.data = encoder.encode([(":method", "CONNECT"), (":path", "/"), (":authority", authority)])
            frame.flags.add("END_HEADERS")
            return frame.serialize()
        if kind == "continuation":
            return struct.pack(">I", 8)[1:] + bytes([9, 0]) + struct.pack(">I", 3) + encoder.encode([("a", "bcdef")])[:8].ljust(8, b"\0")
        raise SystemExit(f"no flood {kind}")

    if kind in ("empty", "priority"):
        connection.sendall(request(1))
    if kind == "continuation":
        connection.sendall(request(3, ends_headers=False))
    sent = 0
    try:
        connection.settimeout(0.001)
        received = b""
        begun = time.monotonic()
        while sent < 200_000 and time.monotonic() - begun < 8:
            connection.settimeout(5)
            connection.sendall(b"".join(frames() for _ in range(50)))
            sent += 50
            connection.settimeout(0.001)
            try:
                part = connection.recv(1 << 16)
                if not part:
                    break
                received += part
            except (TimeoutError, ssl.SSLWantReadError):
                pass
        else:
            print("survived", sent)
            return
    except (ConnectionError, ssl.SSLError, TimeoutError):
        pass
    print("ended")


def garbage():
    connection = secure()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
    connection.settimeout(5)
    try:
        while connection.recv(1 << 16):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    print("ended")


{"echo": echo, "statuses": statuses, "get": get, "headers": headers, "window": window, "handshake": handshake,
 "flood": flood, "garbage": garbage}[scenario](*arguments)
