"""A service that calls another one and passes on what it was told of traces. Usage: chain.py NAME ADDRESS PORT [URL]

The answer is JSON: {name, headers: {name: value}, next: the answer of URL or null}. Like applications in a mesh that have no
tracing of their own, it copies the header fields of traces from the request that it got to the request that it makes. A
request for /broken is answered with 503 by the last of the chain.
"""
import http.server
import json
import sys
import urllib.error
import urllib.request

NAME, NEXT = sys.argv[1], sys.argv[4] if len(sys.argv) > 4 else None
COPIED = ("x-request-id", "traceparent", "tracestate", "b3")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        headers = {name.lower(): text for name, text in self.headers.items()}
        status, following = 200, None
        if NEXT:
            copied = {name: text for name, text in headers.items() if name in COPIED or name.startswith("x-b3-")}
            try:
                with urllib.request.urlopen(urllib.request.Request(NEXT + self.path, headers=copied)) as answer:
                    following = json.load(answer)
            except urllib.error.HTTPError as error:
                status, following = error.code, json.loads(error.read())
        elif self.path.startswith("/broken"):
            status = 503
        body = json.dumps({"name": NAME, "headers": headers, "next": following}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
