#!/usr/bin/env python3
"""Prints Envoy's configuration for one end of HBONE: `envoy.py server|client DIRECTORY PORT PEER_PORT`.

As server it takes tunnels at 127.96.0.10:PORT and leads them to 127.96.0.10:PEER_PORT. As client it takes connections
at 127.0.0.1:PORT and tunnels them to 127.96.0.10:PEER_PORT for the authority in the environment's AUTHORITY.
"""
import json
import os
import sys

role, directory, port, peer_port = sys.argv[1:]
V3 = "type.googleapis.com/envoy.extensions."


def place(address, number):
    return {"socket_address": {"address": address, "port_value": int(number)}}


def endpoints(name, address, number):
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place(address, number)}}]}]}


def tls(kind, account, peer):
    context = {
        "@type": f"{V3}transport_sockets.tls.v3.{kind}",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": f"{directory}/cert.pem"},
                                  "private_key": {"filename": f"{directory}/cert.pem"}}],
            "validation_context": {
                "trusted_ca": {"filename": f"{directory}/root.pem"},
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": f"spiffe://cluster.local/ns/shop/sa/{peer}"}}]}}}
    if kind == "DownstreamTlsContext":
        context["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def server():
    manager = {
        "@type": f"{V3}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hbone", "codec_type": "HTTP2", "stream_idle_timeout": "0s",
        "http2_protocol_options": {"allow_connect": True}, "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
            "match": {"connect_matcher": {}},
            "route": {"cluster": "app", "timeout": "0s",
                      "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router",
                          "typed_config": {"@type": f"{V3}filters.http.router.v3.Router"}}]}
    listener = {"name": "hbone", "address": place("127.96.0.10", port), "filter_chains": [{
        "transport_socket": tls("DownstreamTlsContext", "api", "web"),
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}
    cluster = {"name": "app", "type": "STATIC", "load_assignment": endpoints("app", "127.96.0.10", peer_port)}
    return {"listeners": [listener], "clusters": [cluster]}


def client():
    proxy = {"@type": f"{V3}filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "in", "cluster": "hbone",
             "tunneling_config": {"hostname": os.environ["AUTHORITY"]}}
    options = {"@type": f"{V3}upstreams.http.v3.HttpProtocolOptions",
               "explicit_http_config": {"http2_protocol_options": {}}}
    listener = {"name": "in", "address": place("127.0.0.1", port), "filter_chains": [{
        "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}]}
    cluster = {"name": "hbone", "type": "STATIC",
               "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
               "transport_socket": tls("UpstreamTlsContext", "web", "api"),
               "load_assignment": endpoints("hbone", "127.96.0.10", peer_port)}
    return {"listeners": [listener], "clusters": [cluster]}


print(json.dumps({"static_resources": server() if role == "server" else client()}))
