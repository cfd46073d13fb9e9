"""One of three services that call each other. Usage: application.py NAME ADDRESS PORT NEXT

NEXT is the address of the service that is asked for every request, or -. The path says what happens:
  /ok        200 everywhere; api asks db twice
  /fail-db   db answers 500, who asks it 502
  /none      front answers 404 and asks nobody
"""
import http.client
import http.server
import sys

NAME, ADDRESS, PORT, NEXT = sys.argv[1:5]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def ask(self):
        """The status of the next service's answer."""
        connection = http.client.HTTPConnection(NEXT, timeout=10)
        connection.request("GET", self.path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def do_GET(self):
        status = 200
        if self.path.startswith("/none"):
            status = 404
        elif self.path.startswith("/fail-db") and NAME == "db":
            status = 500
        elif NEXT != "-":
            answers = [self.ask() for _ in range(2 if NAME == "api" else 1)]
            if any(answer >= 500 for answer in answers):
                status = 502
        body = NAME.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server((ADDRESS, int(PORT)), Handler)
print("ready", flush=True)
server.serve_forever()
