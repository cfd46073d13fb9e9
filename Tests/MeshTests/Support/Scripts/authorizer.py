"""Decides about requests for a proxy. Usage: authorizer.py KIND ADDRESS PORT

KIND is `http` (Envoy's ext_authz over HTTP), `opa` (OPA's Data API) or `grpc` (envoy.service.auth.v3; needs grpcio and
xds-protos in PYTHONPATH). By the path of the request that it is asked about:
  /deny...   refused: 402, `x-denied-by`, and a body that names the authorizer
  /slow...   answered after a second
  /break...  answered with what is no answer
  others     allowed, with `x-checked: KIND <principal>` for the workload
Each check is printed as a line of JSON: {method, path, headers, principal}.
"""
import http.server
import json
import sys
import time

KIND, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])


def report(method, path, headers, principal):
    print(json.dumps({"method": method, "path": path, "headers": headers, "principal": principal}), flush=True)
    if path.startswith("/slow"):
        time.sleep(1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except BrokenPipeError:
            self.close_connection = True

    def check(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.removeprefix("/check")
        report(self.command, path, headers, headers.get("x-principal", ""))
        if path.startswith("/break"):
            return self.answer(500, {}, b"broken")
        if path.startswith("/deny"):
            return self.answer(402, {"X-Denied-By": KIND, "X-Secret": "1"}, b"refused by http\n")
        return self.answer(200, {"X-Checked": KIND, "X-Other": "1"}, b"")

    do_GET = do_HEAD = check

    def do_POST(self):
        if KIND == "http":
            return self.check()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]["attributes"]
        request, principal = asked["request"]["http"], asked["source"]["principal"]
        report(request["method"], request["path"], request["headers"], principal)
        if request["path"].startswith("/break"):
            return self.answer(200, {}, b"{not json")
        if request["path"].startswith("/deny"):
            result = {"allowed": False, "http_status": 402, "headers": {"x-denied-by": KIND}, "body": "refused by opa\n"}
        else:
            result = {"allowed": True, "headers": {"x-checked": f"{KIND} {principal}"}}
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps({"result": result}).encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def serve_grpc():
    from concurrent import futures

    import grpc
    from envoy.config.core.v3 import base_pb2
    from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
    from envoy.type.v3 import http_status_pb2
    from google.rpc import code_pb2, status_pb2

    def option(name, value):
        return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=name, value=value))

    class Authorization(external_auth_pb2_grpc.AuthorizationServicer):
        def Check(self, request, context):
            asked = request.attributes
            http = asked.request.http
            report(http.method, http.path, dict(http.headers), asked.source.principal)
            if http.path.startswith("/break"):
                context.abort(grpc.StatusCode.INTERNAL, "broken")
            if http.path.startswith("/deny"):
                return external_auth_pb2.CheckResponse(
                    status=status_pb2.Status(code=code_pb2.PERMISSION_DENIED),
                    denied_response=external_auth_pb2.DeniedHttpResponse(
                        status=http_status_pb2.HttpStatus(code=402), headers=[option("x-denied-by", KIND)],
                        body="refused by grpc\n"))
            return external_auth_pb2.CheckResponse(
                status=status_pb2.Status(code=code_pb2.OK),
                ok_response=external_auth_pb2.OkHttpResponse(
                    headers=[option("x-checked", f"{KIND} {asked.source.principal}")]))

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Authorization(), server)
    if not server.add_insecure_port(f"{ADDRESS}:{PORT}"):
        raise SystemExit("the port is taken")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if KIND == "grpc":
    serve_grpc()
else:
    server = Server((ADDRESS, PORT), Handler)
    print("ready", flush=True)
    server.serve_forever()
