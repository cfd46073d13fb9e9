"""The kernel lane: what a connection through Weft costs beside no mesh and beside kube-proxy's iptables rules.

Every variant is a network namespace and a pair of cgroups of its own. In each round every variant has its turn, in an
order that changes, on one core that client and server share: what differs between two variants of one round is what
their connections cost. Figures are the medians over the rounds of the differences and ratios within a round.
"""

import contextlib
import json
import os
import random
import re
import subprocess
import tempfile
import time

import report
from places import (
    Agent, CannotMeasure, bpf_filesystem, cgroup, cgroup_mount, cpu_seconds, inside, network, process, resident_mb, run,
)
from services import CONNECT_PORT, HTTP_PORT, Service, kube_proxy_rules, services, write

ENDPOINTS = 10
#: The only endpoint of the service whose change is timed moves between the two.
MOVING_PORTS = (8082, 8083)


class Variant:
    """One way to reach the last service of a table: which address, from which cgroups and namespace."""

    def __init__(self, lane, size, client_group, server_group, network_path, target):
        self.name = f"{lane} {size:,}" if size else lane
        self.lane, self.size, self.network, self.target = lane, size, network_path, target
        self.client_group, self.server_group = client_group, server_group
        self.servers, self.agent = [], None
        self.connects, self.requests = [], []


class KernelLane:
    def __init__(self, options, root):
        self.options, self.root = options, root
        self.sizes = [10, 1000] if options.quick else [10, 1000, 10000]
        self.connections = 1000 if options.quick else 4000
        self.load_seconds = 1 if options.quick else 2
        self.idle_seconds = 5 if options.quick else 30
        self.changes = 5 if options.quick else 15
        self.core = options.core
        self.other_cores = [core for core in sorted(os.sched_getaffinity(0)) if core != self.core]
        self.raw = {}

    # Setting up.

    def compile_client(self, directory):
        binary = os.path.join(directory, "connections")
        source = os.path.join(os.path.dirname(__file__), "connections.c")
        run("clang", "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source)
        return binary

    def iptables(self):
        """The first backend of iptables that can write a nat table here. The legacy one is the faster by far."""
        for name in ("iptables-legacy", "iptables-nft"):
            with contextlib.ExitStack() as stack, contextlib.suppress(CannotMeasure, FileNotFoundError):
                place = stack.enter_context(network(f"weft-probe-{os.getpid()}"))
                run("nsenter", f"--net={place}", name, "-t", "nat", "-L", "-n")
                return name
        return None

    def start_servers(self, stack, variant, directory):
        """The server that accepts and closes, and one nginx with one worker."""
        server = inside([self.client, "serve", "10", str(CONNECT_PORT)], variant.server_group,
                        variant.network, self.core)
        log = os.path.join(directory, "servers.log")
        variant.servers.append(stack.enter_context(process(server, log, ready_line="ready")).pid)

        prefix = os.path.join(directory, re.sub(r"\W+", "-", variant.name))
        os.makedirs(prefix)
        with open(f"{prefix}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(
                "daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;\n"
                "events { worker_connections 1024; }\n"
                f"http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {prefix};\n"
                f"  proxy_temp_path {prefix}; fastcgi_temp_path {prefix}; uwsgi_temp_path {prefix};\n"
                f"  scgi_temp_path {prefix};\n"
                f"  server {{ listen 0.0.0.0:{HTTP_PORT}; location / {{ return 200 \"{'x' * 64}\"; }} }} }}\n"
            )
        nginx = inside(["nginx", "-p", prefix, "-e", "stderr", "-c", f"{prefix}/nginx.conf"], variant.server_group,
                       variant.network, self.core)
        variant.servers.append(stack.enter_context(process(nginx, log)).pid)

    def write_mesh(self, config, table, group):
        """The table as YAML, one file for each service, and both ends as workloads."""
        os.makedirs(config)
        for service in table:
            write(config, service.manifest(), f"{service.namespace}-{service.name}.yaml")
        mount = cgroup_mount()
        below = "/" + os.path.relpath(group, mount)
        write(config, (
            "apiVersion: weft.dev/v1alpha1\nkind: Workload\n"
            "metadata: { name: client, namespace: bench, labels: { app: client } }\n"
            f"spec:\n  serviceAccount: client\n  match: {{ cgroup: {below}/client }}\n"
            "---\napiVersion: weft.dev/v1alpha1\nkind: Workload\n"
            "metadata: { name: server, namespace: bench, labels: { app: server } }\n"
            f"spec:\n  serviceAccount: server\n  match: {{ cgroup: {below}/server }}\n"
            f"  addresses: [{', '.join(table[-1].endpoints)}]\n"
            f"  ports: [{{ name: connect, port: {CONNECT_PORT} }}, {{ name: http, port: {HTTP_PORT} }}]\n"
        ), "workloads.yaml")

    def set_up(self, stack):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        self.client = self.compile_client(directory)
        pins = stack.enter_context(bpf_filesystem(os.path.join(directory, "bpf")))
        name = f"weft-bench-{os.getpid()}"
        parent = stack.enter_context(cgroup(os.path.join(cgroup_mount(), name)))
        backend = self.iptables()
        self.raw["iptables"] = run(backend, "--version").strip() if backend else "none works here"

        def variant(lane, size, target, client_group=None):
            label = re.sub(r"\W+", "-", f"{lane}-{size}")
            client, server = client_group or f"{parent}/{label}/client", f"{parent}/{label}/server"
            for group in (client, server):
                os.makedirs(group, exist_ok=True)
            place = stack.enter_context(network(f"{name}-{label}"))
            made = Variant(lane, size, client, server, place, target)
            self.start_servers(stack, made, directory)
            return made

        last = services(max(self.sizes), ENDPOINTS)[-1]
        self.variants = [variant("none", 0, last.endpoints[0])]
        self.tables = {size: services(size, ENDPOINTS) for size in self.sizes}
        for size in self.sizes if backend else []:
            made = variant("iptables", size, self.tables[size][-1].address)
            run("nsenter", f"--net={made.network}", f"{backend}-restore", input=kube_proxy_rules(self.tables[size]))
            self.variants.append(made)
        for size in self.sizes:
            made = variant("weft", size, self.tables[size][-1].address)
            self.start_agent(stack, made, directory, pins)
            self.variants.append(made)
        # The kernel lane by itself: what reading the requests of its connections costs is the rest.
        unread = variant("weft, nothing read", max(self.sizes), self.tables[max(self.sizes)][-1].address)
        self.start_agent(stack, unread, directory, pins, ["--http-reading", "off"])
        self.variants.append(unread)
        # The server outside of the mesh, as one on another node would be: what the client's end alone costs.
        one_end = variant("weft, client's end", made.size, made.target, client_group=made.client_group)
        one_end.agent = made.agent
        self.variants.append(one_end)

    def start_agent(self, stack, variant, directory, pins, options=()):
        table = list(self.tables[variant.size])
        # The service whose only endpoint moves, beside the others.
        variant.moving = Service(variant.size, 1)
        label = re.sub(r"\W+", "-", variant.name)
        config, group = os.path.join(directory, f"mesh-{label}"), os.path.dirname(variant.client_group)
        self.write_mesh(config, [variant.moving] + table, group)
        variant.config = config
        binary = os.path.join(self.options.bin, "weftd")
        agent = Agent(binary, label, directory, config, group, pins, options)
        variant.agent = stack.enter_context(agent.running(self.other_cores))
        # Ready is what the agent says; a connection to the last service is what it means.
        connected = int(self.in_client(variant, "await", variant.target, "80", str(CONNECT_PORT))) / 1e9
        variant.programmed_seconds = max(agent.ready, connected) - agent.started

    def in_client(self, variant, *arguments):
        return run(*inside([self.client, *arguments], variant.client_group, variant.network, self.core))

    # Measuring.

    def measure_connects(self, variant):
        servers = sum(map(cpu_seconds, variant.servers))
        agent = cpu_seconds(variant.agent.pid) if variant.agent else 0
        port = "80" if variant.lane != "none" else str(CONNECT_PORT)
        result = json.loads(self.in_client(variant, "time", variant.target, port, str(self.connections)))
        # The server empties its queue, and the agent reads the last flow records, a moment later.
        time.sleep(0.3)
        result["server_cpu_us"] = (sum(map(cpu_seconds, variant.servers)) - servers) * 1e6 / self.connections
        if variant.agent:
            result["agent_cpu_us"] = (cpu_seconds(variant.agent.pid) - agent) * 1e6 / self.connections
        return result

    def measure_requests(self, variant):
        servers = sum(map(cpu_seconds, variant.servers))
        port = 81 if variant.lane != "none" else HTTP_PORT
        wrk = ["wrk", "-t1", "-c32", f"-d{self.load_seconds}s", f"http://{variant.target}:{port}/"]
        before = os.times()
        output = run(*inside(wrk, variant.client_group, variant.network, self.core))
        after = os.times()
        count = int(re.search(r"(\d+) requests in", output).group(1))
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk through {variant.name} met errors: {output}")
        used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        return {
            "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
            "server_cpu_us": (sum(map(cpu_seconds, variant.servers)) - servers) * 1e6 / count,
            "client_cpu_us": used * 1e6 / count,
        }

    def measure_rounds(self):
        order = random.Random(1)
        none = self.variants[0]
        largest = [v for v in self.variants if v.size in (0, max(self.sizes)) and "end" not in v.lane]
        for number in range(self.options.rounds):
            self.progress(f"round {number + 1} of {self.options.rounds}")
            # No mesh has two turns: every difference is taken from it.
            turns = self.variants + [none]
            order.shuffle(turns)
            results = {}
            for variant in turns:
                results.setdefault(variant.name, []).append(self.measure_connects(variant))
            for variant in self.variants:
                mean = results[variant.name]
                variant.connects.append({key: sum(r[key] for r in mean) / len(mean) for key in mean[0]})
            turns = largest + [none]
            order.shuffle(turns)
            results = {}
            for variant in turns:
                results.setdefault(variant.name, []).append(self.measure_requests(variant))
            for variant in largest:
                mean = results[variant.name]
                variant.requests.append({key: sum(r[key] for r in mean) / len(mean) for key in mean[0]})

    def measure_changes(self, variant):
        """Seconds from the rename of one service's file to the first connection that reaches its endpoint's new port."""
        name = f"{variant.moving.namespace}-{variant.moving.name}.yaml"
        server = inside([self.client, "serve", "1", *map(str, MOVING_PORTS)], variant.server_group, variant.network)
        with process(server, os.path.join(variant.config, os.pardir, "servers.log"), ready_line="ready"):
            return [self.measure_change(variant, name, MOVING_PORTS[n % 2]) for n in range(self.changes)]

    def measure_change(self, variant, name, port):
        wait = inside([self.client, "await", variant.moving.address, "80", str(port)], variant.client_group,
                      variant.network)
        with subprocess.Popen(wait, stdout=subprocess.PIPE, text=True) as waiting:
            # Longer than the agent's patience with bursts: each change is one that comes alone.
            time.sleep(1)
            changed = time.monotonic()
            write(variant.config, variant.moving.manifest(connect_port=port), name)
            reached = waiting.communicate()[0]
        if waiting.returncode != 0:
            raise CannotMeasure(f"a change of {name} never reached the map")
        return int(reached) / 1e9 - changed

    def measure_idle(self, variant):
        """Share of a core and resident memory of an agent to which nothing happens."""
        before, started = cpu_seconds(variant.agent.pid), time.monotonic()
        time.sleep(self.idle_seconds)
        used = cpu_seconds(variant.agent.pid) - before
        return used / (time.monotonic() - started) * 100, resident_mb(variant.agent.pid)

    # Telling.

    def progress(self, text):
        print(f"... {text}", flush=True)

    def by_lane(self, lane):
        return {variant.size: variant for variant in self.variants if variant.lane == lane}

    def within_rounds(self, variant, key, combine, of="connects"):
        """The median over the rounds of `combine(variant's value, no mesh's value)`."""
        pairs = zip(getattr(variant, of), getattr(self.variants[0], of))
        return report.median([combine(mine[key], none[key]) for mine, none in pairs])

    def figures(self):
        weft, largest = self.by_lane("weft"), max(self.sizes)
        added = {n: self.within_rounds(v, "p50_us", lambda a, b: a - b) for n, v in weft.items()}
        figures = [
            report.figure("keep-alive requests/s, ratio to no mesh",
                          self.within_rounds(weft[largest], "per_second", lambda a, b: a / b, "requests"), "", 0.97, ">="),
        ]
        for size, variant in weft.items():
            ratio = self.within_rounds(variant, "per_second", lambda a, b: a / b)
            figures.append(report.figure(f"connect+close/s, {size:,} services, ratio to no mesh", ratio, "", 0.93, ">="))
        for size in weft:
            figures.append(report.figure(f"connect() added, median, {size:,} services", added[size], "µs", 2, "<="))
        one_end, unread = self.variants[-1], self.by_lane("weft, nothing read")[largest]
        figures += [
            report.figure(f"connect+close/s, {largest:,} services, nothing read, ratio to no mesh",
                          self.within_rounds(unread, "per_second", lambda a, b: a / b), "", 0.93, ">="),
            report.figure("keep-alive requests/s, nothing read, ratio to no mesh",
                          self.within_rounds(unread, "per_second", lambda a, b: a / b, "requests"), "", 0.97, ">="),
            report.figure(f"connect() added, median, {largest:,} services, client's end alone",
                          self.within_rounds(one_end, "p50_us", lambda a, b: a - b), "µs", 2, "<="),
            report.figure(f"connect() added, growth from {min(weft):,} to {largest:,} services",
                          added[largest] - added[min(weft)], "µs", 0.5, "<="),
            report.figure(f"YAML on disk to programmed, {largest:,} services × {ENDPOINTS} endpoints",
                          weft[largest].programmed_seconds, "s", 5, "<="),
            report.figure(f"one endpoint's change, {largest:,} services",
                          report.median(self.raw["changes_seconds"]) * 1000, "ms", 50, "<="),
            report.figure(f"agent RSS, {largest:,} services × {ENDPOINTS} endpoints", self.raw["loaded_mb"], "MB", 200, "<="),
            report.figure("idle agent RSS", self.raw["idle_mb"], "MB", 25, "<="),
            report.figure("idle agent CPU", self.raw["idle_percent"], "% of a core", 0.2, "<="),
        ]
        return figures

    def print_comparison(self):
        rows = []
        for variant in self.variants:
            values = {key: report.median([r[key] for r in variant.connects]) for key in variant.connects[0]}
            rows.append([
                variant.name, values["p50_us"], self.within_rounds(variant, "p50_us", lambda a, b: a - b),
                values["p99_us"], self.within_rounds(variant, "p99_us", lambda a, b: a - b), values["per_second"],
                self.within_rounds(variant, "per_second", lambda a, b: a / b),
                values["client_cpu_us"] + values["server_cpu_us"], values.get("agent_cpu_us", 0.0),
            ])
        print("\nConnect and reset, the last service of the table (µs; CPU of client and server, and of the agent):")
        print(report.table(["", "p50", "added", "p99", "added", "conn/s", "ratio", "CPU", "agent"], rows))
        rows = []
        for variant in self.variants:
            if variant.requests:
                values = {key: report.median([r[key] for r in variant.requests]) for key in variant.requests[0]}
                rows.append([
                    variant.name, values["per_second"],
                    self.within_rounds(variant, "per_second", lambda a, b: a / b, "requests"),
                    values["client_cpu_us"] + values["server_cpu_us"],
                ])
        print("\nKeep-alive requests, wrk with 32 connections to nginx (CPU of both in µs per request):")
        print(report.table(["", "requests/s", "ratio", "CPU"], rows))
        print()

    def measure(self):
        with contextlib.ExitStack() as stack:
            self.progress("setting up")
            self.set_up(stack)
            weft = self.by_lane("weft")
            largest, smallest = weft[max(self.sizes)], weft[min(self.sizes)]
            self.progress(f"idle for {self.idle_seconds} s")
            self.raw["idle_percent"], self.raw["idle_mb"] = self.measure_idle(smallest)
            self.progress("one endpoint's change")
            self.raw["changes_seconds"] = self.measure_changes(largest)
            self.measure_rounds()
            self.raw["loaded_mb"] = resident_mb(largest.agent.pid)
            self.raw["programmed_seconds"] = {str(size): v.programmed_seconds for size, v in weft.items()}
            self.raw["connects"] = {v.name: v.connects for v in self.variants}
            self.raw["requests"] = {v.name: v.requests for v in self.variants if v.requests}
        return self.figures()



def add_arguments(parser):
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)), help="the core of client and server")


def measure(options, root):
    lane = KernelLane(options, root)
    figures = lane.measure()
    lane.print_comparison()
    return figures, lane.raw
