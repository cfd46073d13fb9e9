"""The shortcut lane: requests that the kernel decides about, beside no mesh, the agent's own proxy, nginx, HAProxy and Envoy.

Client and backend share one core, every proxy (and Weft's agent) has the other one to itself and one thread; all have the
same ten rules and the same backend, Weft an AuthorizationPolicy about paths and methods besides. In each round every one
has its turn, in an order that changes. Figures are medians over the rounds of the ratios within a round.
"""

import contextlib
import os
import random
import re
import time

import peers
import report
from places import CannotMeasure, cpu_seconds, program_statistics, program_times
from proxy_lane import Proxy, ProxyLane

#: Its only rule has a timeout of its own, so that its requests are the agent's.
PROXIED = "127.96.200.3"
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: bench, namespace: bench }
spec:
  targetRefs: [{ kind: Service, group: "", name: web }]
  action: ALLOW
  rules:
  - from: [{ source: { principals: [cluster.local/ns/bench/sa/client] } }]
    to: [{ operation: { methods: [GET], paths: ["/64", "/api/*"] } }]
---
"""
CONNECTIONS = """
import http.client, sys
for number in range(int(sys.argv[3])):
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]))
    connection.request("GET", "/64")
    connection.getresponse().read()
    connection.close()
"""


class ShortcutLane(ProxyLane):
    def __init__(self, options, root):
        super().__init__(options, root, accelerated=True)
        self.results, self.handover = {}, []

    def lane_options(self):
        return []

    def write_more(self, config):
        text = POLICY + (
            f"apiVersion: v1\nkind: Service\nmetadata: {{ name: proxied, namespace: bench }}\n"
            f"spec:\n  clusterIP: {PROXIED}\n  ports: [{{ name: http, port: 80, targetPort: {self.backend_port} }}]\n"
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
            "metadata: { name: proxied-1, namespace: bench, labels: { kubernetes.io/service-name: proxied } }\n"
            f"addressType: IPv4\nports: [{{ name: http, port: {self.backend_port} }}]\n"
            "endpoints: [{ addresses: [127.0.0.1] }]\n---\n"
        ) + peers.route_manifest("proxied").replace("    backendRefs", "    timeouts: { request: 60s }\n    backendRefs")
        peers.write(os.path.join(config, "more.yaml"), text)

    def variants(self):
        """Every proxy, and no mesh."""
        for proxy in self.proxies:
            yield ("Weft" if proxy is self.weft else proxy.name), proxy, self.as_client
        yield "Weft's agent", Proxy("Weft's agent", PROXIED, 80, self.weft.pid), self.as_client
        yield "no mesh", Proxy("no mesh", "127.0.0.1", self.plain_port, self.weft.pid), self.as_outsider

    def measure_one(self, proxy, runs):
        before = cpu_seconds(proxy.pid)
        output = runs("wrk", "-t1", "-c32", f"-d{self.seconds}s", "--latency", proxy.url("/64"))
        used = cpu_seconds(proxy.pid) - before
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk through {proxy.name} met errors: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
        return {
            "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)), "cpu_us": used * 1e6 / count,
            "p99_us": float(latency.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[latency.group(2)], "count": count,
        }

    def measure_handover(self, proxy):
        """The agent's CPU in µs for a connection with one request."""
        count = 300 if self.options.quick else 2000
        before = cpu_seconds(self.weft.pid)
        self.as_client("python3", "-c", CONNECTIONS, proxy.address, str(proxy.port), str(count))
        return (cpu_seconds(self.weft.pid) - before) * 1e6 / count

    def measure_decision(self, variants):
        """Nanoseconds that the program takes for a request and its response beyond those of as many sends of the agent's."""
        times = {}
        with program_statistics():
            for name in ("Weft", "Weft's agent"):
                first = program_times("redirect")
                count = self.measure_one(*variants[name])["count"]
                last = program_times("redirect")
                times[name] = (last[0] - first[0], last[1] - first[1], count)
        agent = times["Weft's agent"]
        shortcut = times["Weft"]
        if not agent[1] or not shortcut[1]:
            return None
        return (shortcut[0] - agent[0] / agent[1] * shortcut[1]) / shortcut[2]

    def measure(self):
        order = random.Random(1)
        with contextlib.ExitStack() as stack:
            self.progress("setting up")
            self.set_up(stack)
            self.await_answer(PROXIED, 80)
            # What the agent does once at its start is over by then, threads and their times included.
            time.sleep(5)
            variants = {name: (proxy, runs) for name, proxy, runs in self.variants()}
            for number in range(self.options.rounds):
                self.progress(f"round {number + 1} of {self.options.rounds}")
                turns = list(variants)
                order.shuffle(turns)
                for name in turns:
                    self.results.setdefault(name, []).append(self.measure_one(*variants[name]))
                self.handover.append(
                    self.measure_handover(variants["Weft"][0]) - self.measure_handover(variants["Weft's agent"][0]))
            taken = self.agent_metric("weft_proxy_shortcut_requests_total")
            self.decision = self.measure_decision(variants)
        asked = sum(result["count"] for result in self.results["Weft"])
        if taken < 0.9 * asked:
            raise CannotMeasure(f"the kernel took {taken:.0f} of {asked} requests: see `weft explain request` for why")
        self.raw = {"rounds": self.results, "handover_us": self.handover, "decision_ns": self.decision}
        return self.figures()

    # Telling.

    def compare(self, key, other):
        return report.median([mine[key] / theirs[key] for mine, theirs in
                              zip(self.results["Weft"], self.results[other])])

    def figures(self):
        figures = [
            report.figure("requests/s, ratio to no mesh", self.compare("per_second", "no mesh"), "", 1.4, ">="),
            report.figure("p99, ratio to no mesh", self.compare("p99_us", "no mesh"), "", 1, "<="),
            report.figure("agent's CPU per request", report.median([one["cpu_us"] for one in self.results["Weft"]]), "µs",
                          0.05, "<="),
            report.figure("hand-over, agent's CPU per connection", report.median(self.handover), "µs", 30, "<="),
        ]
        if self.decision is not None:
            figures.append(report.figure("decision, per request", self.decision / 1000, "µs", 0.8, "<="))
        return figures

    def print_comparison(self):
        rows = []
        for name, results in sorted(self.results.items(), key=lambda item: -report.median(
                [one["per_second"] for one in item[1]])):
            rows.append([name] + [report.median([one[key] for one in results]) for key in
                                  ("per_second", "p99_us", "cpu_us")])
        print("\nwrk with 32 connections, 64 B, client and backend on one core (p99 in µs; CPU of the proxy per request):")
        print(report.table(["", "requests/s", "p99", "CPU"], rows))
        print()


def add_arguments(_):
    pass


def measure(options, root):
    lane = ShortcutLane(options, root)
    figures = lane.measure()
    lane.print_comparison()
    return figures, lane.raw
