"""Speaks to a Workload API with the `spiffe` package and grpc, and prints what came of it: a line of JSON for each thing.

client.py SOCKET fetch            the X.509 context
client.py SOCKET bundles          the bundles
client.py SOCKET watch            the context now and at each change, until standard input ends
client.py SOCKET call METHOD [METADATA [BYTES]]   the status of one call; METADATA: name=value, or - for none
client.py SOCKET stream           the SPIFFE id of every message of one call, and its status at the end
client.py SOCKET orphan           a call of a child whose parent, which has connected, has ended
client.py SOCKET moved CGROUP     a call before and after the process moves to another cgroup
"""

import hashlib
import json
import os
import socket
import sys
import time

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402
from spiffe import WorkloadApiClient  # noqa: E402
from spiffe._proto import workload_pb2  # noqa: E402


def tell(**facts):
    print(json.dumps(facts), flush=True)


def digest(certificate):
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def bundles_of(bundle_set):
    return {
        str(bundle.trust_domain): sorted(digest(root) for root in bundle.x509_authorities)
        for bundle in bundle_set.bundles
    }


def tell_context(context):
    svid = context.default_svid
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    tell(
        id=str(svid.spiffe_id), chain=[digest(certificate) for certificate in svid.cert_chain],
        key=svid.private_key.public_key().public_bytes(*spki) == svid.leaf.public_key().public_bytes(*spki),
        bundles=bundles_of(context.x509_bundle_set),
    )


def channel(path):
    return grpc.insecure_channel(f"unix:{path}", options=[("grpc.enable_retries", 0)])


def call(open_channel, method, metadata=(("workload.spiffe.io", "true"),), payload=b""):
    """The first message of a call of which nothing is known but its name, or how it ended."""
    stub = open_channel.unary_stream(f"/SpiffeWorkloadAPI/{method}")
    try:
        message = next(iter(stub(payload, metadata=metadata, timeout=10)))
        tell(status="OK", length=len(message))
    except grpc.RpcError as error:
        tell(status=error.code().name, message=error.details())


def stream(path):
    stub = channel(path).unary_stream("/SpiffeWorkloadAPI/FetchX509SVID")
    try:
        for message in stub(b"", metadata=(("workload.spiffe.io", "true"),), timeout=20):
            tell(id=workload_pb2.X509SVIDResponse.FromString(message).svids[0].spiffe_id)
    except grpc.RpcError as error:
        tell(status=error.code().name, message=error.details())


def orphan(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    # The server has accepted it, and knows who connected.
    data = peer.recv(65536)
    parent = os.getpid()
    if os.fork() != 0:
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.01)
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    connection.send_headers(1, [
        (":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID"), (":authority", "a"),
        ("content-type", "application/grpc"), ("te", "trailers"), ("workload.spiffe.io", "true"),
    ])
    connection.send_data(1, bytes(5), end_stream=True)
    peer.sendall(connection.data_to_send())
    while data:
        for event in connection.receive_data(data):
            fields = dict(getattr(event, "headers", None) or [])
            if b"grpc-status" in fields:
                return tell(status=fields[b"grpc-status"].decode())
            if isinstance(event, h2.events.DataReceived):
                return tell(status="0")
        data = peer.recv(65536)


def main():
    path, mode = sys.argv[1:3]
    if mode in ("fetch", "bundles", "watch"):
        client = WorkloadApiClient(f"unix://{path}", default_timeout=10)
    try:
        if mode == "fetch":
            tell_context(client.fetch_x509_context())
        elif mode == "bundles":
            tell(bundles=bundles_of(client.fetch_x509_bundles()))
        elif mode == "watch":
            client.stream_x509_contexts(tell_context, lambda error: tell(error=str(error)))
            sys.stdin.read()
            # The client tries again for ever.
            os._exit(0)
        elif mode == "call":
            arguments = sys.argv[4:]
            metadata = [("workload.spiffe.io", "true")]
            if arguments:
                metadata = [] if arguments[0] == "-" else [tuple(arguments[0].split("=", 1))]
            call(channel(path), sys.argv[3], metadata, bytes.fromhex(arguments[1]) if len(arguments) > 1 else b"")
        elif mode == "stream":
            stream(path)
        elif mode == "orphan":
            orphan(path)
        elif mode == "moved":
            with channel(path) as open_channel:
                call(open_channel, "FetchX509SVID")
                with open(f"{sys.argv[3]}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(os.getpid()))
                call(open_channel, "FetchX509SVID")
    except Exception as error:  # whatever it is, the test wants to see it
        tell(error=str(error))


main()
