"""The proxies that Weft is compared with, each in front of one backend with ten rules, on one thread."""

import os
import subprocess

from places import CannotMeasure

#: Requests go to what the tenth rule matches; the nine before it have to be looked at or looked up.
RULES = 10


def prefix(rule):
    return f"/api/{rule}/" if rule < RULES - 1 else "/"


def install_envoy(root):
    """The path of Envoy's binary."""
    script = 'root=$0; source "$0/tools/lib/common.sh"; source "$0/tools/lib/dependencies.sh"; install_envoy'
    done = subprocess.run(["bash", "-euc", script, root], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure("Envoy could not be installed")
    return done.stdout.strip().splitlines()[-1]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def backend(directory, port, address="127.0.0.1"):
    """nginx that answers with 64 bytes, 4 KiB and a sparse file of 1 GB: its configuration's path."""
    os.makedirs(directory)
    with open(os.path.join(directory, "1g"), "wb") as file:
        file.truncate(1 << 30)
    return write(os.path.join(directory, "nginx.conf"), (
        "user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;\n"
        "events { worker_connections 8192; }\n"
        "http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; sendfile on;\n"
        + temporary(directory) +
        f"  server {{ listen {address}:{port} backlog=4096; root {directory};\n"
        f"    location = /64 {{ return 200 \"{'x' * 64}\"; }}\n"
        f"    set $part {'x' * 1024}; location = /4k {{ return 200 $part$part$part$part; }} }} }}\n"
    ))


def answering(directory, port, address="127.0.0.1"):
    """HAProxy as a server that answers with 64 bytes by itself: its command line. It asks no FIONREAD and splices nothing."""
    os.makedirs(directory)
    path = write(os.path.join(directory, "haproxy.cfg"), (
        "global\n  nbthread 1\n  maxconn 9000\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 3600s\n  timeout server 3600s\n"
        "  timeout http-keep-alive 3600s\n"
        f"frontend front\n  bind {address}:{port} backlog 4096\n"
        f"  http-request return status 200 content-type text/plain string \"{'x' * 64}\"\n"
    ))
    return ["haproxy", "-db", "-f", path]


def temporary(directory):
    return "".join(
        f"  {kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )


def nginx(directory, port, target):
    os.makedirs(directory)
    pass_on = 'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
    locations = "".join(f"    location {prefix(rule)} {{ {pass_on} }}\n" for rule in range(RULES))
    path = write(os.path.join(directory, "nginx.conf"), (
        "user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;\n"
        "events { worker_connections 16384; }\n"
        "http { access_log off; proxy_max_temp_file_size 0; keepalive_requests 1000000000; keepalive_timeout 3600s;\n"
        + temporary(directory) +
        f"  upstream backend {{ server 127.0.0.1:{target}; keepalive 256; keepalive_requests 1000000000;"
        " keepalive_timeout 3600s; }\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=4096;\n{locations}  }} }}\n"
    ))
    return ["nginx", "-p", directory, "-e", "stderr", "-c", path]


def haproxy(directory, port, target):
    os.makedirs(directory)
    rules = "".join(f"  use_backend servers if {{ path_beg {prefix(rule)} }}\n" for rule in range(RULES - 1))
    path = write(os.path.join(directory, "haproxy.cfg"), (
        "global\n  nbthread 1\n  maxconn 9000\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 3600s\n  timeout server 3600s\n"
        "  timeout http-keep-alive 3600s\n  http-reuse always\n"
        f"frontend front\n  bind 127.0.0.1:{port} backlog 4096\n{rules}  default_backend servers\n"
        f"backend servers\n  server one 127.0.0.1:{target} pool-max-conn -1\n"
    ))
    return ["haproxy", "-db", "-f", path]


def envoy(binary, directory, port, target):
    os.makedirs(directory)
    routes = "".join(
        f'                - {{ match: {{ prefix: "{prefix(rule)}" }}, route: {{ cluster: backend }} }}\n'
        for rule in range(RULES)
    )
    path = write(os.path.join(directory, "envoy.yaml"), (
        "static_resources:\n  listeners:\n"
        f"  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}\n"
        "    filter_chains:\n    - filters:\n"
        "      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n"
        '          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.'
        "HttpConnectionManager\n"
        "          stat_prefix: bench\n          codec_type: HTTP1\n          route_config:\n            virtual_hosts:\n"
        '            - name: all\n              domains: ["*"]\n              routes:\n'
        f"{routes}"
        "          http_filters:\n          - name: envoy.filters.http.router\n            typed_config:\n"
        '              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n'
        "  clusters:\n  - name: backend\n    type: STATIC\n    connect_timeout: 5s\n"
        "    circuit_breakers: { thresholds: [{ max_connections: 100000, max_pending_requests: 100000, "
        "max_requests: 100000 }] }\n"
        "    load_assignment:\n      cluster_name: backend\n      endpoints:\n      - lb_endpoints:\n"
        "        - endpoint: { address: { socket_address: "
        f"{{ address: 127.0.0.1, port_value: {target} }} }} }}\n"
    ))
    return [binary, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]


def route_manifest(service, rules=RULES, per_object=10, marker="a"):
    """HTTPRoutes of `rules` prefixes each, all to the service itself; the last rule matches everything.

    With more rules than ten, the first redirects to a host that `marker` names, so that a change can be seen.
    """
    documents = []
    for first in range(0, rules, per_object):
        text = (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
            f"metadata: {{ name: {service}-{first}, namespace: bench }}\n"
            f"spec:\n  parentRefs: [{{ group: \"\", kind: Service, name: {service}, port: 80 }}]\n  rules:\n"
        )
        for rule in range(first, min(first + per_object, rules)):
            path = f"/api/{rule}" if rule < rules - 1 else "/"
            text += f"  - matches: [{{ path: {{ type: PathPrefix, value: {path} }} }}]\n"
            if rule == 0 and rules > RULES:
                text += f"    filters: [{{ type: RequestRedirect, requestRedirect: {{ hostname: {marker}.example }} }}]\n"
            else:
                text += f"    backendRefs: [{{ name: {service}, port: 80 }}]\n"
        documents.append(text)
    return "---\n".join(documents)
