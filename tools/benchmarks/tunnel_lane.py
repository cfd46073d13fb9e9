"""The tunnel lane: what mutual TLS between two nodes costs, beside a pair of Envoys.

Two network namespaces are joined by a pair of veth devices. In each is an agent: of Weft, or an Envoy that tunnels TCP
through HTTP/2 CONNECT. All agents share one core and have one thread of work; clients and servers have another core.
In each round both pairs have their turn, in an order that changes. Figures are medians over the rounds of the ratios
within a round; an agent's CPU time is that of both agents of a pair together.
"""

import contextlib
import os
import random
import re
import tempfile
import time

import peers
import report
from places import (
    CannotMeasure, bpf_filesystem, cgroup, cgroup_mount, cpu_seconds, inside, network, process, resident_mb, run,
)
from tunnels import CLIENT, ECHO_PORT, HTTP_PORT, SERVER, Envoys, Wefts, await_round_trip


class TunnelLane:
    def __init__(self, options, root):
        self.options, self.root = options, root
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise CannotMeasure("the tunnel lane needs two cores: one for the agents, one for everything else")
        self.load_core, self.agent_core = cores[0], cores[1]
        self.seconds = 1 if options.quick else 3
        self.round_trips = 2000 if options.quick else 10000
        self.connections = 500 if options.quick else 3000
        self.identities = 1000 if options.quick else 10000
        self.raw = {}

    # Setting up.

    def set_up(self, stack):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        self.pins = stack.enter_context(bpf_filesystem(os.path.join(directory, "bpf")))
        unique = f"weft-bench-{os.getpid()}"
        groups = {
            name: stack.enter_context(cgroup(os.path.join(cgroup_mount(), f"{unique}-{name}")))
            for name in ("client", "server", "outside")
        }
        self.client_group, self.server_group = f"{groups['client']}/client", f"{groups['server']}/server"
        for group in (self.client_group, self.server_group):
            os.makedirs(group)
        self.networks = [stack.enter_context(network(f"{unique}-{side}")) for side in ("a", "b")]
        self.join(unique)
        self.start_servers(stack, directory)
        envoys = Envoys(
            peers.install_envoy(self.root), os.path.join(directory, "envoy"), self.agent_core, groups["outside"])
        self.weft = Wefts(
            os.path.join(self.options.bin, "weftd"), os.path.join(directory, "weft"), self.agent_core, self.pins,
            self.client_group, self.server_group)
        self.envoy, self.pairs = envoys, [envoys, self.weft]

    def start_pairs(self, stack):
        for pair in self.pairs:
            pair.start(stack, *self.networks)
            await_round_trip(self.as_client(self.echo, "connect", *map(str, pair.address(ECHO_PORT)), "1"), pair.name)
            pair.check(self.networks[0])

    def join(self, unique):
        names = [f"{unique}-{side}" for side in ("a", "b")]
        run("ip", "-n", names[0], "link", "add", "weft0", "type", "veth", "peer", "name", "weft0", "netns", names[1])
        for name, address in zip(names, (CLIENT, SERVER)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "weft0")
            run("ip", "-n", name, "link", "set", "weft0", "up")

    def start_servers(self, stack, directory):
        self.echo = os.path.join(directory, "echo")
        source = os.path.join(os.path.dirname(__file__), "echo.c")
        run("clang", "-O2", "-Wall", "-Wextra", "-Werror", "-o", self.echo, source)
        log = os.path.join(directory, "servers.log")
        where = os.path.join(directory, "backend")
        nginx = ["nginx", "-p", where, "-e", "stderr", "-c", peers.backend(where, HTTP_PORT, SERVER)]
        for command, ready in ((nginx, None), ([self.echo, "serve", SERVER, str(ECHO_PORT)], "ready")):
            stack.enter_context(process(
                inside(command, self.server_group, self.networks[1], self.load_core), log, ready_line=ready))

    def as_client(self, *command):
        """A command where the clients are."""
        return inside(command, self.client_group, self.networks[0], self.load_core)

    # Measuring.

    def cpu(self, pair):
        return sum(map(cpu_seconds, pair.pids))

    def measure_requests(self, pair):
        address, port = pair.address(HTTP_PORT)
        before = self.cpu(pair)
        output = run(*self.as_client("wrk", "-t1", "-c32", f"-d{self.seconds}s", f"http://{address}:{port}/64"))
        used = self.cpu(pair) - before
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk through {pair.name} met errors: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        return {
            "cpu_us": used * 1e6 / count, "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
        }

    def measure_round_trip(self, pair):
        target = map(str, pair.address(ECHO_PORT))
        return int(run(*self.as_client(self.echo, "ping", *target, str(self.round_trips)))) / 1e3

    def measure_bulk(self, pair):
        address, port = pair.address(HTTP_PORT)
        before = self.cpu(pair)
        size, speed = run(*self.as_client(
            "curl", "-s", "-o", "/dev/null", "-w", "%{size_download} %{speed_download}", f"http://{address}:{port}/1g"
        )).split()
        if int(size) != 1 << 30:
            raise CannotMeasure(f"{pair.name} passed on {size} of {1 << 30} bytes")
        return {"cpu_s": (self.cpu(pair) - before) / (1 << 30) * 1e9, "bytes_per_second": float(speed)}

    def measure_connections(self, pair):
        """Tunnelled connections for each second of the agents' CPU time."""
        before = self.cpu(pair)
        run(*self.as_client(self.echo, "connect", *map(str, pair.address(ECHO_PORT)), str(self.connections)))
        # The last of them are still being ended.
        time.sleep(0.2)
        return self.connections / (self.cpu(pair) - before)

    def measure_rounds(self):
        order = random.Random(1)
        for number in range(self.options.rounds):
            self.progress(f"round {number + 1} of {self.options.rounds}")
            turns = list(self.pairs)
            for measure, results in (
                (self.measure_requests, "requests"), (self.measure_round_trip, "round_trips"),
                (self.measure_bulk, "bulk"), (self.measure_connections, "connections"),
            ):
                order.shuffle(turns)
                for pair in turns:
                    getattr(pair, results).append(measure(pair))

    def measure_memory(self):
        """MB of an agent that has certificates for many identities, when it has stopped growing."""
        agent = self.weft.agent("client", self.networks[0], self.identities)
        with agent.running([self.agent_core]):
            sizes = [resident_mb(agent.pid)]
            while len(sizes) < 5 or max(sizes[-5:]) - min(sizes[-5:]) > 1:
                if len(sizes) > 180:
                    raise CannotMeasure("the agent's memory does not come to rest")
                time.sleep(1)
                sizes.append(resident_mb(agent.pid))
            return sizes[-1]

    # Telling.

    def progress(self, text):
        print(f"... {text}", flush=True)

    def ratio(self, results, key=None):
        pairs = zip(getattr(self.weft, results), getattr(self.envoy, results))
        return report.median([a[key] / b[key] if key else a / b for a, b in pairs])

    def figures(self):
        return [
            report.figure("CPU per request, 64 B, ratio to Envoy", self.ratio("requests", "cpu_us"), "", 0.75, "<="),
            report.figure("round trip of 64 B, ratio to Envoy", self.ratio("round_trips"), "", 0.7, "<="),
            report.figure("bytes per second, one stream, ratio to Envoy",
                          self.ratio("bulk", "bytes_per_second"), "", 1.3, ">="),
            report.figure("CPU per GB, ratio to Envoy", self.ratio("bulk", "cpu_s"), "", 0.75, "<="),
            report.figure("connections per CPU second, ratio to Envoy", self.ratio("connections"), "", 1.5, ">="),
            report.figure(f"memory with {self.identities:,} identities", self.raw["identities_mb"], "MB", 200, "<="),
        ]

    def print_comparison(self):
        rows = [
            [
                pair.name, report.median([r["cpu_us"] for r in pair.requests]),
                report.median([r["per_second"] for r in pair.requests]), report.median(pair.round_trips),
                report.median([r["bytes_per_second"] for r in pair.bulk]) / 1e9,
                report.median([r["cpu_s"] for r in pair.bulk]), report.median(pair.connections),
            ]
            for pair in self.pairs
        ]
        print("\nBoth agents of a pair together:")
        print(report.table(
            ["", "CPU µs/request", "req/s", "round trip µs", "GB/s", "CPU s/GB", "connections/CPU s"], rows))
        print()

    def measure(self):
        with contextlib.ExitStack() as stack:
            self.progress("setting up")
            self.set_up(stack)
            with contextlib.ExitStack() as running:
                self.start_pairs(running)
                self.measure_rounds()
            self.progress(f"{self.identities:,} identities")
            self.raw["identities_mb"] = self.measure_memory()
        for pair in self.pairs:
            self.raw[pair.name] = {
                "requests": pair.requests, "round_trips": pair.round_trips, "bulk": pair.bulk,
                "connections": pair.connections,
            }
        return self.figures()


def add_arguments(_):
    pass


def measure(options, root):
    lane = TunnelLane(options, root)
    figures = lane.measure()
    lane.print_comparison()
    return figures, lane.raw
