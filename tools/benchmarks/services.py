"""The service tables that the lanes are measured with, as Weft reads them and as kube-proxy would write them."""

import ipaddress
import os

SERVICE_BASE = int(ipaddress.IPv4Address("127.96.0.0"))
ENDPOINT_BASE = int(ipaddress.IPv4Address("127.128.0.0"))

#: Ports of every endpoint: the server that accepts and closes, and nginx.
CONNECT_PORT = 8080
HTTP_PORT = 8081


class Service:
    """Service number `index`, with `endpoints` addresses of its own. Every address of 127/8 is local."""

    def __init__(self, index, endpoints, with_http=False):
        self.index = index
        self.name = f"service-{index:05d}"
        self.namespace = f"team-{index // 100:03d}"
        self.address = str(ipaddress.IPv4Address(SERVICE_BASE + 1 + index))
        first = ENDPOINT_BASE + 1 + index * 16
        self.endpoints = [str(ipaddress.IPv4Address(first + n)) for n in range(endpoints)]
        #: (name, port of the service, port of the endpoints)
        self.ports = [("connect", 80, CONNECT_PORT)] + [("http", 81, HTTP_PORT)] * with_http

    def manifest(self, connect_port=CONNECT_PORT):
        """The Service and its EndpointSlice, as `kubectl get -o yaml` would print what matters of them."""
        ports = "".join(
            f"  - {{ name: {name}, protocol: TCP, port: {port}, targetPort: {target} }}\n"
            for name, port, target in self.ports
        )
        slice_ports = "".join(
            f"- {{ name: {name}, protocol: TCP, port: {connect_port if name == 'connect' else target} }}\n"
            for name, _, target in self.ports
        )
        endpoints = "".join(f"- addresses: [{address}]\n  conditions: {{ ready: true }}\n" for address in self.endpoints)
        return (
            "apiVersion: v1\nkind: Service\n"
            f"metadata: {{ name: {self.name}, namespace: {self.namespace} }}\n"
            f"spec:\n  clusterIP: {self.address}\n  ports:\n{ports}"
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
            f"metadata:\n  name: {self.name}-1\n  namespace: {self.namespace}\n"
            f"  labels: {{ kubernetes.io/service-name: {self.name} }}\n"
            f"addressType: IPv4\nports:\n{slice_ports}endpoints:\n{endpoints}"
        )


def services(count, endpoints):
    """`count` services; the last one, which is the one that is measured, serves HTTP too."""
    return [Service(index, endpoints, with_http=index == count - 1) for index in range(count)]


def write(directory, text, name):
    """Puts a file in place atomically, as a configuration tool should."""
    path = os.path.join(directory, name)
    with open(path + ".tmp~", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".tmp~", path)


def kube_proxy_rules(table):
    """The nat table for `iptables-restore`, chain by chain as kube-proxy's iptables mode writes it.

    Source: kubernetes/pkg/proxy/iptables/proxier.go. The pods' CIDR is 127.0.0.0/8 here, so that, as for a pod's own
    connection, nothing is masqueraded.
    """
    chains = ["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"]
    rules = [
        '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
        '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
    ]
    services_rules = []
    for service in table:
        for number, (name, port, target) in enumerate(service.ports):
            comment = f"{service.namespace}/{service.name}:{name}"
            identity = f"{service.index:05d}{number}"
            chain = f"KUBE-SVC-{identity:A>16}"
            chains.append(chain)
            services_rules.append(
                f'-A KUBE-SERVICES -d {service.address}/32 -p tcp -m comment --comment "{comment} cluster IP" '
                f"-m tcp --dport {port} -j {chain}"
            )
            rules.append(
                f'-A {chain} ! -s 127.0.0.0/8 -d {service.address}/32 -p tcp -m comment --comment '
                f'"{comment} cluster IP" -m tcp --dport {port} -j KUBE-MARK-MASQ'
            )
            for n, endpoint in enumerate(service.endpoints):
                separate = f"KUBE-SEP-{identity + format(n, 'X'):A>16}"
                chains.append(separate)
                left = len(service.endpoints) - n
                chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
                rules.append(f'-A {chain} -m comment --comment "{comment} -> {endpoint}:{target}" {chance}-j {separate}')
                rules.append(f'-A {separate} -s {endpoint}/32 -m comment --comment "{comment}" -j KUBE-MARK-MASQ')
                rules.append(
                    f'-A {separate} -p tcp -m comment --comment "{comment}" -m tcp -j DNAT '
                    f"--to-destination {endpoint}:{target}"
                )
    lines = ["*nat"] + [f":{chain} - [0:0]" for chain in chains] + rules + services_rules + ["COMMIT", ""]
    return "\n".join(lines)
