"""The two pairs of agents that carry connections from one network namespace to the other over mutual TLS."""

import os
import re
import subprocess
import time

from places import Agent, CannotMeasure, cgroup_mount, inside, process, run
from peers import write

CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
HTTP_PORT, ECHO_PORT = 8080, 8081
TRUST_DOMAIN = "cluster.local"


def make_authority(directory):
    """A root with a key on P-256, as both pairs have: ca.pem and ca.key."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/O=bench", "-addext", f"subjectAltName=URI:spiffe://{TRUST_DOMAIN}", "-keyout",
        f"{directory}/ca.key", "-out", f"{directory}/ca.pem")


def make_certificate(directory, account):
    """An X.509-SVID of P-256 from that root: ACCOUNT.pem and ACCOUNT.key."""
    base = os.path.join(directory, account)
    write(f"{base}.ext", (
        f"subjectAltName=critical,URI:spiffe://{TRUST_DOMAIN}/ns/bench/sa/{account}\nbasicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"))
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
        f"/CN={account}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
    run("openssl", "x509", "-req", "-in", f"{base}.csr", "-CA", f"{directory}/ca.pem", "-CAkey", f"{directory}/ca.key",
        "-days", "2", "-extfile", f"{base}.ext", "-out", f"{base}.pem")


class Pair:
    """Two agents, and where a client connects to reach the server's port through them."""

    def __init__(self, name):
        self.name, self.pids = name, []
        self.requests, self.round_trips, self.bulk, self.connections = [], [], [], []


class Envoys(Pair):
    """tcp_proxy with tunneling_config on the client's side, a listener that terminates CONNECT on the server's."""

    TUNNEL_PORT = 16008
    ADMIN_PORT = 16000

    def __init__(self, binary, directory, core, group):
        super().__init__("Envoy")
        self.binary, self.directory, self.core, self.group = binary, directory, core, group
        self.ports = {HTTP_PORT: 18080, ECHO_PORT: 18081}

    def address(self, port):
        return "127.0.0.1", self.ports[port]

    def start(self, stack, client_network, server_network):
        os.makedirs(self.directory)
        make_authority(self.directory)
        for name, network, config in (
            ("server", server_network, self.terminator()), ("client", client_network, self.initiator()),
        ):
            make_certificate(self.directory, name)
            path = write(os.path.join(self.directory, f"{name}.yaml"), config)
            command = [self.binary, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
            log = os.path.join(self.directory, f"{name}.log")
            child = stack.enter_context(process(inside(command, self.group, network, self.core), log))
            self.pids.append(child.pid)

    def check(self, client_network):
        """Whether the two have agreed on what a comparison is fair with."""
        command = ("nsenter", f"--net={client_network}", "curl", "-sf", f"http://127.0.0.1:{self.ADMIN_PORT}/stats")
        found = set(re.findall(r"cluster\.tunnel\.ssl\.(?:ciphers|versions)\.(\S+): [1-9]", run(*command)))
        if found != {"TLSv1.3", "TLS_AES_128_GCM_SHA256"}:
            raise CannotMeasure(f"the Envoys speak {', '.join(sorted(found)) or 'no TLS'}, not AES-128-GCM of TLS 1.3")

    def tls(self, name, peer):
        """TLS 1.3 alone. Its suite is AES-128-GCM where the processor has instructions for AES (see `check`)."""
        base = os.path.join(self.directory, name)
        return (
            "          common_tls_context:\n"
            "            tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }\n"
            "            alpn_protocols: [h2]\n"
            f"            tls_certificates: [{{ certificate_chain: {{ filename: {base}.pem }}, "
            f"private_key: {{ filename: {base}.key }} }}]\n"
            "            validation_context:\n"
            f"              trusted_ca: {{ filename: {self.directory}/ca.pem }}\n"
            "              match_typed_subject_alt_names:\n"
            f"              - {{ san_type: URI, matcher: {{ exact: spiffe://{TRUST_DOMAIN}/ns/bench/sa/{peer} }} }}\n"
        )

    def terminator(self):
        routes = "".join(
            "                - match: { connect_matcher: {}, headers: [{ name: ':authority', string_match: "
            f"{{ exact: '{SERVER}:{port}' }} }}] }}\n"
            f"                  route: {{ cluster: app-{port}, timeout: 0s, "
            "upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] }\n"
            for port in self.ports
        )
        return (
            "static_resources:\n  listeners:\n"
            f"  - address: {{ socket_address: {{ address: {SERVER}, port_value: {self.TUNNEL_PORT} }} }}\n"
            "    filter_chains:\n"
            "    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n"
            '          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n'
            "          require_client_certificate: true\n" + self.tls("server", "client") +
            "      filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n"
            '          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.'
            "HttpConnectionManager\n"
            "          stat_prefix: tunnel\n          codec_type: HTTP2\n"
            "          http2_protocol_options: { allow_connect: true }\n"
            "          upgrade_configs: [{ upgrade_type: CONNECT }]\n"
            "          route_config:\n            virtual_hosts:\n"
            '            - name: all\n              domains: ["*"]\n              routes:\n' + routes +
            "          http_filters:\n          - name: envoy.filters.http.router\n            typed_config:\n"
            '              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n'
            "  clusters:\n" + "".join(self.cluster(f"app-{port}", SERVER, port) for port in self.ports)
        )

    def initiator(self):
        listeners = "".join(
            f"  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {own} }} }}\n"
            "    filter_chains:\n    - filters:\n      - name: envoy.filters.network.tcp_proxy\n        typed_config:\n"
            '          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n'
            f"          stat_prefix: tunnel\n          cluster: tunnel\n"
            f"          tunneling_config: {{ hostname: '{SERVER}:{port}' }}\n"
            for port, own in self.ports.items()
        )
        return (
            f"admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {self.ADMIN_PORT} }} }} }}\n"
            "static_resources:\n  listeners:\n" + listeners +
            "  clusters:\n" + self.cluster("tunnel", SERVER, self.TUNNEL_PORT) +
            "    typed_extension_protocol_options:\n"
            "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
            '        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n'
            "        explicit_http_config: { http2_protocol_options: {} }\n"
            "    transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config:\n"
            '          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n'
            + self.tls("client", "server")
        )

    @staticmethod
    def cluster(name, address, port):
        return (
            f"  - name: {name}\n    type: STATIC\n    connect_timeout: 5s\n"
            "    circuit_breakers: { thresholds: [{ max_connections: 100000, max_pending_requests: 100000, "
            "max_requests: 100000 }] }\n"
            f"    load_assignment:\n      cluster_name: {name}\n      endpoints:\n      - lb_endpoints:\n"
            f"        - endpoint: {{ address: {{ socket_address: {{ address: {address}, port_value: {port} }} }} }}\n"
        )


class NamespaceAgent(Agent):
    """An agent in a network namespace: it says over a Unix socket whether it is ready."""

    def __init__(self, network, socket, *arguments):
        super().__init__(*arguments)
        self.socket = socket
        place = self.command.index("--ready-listen") + 1
        self.command[place] = f"unix:{socket}"
        self.command = ["nsenter", f"--net={network}"] + self.command

    def is_ready(self):
        done = subprocess.run(
            ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--unix-socket", self.socket,
             "http://weftd/healthz/ready"], stdout=subprocess.PIPE, text=True, check=False)
        return done.stdout == "200"


class Wefts(Pair):
    """An agent of Weft in each namespace; the client's connections to the workload's address are captured."""

    def __init__(self, binary, directory, core, pins, client_group, server_group):
        super().__init__("Weft")
        self.binary, self.directory, self.core, self.pins = binary, directory, core, pins
        self.groups = {"client": client_group, "server": server_group}

    def address(self, port):
        return SERVER, port

    def start(self, stack, client_network, server_network):
        os.makedirs(self.directory)
        make_authority(self.directory)
        for node, network in (("server", server_network), ("client", client_network)):
            self.pids.append(stack.enter_context(self.agent(node, network).running([self.core])).pid)

    def check(self, client_network):
        """Whether what the clients sent went through a tunnel, and not past the agents."""
        filters = ("state", "established", "dst", f"{SERVER}:15008")
        if not run("nsenter", f"--net={client_network}", "ss", "-Htn", *filters).strip():
            raise CannotMeasure("the clients' connections through Weft were not tunnelled")

    def agent(self, node, network, identities=0):
        """The agent of one node; `identities` more workloads have service accounts of their own."""
        name = f"{node}-{identities}"
        config = os.path.join(self.directory, f"{name}.mesh")
        os.makedirs(config)
        text = []
        for account, address in (("client", CLIENT), ("server", SERVER)):
            below = "/" + os.path.relpath(self.groups[account], cgroup_mount())
            match = f"  match: {{ cgroup: {below} }}\n"
            text.append(
                f"apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {account}, namespace: bench }}\n"
                f"spec:\n  serviceAccount: {account}\n  node: {account}\n  addresses: [{address}]\n{match}")
        for number in range(identities):
            text.append(
                f"apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: w{number}, namespace: bench }}\n"
                f"spec:\n  serviceAccount: a{number}\n  node: {node}\n  match: {{ cgroup: /weft-bench-none/w{number} }}\n")
        write(os.path.join(config, "mesh.yaml"), "---\n".join(text))
        agent = NamespaceAgent(
            network, os.path.join(self.directory, f"{name}.ready"), self.binary, name, self.directory, config,
            os.path.dirname(self.groups[node]), self.pins,
            ["--workers", "1", "--node-address", CLIENT if node == "client" else SERVER, "--tunnel-listen",
             "0.0.0.0:15008", "--ca-cert", f"{self.directory}/ca.pem", "--ca-key", f"{self.directory}/ca.key"])
        place = agent.command.index("--node") + 1
        agent.command[place] = node
        return agent


def await_round_trip(command, what, seconds=30):
    """Until `command` succeeds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return run(*command)
        except CannotMeasure as error:
            if time.monotonic() > deadline:
                raise CannotMeasure(f"nothing answers through {what}: {error}") from error
            time.sleep(0.2)

