"""The recording backend that stands behind every proxy: it keeps what it is sent, byte by byte, and answers what it reads
strictly as requests."""

import asyncio
import itertools
import multiprocessing
import re
import socket

from messages import GENEROUS, Malformed, generous, strict

#: The name of a case, somewhere in each of its requests.
NAME = re.compile(rb"q\d{5}")
#: In the order of their arrival.
NUMBERS = itertools.count()
#: Of one connection; more is not looked at.
LIMIT = 1 << 20


class Connection(asyncio.Protocol):
    """One connection from a proxy."""

    def __init__(self, records):
        self.records = records
        self.data = bytearray()
        self.position = 0
        self.requests = []
        self.fault = None
        self.transport = None
        self.continued = -1

    def connection_made(self, transport):
        self.transport = transport
        self.records.append(self)

    def data_received(self, data):
        if len(self.data) > LIMIT:
            self.transport.abort()
            return
        self.data += data
        while self.fault is None and self.position < len(self.data):
            try:
                request = strict(self.data, self.position)
            except Malformed as error:
                self.fault = str(error)
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.transport.close()
                return
            if request is None:
                self.offer_to_continue()
                return
            self.position = request.end
            self.requests.append(request)
            request.number = next(NUMBERS)
            self.answer(request)

    def offer_to_continue(self):
        end = self.data.find(b"\r\n\r\n", self.position)
        if end >= 0 and self.continued != self.position:
            if re.search(rb"(?i)\nexpect:", bytes(self.data[self.position:end])):
                self.continued = self.position
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def answer(self, request):
        closes = any(b"close" in value.lower() for value in request.values(b"connection"))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + (b"Connection: close\r\n" if closes else b"") + b"\r\n"
        self.transport.write(head + (b"" if request.method == b"HEAD" else b"ok"))
        if closes:
            self.transport.close()

    def report(self):
        """What one connection was: a dictionary of plain values."""
        data = bytes(self.data)
        bounds = [(request.start, request.end) for request in self.requests]
        if self.position < len(data):
            bounds.append((self.position, None))
        readers = [reader for reader in GENEROUS if generous(data, reader) != bounds]
        requests = []
        for request in self.requests:
            text = data[request.start:request.end]
            requests.append({
                "number": request.number, "names": sorted({name.decode() for name in NAME.findall(text)}),
                "method": request.method.decode(), "target": request.target.decode(),
                "host": b",".join(request.values(b"host")).decode("latin-1"), "body": request.body,
                "fields": request.fields,
            })
        rest = data[self.position:]
        return {
            "requests": requests, "fault": self.fault, "ambiguous": readers[0] if readers else None,
            "rest": rest[:400], "rest_names": sorted({name.decode() for name in NAME.findall(rest)}),
            "raw": data[:1000] if readers or self.fault else b"",
        }


def serve(listeners, pipe):
    """The process: serves until it is asked for its records."""

    async def run():
        loop = asyncio.get_running_loop()
        records = {label: [] for label in listeners}
        for label, listener in listeners.items():
            await loop.create_server(lambda label=label: Connection(records[label]), sock=listener, backlog=1024)
        await loop.run_in_executor(None, pipe.recv)
        await asyncio.sleep(0.3)
        pipe.send({label: [record.report() for record in found] for label, found in records.items()})

    asyncio.run(run())


class Backend:
    """The backend's process, with one listening port for each of `labels`; `places` gives some of them beforehand."""

    def __init__(self, labels, places):
        listeners = {}
        self.ports = {}
        for label in labels:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(places.get(label, ("127.0.0.1", 0)))
            listeners[label] = listener
            self.ports[label] = listener.getsockname()[1]
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=(listeners, other), daemon=True)
        self.process.start()
        for listener in listeners.values():
            listener.close()

    def records(self):
        """Ends the backend and returns what each of its ports was sent."""
        self.pipe.send(None)
        found = self.pipe.recv()
        self.process.terminate()
        self.process.join()
        return found
