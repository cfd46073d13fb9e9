"""The accelerated lane: messages from socket to socket beside the same by TCP, without a mesh.

Client and server are two workloads of one node, both with `acceleration: On`; without a mesh they are the same programs in
cgroups of their own. In each round both have their turn at every size and width, in an order that changes. A ratio is the
median over the rounds of the ratios within a round.
"""

import contextlib
import json
import os
import random
import re
import tempfile
import time

import peers
import proxy_lane
import report
from places import (
    Agent, CannotMeasure, bpf_filesystem, cgroup, cgroup_mount, cpu_seconds, inside, network, process, program_statistics,
    program_times, run,
)

ADDRESS = "127.96.0.10"
PORT, HTTP_PORT = 9000, 9001
SIZES = [64, 1024, 16384, 65536, 1048576]
#: Connections with one message each on its way.
WIDTHS = [1, 10, 100, 1000]


class Variant:
    def __init__(self, name, client_group, server_group, network_path, target):
        self.name, self.network, self.target = name, network_path, target
        self.client_group, self.server_group = client_group, server_group
        self.agent = None


class AcceleratedLane:
    def __init__(self, options, root):
        self.options, self.root = options, root
        self.scale = 0.1 if options.quick else 1
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise CannotMeasure("two cores are needed, for the rows of client and server on different ones")
        self.core, self.other = cores[0], cores[1]
        self.results = {}

    # Setting up.

    def start_servers(self, stack, variant, directory, core, port):
        server = inside([self.binary, "serve", str(port)], variant.server_group, variant.network, core)
        log = os.path.join(directory, "servers.log")
        messages = stack.enter_context(process(server, log, ready_line="ready")).pid
        answering = peers.answering(os.path.join(directory, f"{variant.name}-{core}"), port + 1)
        http = inside(answering, variant.server_group, variant.network, core)
        return {"messages": messages, "http": stack.enter_context(process(http, log)).pid}

    def write_mesh(self, config, below):
        os.makedirs(config)
        services, ports = "", ""
        for name, port in self.ports():
            services += (
                f"apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: bench }}\n"
                f"spec:\n  clusterIP: {ADDRESS}\n  selector: {{ app: server }}\n"
                f"  ports: [{{ name: {name}, port: {port}, targetPort: {port}, protocol: TCP }}]\n---\n"
            )
            ports += f"{{ name: {name}, port: {port} }}, "
        with open(os.path.join(config, "mesh.yaml"), "w", encoding="utf-8") as file:
            file.write(services + "---\n".join(
                f"apiVersion: weft.dev/v1alpha1\nkind: Workload\n"
                f"metadata: {{ name: {name}, namespace: bench, labels: {{ app: {name} }} }}\n"
                f"spec:\n  match: {{ cgroup: {below}/{name} }}\n  acceleration: On\n" + more
                for name, more in [("client", ""), ("server", f"  addresses: [127.0.0.1]\n  ports: [{ports[:-2]}]\n")]
            ))

    def ports(self):
        """Each core has its servers."""
        for number, core in enumerate((self.core, self.other)):
            yield f"messages-{core}", PORT + 10 * number
            yield f"http-{core}", HTTP_PORT + 10 * number

    def set_up(self, stack):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        self.binary = os.path.join(directory, "messages")
        source = os.path.join(os.path.dirname(__file__), "messages.c")
        run("clang", "-O2", "-Wall", "-Wextra", "-Werror", "-o", self.binary, source)
        pins = stack.enter_context(bpf_filesystem(os.path.join(directory, "bpf")))
        name = f"weft-bench-{os.getpid()}"
        parent = stack.enter_context(cgroup(os.path.join(cgroup_mount(), name)))
        self.variants = []
        for label, target in (("none", "127.0.0.1"), ("weft", ADDRESS)):
            groups = [f"{parent}/{label}/{end}" for end in ("client", "server")]
            for group in groups:
                os.makedirs(group)
            place = stack.enter_context(network(f"{name}-{label}"))
            variant = Variant(label, *groups, place, target)
            variant.servers = {
                core: self.start_servers(stack, variant, directory, core, PORT + 10 * number)
                for number, core in enumerate((self.core, self.other))
            }
            self.variants.append(variant)
        none, weft = self.variants
        config = os.path.join(directory, "mesh")
        self.write_mesh(config, "/" + os.path.relpath(f"{parent}/weft", cgroup_mount()))
        binary = os.path.join(self.options.bin, "weftd")
        agent = Agent(binary, "weft", directory, config, f"{parent}/weft", pins,
                      ["--acceleration", "opted-in", "--acceleration-control", "0"])
        weft.agent = stack.enter_context(agent.running())
        return none, weft

    # Measuring.

    def measure(self, variant, core, kind, *arguments):
        """One run of the client on the first core, against the servers of `core`."""
        pid = variant.servers[core]["messages"]
        port = PORT + 10 * (core != self.core)
        before = cpu_seconds(pid)
        command = [self.binary, kind, variant.target, str(port), *map(str, arguments)]
        result = json.loads(run(*inside(command, variant.client_group, variant.network, self.core)))
        amount = arguments[1] if kind == "ping" else arguments[1] / 1e6
        result["cpu_us"] += (cpu_seconds(pid) - before) * 1e6 / amount
        return result

    def measure_http(self, variant, core):
        pid = variant.servers[core]["http"]
        port = HTTP_PORT + 10 * (core != self.core)
        wrk = ["wrk", "-t1", "-c32", f"-d{max(1, int(2 * self.scale))}s", "--latency",
               f"http://{variant.target}:{port}/"]
        before, servers = os.times(), cpu_seconds(pid)
        output = run(*inside(wrk, variant.client_group, variant.network, self.core))
        after = os.times()
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk through {variant.name} met errors: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
        return {
            "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
            "cpu_us": (used + cpu_seconds(pid) - servers) * 1e6 / count,
            "p99_us": float(latency.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[latency.group(2)],
        }

    def rows(self):
        """(name, core of the server, what to run) of everything that is measured."""
        for core, where in ((self.core, "one core"), (self.other, "two cores")):
            for size in SIZES:
                count = max(100, int((10000 if size <= 16384 else 2000 if size < 1 << 20 else 300) * self.scale))
                yield f"{size:,} B there and back, {where}", core, ("ping", size, count, 1)
            for size in SIZES:
                total = max(size * 50, int((1 << 30) * self.scale * (0.05 if size < 4096 else 1)))
                yield f"{size:,} B stream, {where}", core, ("stream", size, total)
            for width in WIDTHS[1:]:
                count = max(width, int(20000 * self.scale))
                yield f"64 B on {width:,} connections, {where}", core, ("ping", 64, count, width)
            yield f"HTTP requests, {where}", core, None

    def measure_rounds(self):
        order = random.Random(1)
        for number in range(self.options.rounds):
            print(f"... round {number + 1} of {self.options.rounds}", flush=True)
            for name, core, arguments in self.rows():
                order.shuffle(self.variants)
                for variant in self.variants:
                    result = self.measure(variant, core, *arguments) if arguments else self.measure_http(variant, core)
                    self.results.setdefault(name, {}).setdefault(variant.name, []).append(result)

    def measure_guard(self, weft):
        """Nanoseconds of the program for each send, the kernel's account."""
        with program_statistics():
            first = program_times("redirect")
            self.measure(weft, self.core, "ping", 64, max(1000, int(20000 * self.scale)), 1)
            last = program_times("redirect")
        runs = last[1] - first[1]
        return (last[0] - first[0]) / runs if runs else None

    # Telling.

    def ratio(self, name, key):
        """The median over the rounds of Weft's value by no mesh's."""
        rounds = zip(self.results[name]["weft"], self.results[name]["none"])
        return report.median([weft[key] / none[key] for weft, none in rounds])

    def figures(self):
        http = "HTTP requests, {}"
        figures = [
            report.figure("keep-alive HTTP requests/s, ratio to no mesh, one core",
                          self.ratio(http.format("one core"), "per_second"), "", 1.5, ">="),
            report.figure("keep-alive HTTP requests/s, ratio to no mesh, two cores",
                          self.ratio(http.format("two cores"), "per_second"), "", 1.2, ">="),
            report.figure("64 B there and back, median time, ratio to no mesh, one core",
                          self.ratio("64 B there and back, one core", "p50_us"), "", 0.65, "<="),
            report.figure("64 KiB stream, bytes/s, ratio to no mesh, one core",
                          self.ratio("65,536 B stream, one core", "per_second"), "", 1.2, ">="),
            report.figure("64 KiB stream, bytes/s, ratio to no mesh, two cores",
                          self.ratio("65,536 B stream, two cores", "per_second"), "", 1.2, ">="),
        ]
        if self.guard is not None:
            figures.append(report.figure("the program, for each send", self.guard / 1000, "µs", 0.3, "<="))
        return figures

    def print_comparison(self):
        rows = []
        for name, results in self.results.items():
            row = [name]
            for key in ("p50_us", "p99_us", "p999_us"):
                row += ["-"] if key not in results["none"][0] else [self.ratio(name, key)]
            row += [self.ratio(name, "per_second"), self.ratio(name, "cpu_us")]
            fast, slow = self.ratio(name, "per_second"), self.ratio(name, "cpu_us")
            row.append("loses" if fast < 0.99 and slow > 1.01 else "loses speed" if fast < 0.99
                       else "loses CPU" if slow > 1.01 else "")
            rows.append(row)
        print("\nRatios to no mesh: times and CPU below 1 are better, rates above 1.")
        print(report.table(["", "p50", "p99", "p99.9", "rate", "CPU", ""], rows))
        print()


def add_arguments(parser):
    del parser


def measure(options, root):
    """The figures and everything measured."""
    lane = AcceleratedLane(options, root)
    with contextlib.ExitStack() as stack:
        print("... setting up", flush=True)
        _, weft = lane.set_up(stack)
        time.sleep(1)
        lane.measure_rounds()
        lane.guard = lane.measure_guard(weft)
        redirected = weft.agent.metric("weft_redirected_bytes_total")
        if not redirected:
            raise CannotMeasure("nothing was redirected: see `weft check` for why")
    proxies = proxy_lane.ProxyLane(options, root, accelerated=True)
    proxied = proxies.measure_comparison()
    lane.print_comparison()
    return lane.figures() + proxied, {"rows": lane.results, "proxied": proxies.raw, "guard_ns": lane.guard, "redirected_bytes": redirected}
