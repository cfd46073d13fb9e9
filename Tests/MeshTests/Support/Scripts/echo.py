"""An HTTP/1.1 backend that says what it received. Usage: echo.py NAME ADDRESS PORT

The answer to everything is JSON: {pod, method, path, headers: [[name, value]...], length, sha256}. The query changes it:
  status=N        this status          delay=MS      waits before answering
  bytes=N         N bytes of body instead of the JSON, by Content-Length; chunked=1: in chunks
  fail=N          the first N requests with this path get 503
  events=N        server-sent events: the first at once, each other one when somebody asks for /release
  close=1         the body ends with the connection
/count            how many requests this backend has had, by path
"""
import hashlib
import http.server
import json
import socket
import sys
import threading
import time
import urllib.parse

NAME = sys.argv[1]
LOCK = threading.Lock()
SEEN = {}
RELEASE = threading.Semaphore(0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "echo"

    def log_message(self, *_):
        pass

    def body(self):
        """Length and digest of the request's body."""
        digest, length = hashlib.sha256(), 0
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data = self.rfile.read(size)
                digest.update(data)
                length += len(data)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    break
                self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                data = self.rfile.read(min(left, 1 << 18))
                if not data:
                    break
                digest.update(data)
                length += len(data)
                left -= len(data)
        return length, digest.hexdigest()

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        length, digest = self.body()
        with LOCK:
            SEEN[url.path] = SEEN.get(url.path, 0) + 1
            count = SEEN[url.path]
            seen = dict(SEEN)
        if url.path == "/count":
            return self.reply(200, json.dumps(seen).encode())
        if url.path == "/release":
            RELEASE.release()
            return self.reply(200, b"{}")
        if "delay" in query:
            time.sleep(int(query["delay"]) / 1000)
        if count <= int(query.get("fail", 0)):
            return self.reply(503, b'{"error": "failing as asked"}')
        if "events" in query:
            return self.events(int(query["events"]))
        if "bytes" in query:
            return self.bulk(int(query["bytes"]), "chunked" in query)
        text = json.dumps({
            "pod": NAME, "method": self.command, "path": self.path, "headers": self.headers.items(),
            "length": length, "sha256": digest,
        }).encode()
        return self.reply(int(query.get("status", 200)), text, closes="close" in query)

    def reply(self, status, body, closes=False):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Pod", NAME)
        if closes:
            self.send_header("Connection", "close")
            self.close_connection = True
        elif status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.command == "HEAD" or status in (204, 304):
            body = b""
        # In one write: nobody can give an answer again whose body is missing because its server was killed.
        self._headers_buffer.append(b"\r\n" + body)
        self.flush_headers()

    def bulk(self, count, chunked):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(count))
        self.end_headers()
        block = bytes(range(256)) * 1024
        while count:
            data = block[:min(count, len(block))]
            if chunked:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            self.wfile.write(data)
            count -= min(count, len(block))
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def events(self, count):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            if number:
                RELEASE.acquire()
            event = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    address_family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET

    def get_request(self):
        connection, peer = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, peer


server = Server((sys.argv[2], int(sys.argv[3])), Handler)
print("ready", flush=True)
server.serve_forever()
