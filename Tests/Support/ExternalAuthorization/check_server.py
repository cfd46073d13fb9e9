"""An authorizer that speaks envoy.service.auth.v3 by grpcio and Envoy's own messages. Prints its port.

What it answers is in the path: /allow, /deny, /slow, /abort, /empty.
"""

import json
import sys
import time
from concurrent import futures

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.type.v3 import http_status_pb2
from google.protobuf import wrappers_pb2
from google.rpc import status_pb2


def option(name, value, append=False):
    header = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=name, value=value))
    if append:
        header.append.CopyFrom(wrappers_pb2.BoolValue(value=True))
    return header


class Authorizer(external_auth_pb2_grpc.AuthorizationServicer):
    def Check(self, request, context):
        attributes = request.attributes
        http = attributes.request.http
        path = http.path.partition("?")[0]
        if path == "/slow":
            time.sleep(2)
        if path == "/abort":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if path == "/empty":
            return external_auth_pb2.CheckResponse()
        if path == "/deny":
            return external_auth_pb2.CheckResponse(
                status=status_pb2.Status(code=7),
                denied_response=external_auth_pb2.DeniedHttpResponse(
                    status=http_status_pb2.HttpStatus(code=401),
                    headers=[option("www-authenticate", "Custom"), option("content-length", "999"), option("x-why", "a\r\nb")],
                    body="who are you?",
                ),
            )
        seen = {
            "method": http.method, "path": http.path, "host": http.host, "scheme": http.scheme,
            "protocol": http.protocol, "headers": dict(http.headers),
            "source": attributes.source.address.socket_address.address,
            "source_port": attributes.source.address.socket_address.port_value > 0,
            "trace": dict(context.invocation_metadata()).get("traceparent"),
            "destination": attributes.destination.address.socket_address.address,
        }
        return external_auth_pb2.CheckResponse(
            status=status_pb2.Status(code=0),
            ok_response=external_auth_pb2.OkHttpResponse(
                headers=[option("x-user", "alice"), option("x-list", "2", append=True), option("x-seen", json.dumps(seen))],
                headers_to_remove=["x-secret"],
                response_headers_to_add=[option("x-checked", "yes")],
            ),
        )


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Authorizer(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
