"""A collector of OTLP over HTTP. Usage: otlp_sink.py ADDRESS PORT ANSWER...

Each request is decoded by opentelemetry-proto (in PYTHONPATH), which is strict, and gets the next of the answers; the last
one is for all others:
  N          this status         N:S        with Retry-After: S
  partial:N  200, and a partial success that refuses N records
  slow:MS    200 after so many milliseconds
Prints "ready", then one JSON object for each request: {time, status, path, headers, records}, where a record is a span or
a log record with its resource's attributes beside its own.
"""
import http.server
import json
import sys
import threading
import time

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

ANSWERS = sys.argv[3:]
LOCK = threading.Lock()


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(pairs):
    found = {}
    for pair in pairs:
        assert pair.key not in found, f"{pair.key} is there twice"
        found[pair.key] = value(pair.value)
    return found


def spans(request):
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                yield {
                    "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                    "name": span.name, "kind": span.kind, "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano, "attributes": attributes(span.attributes),
                    "status": span.status.code, "message": span.status.message, "flags": span.flags,
                    "resource": attributes(group.resource.attributes), "scope": scope.scope.name,
                }


def logs(request):
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield {
                    "trace": record.trace_id.hex(), "span": record.span_id.hex(), "time": record.time_unix_nano,
                    "severity": record.severity_number, "event": record.event_name, "body": value(record.body),
                    "attributes": attributes(record.attributes), "resource": attributes(group.resource.attributes),
                }


SIGNALS = {
    "traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse, spans,
               "rejected_spans"),
    "logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse, logs,
             "rejected_log_records"),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        with LOCK:
            answer = ANSWERS.pop(0) if len(ANSWERS) > 1 else ANSWERS[0]
        Request, Response, read, rejected = SIGNALS[self.path.rsplit("/", 1)[1]]
        request, response = Request(), Response()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        status, _, argument = answer.partition(":")
        if status == "slow":
            time.sleep(int(argument) / 1000)
        if status == "partial":
            setattr(response.partial_success, rejected, int(argument))
            response.partial_success.error_message = "no more today"
        code = int(status) if status.isdigit() else 200
        with LOCK:
            print(json.dumps({
                "time": time.time(), "status": code, "path": self.path, "records": list(read(request)),
                "headers": {name.lower(): text for name, text in self.headers.items()},
            }), flush=True)
        body = response.SerializeToString()
        try:
            self.send_response(code)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            if status.isdigit() and argument:
                self.send_header("Retry-After", argument)
            self.end_headers()
            self.wfile.write(body)
        except BrokenPipeError:
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server((sys.argv[1], int(sys.argv[2])), Handler)
print("ready", flush=True)
server.serve_forever()
