"""Envoy, nginx and HAProxy, each in front of one backend, as strict as their users run them."""

import os
import socket
import subprocess
import time


class CannotCompare(Exception):
    """The machine lacks what the comparison needs."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def nginx(directory, port, target):
    temporary = "".join(
        f"  {kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = write(os.path.join(directory, "nginx.conf"), (
        "user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_timeout 5s; client_header_timeout 5s; client_body_timeout 5s;\n"
        f"  large_client_header_buffers 8 64k;\n{temporary}"
        f"  upstream backend {{ server 127.0.0.1:{target}; keepalive 64; }}\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://backend;\n"
        '    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; } } }\n'
    ))
    return ["nginx", "-p", directory, "-e", "stderr", "-c", path]


def haproxy(directory, port, target):
    path = write(os.path.join(directory, "haproxy.cfg"), (
        "global\n  nbthread 1\n  maxconn 4000\n  tune.bufsize 65536\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n  http-reuse safe\n"
        f"frontend front\n  bind 127.0.0.1:{port} backlog 4096\n  default_backend servers\n"
        f"backend servers\n  server one 127.0.0.1:{target}\n"
    ))
    return ["haproxy", "-db", "-f", path]


def envoy(binary, directory, port, target):
    """Istio's defaults: paths normalised and their slashes merged, HTTP/1.0 taken."""
    kind = "type.googleapis.com/envoy.extensions.filters"
    path = write(os.path.join(directory, "envoy.yaml"), (
        "static_resources:\n  listeners:\n"
        f"  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}\n"
        "    filter_chains:\n    - filters:\n"
        "      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n"
        f'          "@type": {kind}.network.http_connection_manager.v3.HttpConnectionManager\n'
        "          stat_prefix: differential\n          codec_type: HTTP1\n          normalize_path: true\n"
        "          merge_slashes: true\n"
        "          upgrade_configs: [{ upgrade_type: websocket }]\n"
        "          http_protocol_options: { accept_http_10: true, default_host_for_http_10: none.example }\n"
        "          route_config:\n            virtual_hosts:\n"
        '            - { name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: backend } }] }\n'
        "          http_filters:\n          - name: envoy.filters.http.router\n            typed_config:\n"
        f'              "@type": {kind}.http.router.v3.Router\n'
        "  clusters:\n  - name: backend\n    type: STATIC\n    connect_timeout: 5s\n"
        "    load_assignment:\n      cluster_name: backend\n      endpoints:\n      - lb_endpoints:\n"
        f"        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {target} }} }} }}\n"
    ))
    return [binary, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]


class Peer:
    """A running proxy."""

    def __init__(self, name, directory, command, port):
        self.name = name
        self.port = port
        self.log = os.path.join(directory, "log")
        with open(self.log, "wb") as log:
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            except OSError as error:
                raise CannotCompare(f"{name} did not start: {error}") from error

    def wait(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise CannotCompare(f"{self.name} did not start: {log.read()[-2000:]}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(directory, envoy_binary, targets):
    """Starts the three in front of `targets`, by name."""
    peers = []
    try:
        for name, target in targets.items():
            place = os.path.join(directory, name)
            os.makedirs(place)
            port = free_port()
            if name == "envoy":
                command = envoy(envoy_binary, place, port, target)
            else:
                command = {"nginx": nginx, "haproxy": haproxy}[name](place, port, target)
            peers.append(Peer(name, place, command, port))
        for peer in peers:
            peer.wait()
    except CannotCompare:
        for peer in peers:
            peer.stop()
        raise
    return peers
