"""Telemetry: what it costs to read HTTP in the kernel, beside proxies that read it in the path.

Every variant is a network namespace and a pair of cgroups of its own. Client, server and, where there is one, the proxy
share one core and keep it busy: what a request costs more than without a mesh is the difference of the times between two
requests. The agent has another core; its time is added. In each round every variant has its turn, in an order that
changes; figures are medians over the rounds of differences and ratios within a round.
"""

import contextlib
import json
import os
import random
import re
import tempfile

import peers
import report
from places import (
    Agent, CannotMeasure, bpf_filesystem, cgroup, cgroup_mount, cpu_seconds, free_port, inside, network, process,
    program_statistics, program_times, run,
)
from services import CONNECT_PORT, HTTP_PORT, Service, write

#: Services and statuses whose pairs together are what a large scrape tells of; each is reported by both ends.
SERVICES, STATUSES = 50, 50
#: Series, as Prometheus counts them (each bucket of a histogram is one), that a scrape of a usual size has at least.
SERIES = 5000
PROXY_PORT = 8090
#: Where something else than HTTP is spoken: of the first service, and of its endpoints.
OTHER_PORT, ECHO_PORT = 82, 8082
#: What a look at the dashboard's overview asks for each time.
REFRESH = ("/v1/stat?by=service&window=60", "/v1/history?seconds=3600")


class Variant:
    def __init__(self, name, place, group, address, port):
        self.name, self.place, self.address, self.port = name, place, address, port
        self.client_group, self.server_group = f"{group}/client", f"{group}/server"
        self.agent = None
        self.requests, self.connects = [], []


class Telemetry:
    def __init__(self, options, root):
        self.options, self.root = options, root
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise CannotMeasure("telemetry needs two cores: one for the agents, one for everything else")
        self.core, self.agent_cores = cores[0], cores[1:]
        self.seconds = 1 if options.quick else 3
        self.connections = 1000 if options.quick else 4000
        self.scrapes = 3 if options.quick else 10
        self.services = [Service(index, 1, with_http=True) for index in range(SERVICES)]
        self.services[0].ports.append(("echo", OTHER_PORT, ECHO_PORT))
        self.raw = {}

    # Setting up.

    def set_up(self, stack):
        self.directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        self.client, self.echo = (os.path.join(self.directory, name) for name in ("connections", "echo"))
        for program in (self.client, self.echo):
            run("clang", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
                os.path.join(os.path.dirname(__file__), os.path.basename(program) + ".c"))
        pins = stack.enter_context(bpf_filesystem(os.path.join(self.directory, "bpf")))
        parent = stack.enter_context(cgroup(os.path.join(cgroup_mount(), f"weft-bench-{os.getpid()}")))

        def variant(name, address, port):
            label = re.sub(r"\W+", "-", name)
            place = stack.enter_context(network(f"weft-bench-{os.getpid()}-{label}"))
            made = Variant(name, place, f"{parent}/{label}", address, port)
            for group in (made.client_group, made.server_group):
                os.makedirs(group)
            self.start_servers(stack, made, label)
            return made

        service = self.services[0]
        self.none = variant("no mesh", service.endpoints[0], HTTP_PORT)
        self.unread = variant("kernel lane, nothing read", service.address, 81)
        self.read = variant("kernel lane, HTTP read", service.address, 81)
        self.start_agent(stack, self.unread, pins, ["--http-reading", "off"])
        # Series of requests may be two fifths of all.
        self.start_agent(stack, self.read, pins, ["--max-series", str(5 * SERVICES * STATUSES + 5000)])
        self.nginx = variant("nginx", "127.0.0.1", PROXY_PORT)
        self.envoy = variant("Envoy", "127.0.0.1", PROXY_PORT)
        binary = peers.install_envoy(self.root)
        for made, command in (
            (self.nginx, peers.nginx(os.path.join(self.directory, "proxy-nginx"), PROXY_PORT, HTTP_PORT)),
            (self.envoy, peers.envoy(binary, os.path.join(self.directory, "proxy-envoy"), PROXY_PORT, HTTP_PORT)),
        ):
            self.start(stack, made, command)
        self.variants = [self.none, self.unread, self.read, self.nginx, self.envoy]
        for made in self.variants:
            run(*self.as_client(made, "curl", "-s", "-o", "/dev/null", "-f", "--retry", "50", "--retry-delay", "0",
                                "--retry-max-time", "20", "--retry-connrefused", f"http://{made.address}:{made.port}/"))

    def start(self, stack, variant, command, **options):
        wrapped = inside(command, variant.server_group, variant.place, self.core)
        log = os.path.join(self.directory, "servers.log")
        return stack.enter_context(process(wrapped, log, **options))

    def start_servers(self, stack, variant, label):
        prefix = os.path.join(self.directory, label)
        os.makedirs(prefix)
        statuses = "".join(f"    location = /{200 + n} {{ return {200 + n} \"x\"; }}\n" for n in range(STATUSES))
        path = peers.write(os.path.join(prefix, "nginx.conf"), (
            "user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;\n"
            "events { worker_connections 8192; }\n"
            "http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;\n"
            + peers.temporary(prefix) +
            f"  server {{ listen 0.0.0.0:{HTTP_PORT} backlog=4096;\n{statuses}"
            f"    location / {{ return 200 \"{'x' * 64}\"; }} }} }}\n"
        ))
        self.start(stack, variant, ["nginx", "-p", prefix, "-e", "stderr", "-c", path])
        self.start(stack, variant, [self.client, "serve", "10", str(CONNECT_PORT)], ready_line="ready")
        self.start(stack, variant, [self.echo, "serve", "0.0.0.0", str(ECHO_PORT)], ready_line="ready")

    def start_agent(self, stack, variant, pins, options):
        label = re.sub(r"\W+", "-", variant.name)
        config = os.path.join(self.directory, f"mesh-{label}")
        os.makedirs(config)
        for service in self.services:
            write(config, service.manifest(), f"{service.name}.yaml")
        group = os.path.dirname(variant.client_group)
        below = "/" + os.path.relpath(group, cgroup_mount())
        write(config, (
            "apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: { name: client, namespace: bench }\n"
            f"spec:\n  serviceAccount: client\n  match: {{ cgroup: {below}/client }}\n"
            "---\napiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: { name: server, namespace: bench }\n"
            f"spec:\n  serviceAccount: server\n  match: {{ cgroup: {below}/server }}\n"
            f"  addresses: [{', '.join(service.endpoints[0] for service in self.services)}]\n"
            f"  ports: [{{ name: connect, port: {CONNECT_PORT} }}, {{ name: http, port: {HTTP_PORT} }},"
            f" {{ name: echo, port: {ECHO_PORT} }}]\n"
        ), "workloads.yaml")
        lanes = [
            argument for flag in ("outbound", "inbound", "tunnel")
            for argument in (f"--{flag}-listen", f"127.0.0.1:{free_port()}")
        ]
        agent = Agent(
            os.path.join(self.options.bin, "weftd"), label, self.directory, config, group, pins,
            ["--workers", "1"] + lanes + options,
        )
        variant.agent = stack.enter_context(agent.running(self.agent_cores))

    def as_client(self, variant, *command):
        return inside(command, variant.client_group, variant.place, self.core)

    # Measuring.

    def agent_seconds(self, variant):
        return cpu_seconds(variant.agent.pid) if variant.agent else 0

    def measure_requests(self, variant):
        before = self.agent_seconds(variant)
        output = run(*self.as_client(variant, "wrk", "-t1", "-c32", f"-d{self.seconds}s",
                                     f"http://{variant.address}:{variant.port}/"))
        used = self.agent_seconds(variant) - before
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk met errors with {variant.name}: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
        return {"per_second": rate, "us": 1e6 / rate + used * 1e6 / count, "agent_us": used * 1e6 / count}

    def measure_connects(self, variant):
        before = self.agent_seconds(variant)
        port = CONNECT_PORT if variant is self.none else 80
        result = json.loads(run(*self.as_client(variant, self.client, "time", variant.address, str(port),
                                                str(self.connections))))
        result["agent_us"] = (self.agent_seconds(variant) - before) * 1e6 / self.connections
        return result

    def measure_rounds(self):
        order = random.Random(1)
        for number in range(self.options.rounds):
            self.progress(f"round {number + 1} of {self.options.rounds}")
            turns = list(self.variants)
            order.shuffle(turns)
            for variant in turns:
                variant.requests.append(self.measure_requests(variant))
            turns = [self.none, self.unread, self.read]
            order.shuffle(turns)
            for variant in turns:
                variant.connects.append(self.measure_connects(variant))

    def measure_other_packets(self):
        """What the reading programs take, in µs, for a packet of a connection that speaks something else."""
        names, messages = ("http_in", "http_out"), 2000 if self.options.quick else 50000
        with program_statistics():
            before = [program_times(name) for name in names]
            run(*self.as_client(self.read, self.echo, "ping", self.read.address, str(OTHER_PORT), str(messages)))
            after = [program_times(name) for name in names]
        taken, runs = (sum(new[n] - old[n] for old, new in zip(before, after)) for n in (0, 1))
        if runs < 2 * messages:
            raise CannotMeasure(f"the reading programs have met {runs} packets of {messages} messages each way")
        self.raw["other_packets"] = {"ns": taken, "runs": runs}
        return taken / runs / 1000

    def make_live(self, services, statuses):
        """One request for each pair of service and status, so that every series has changed."""
        script = (
            "import socket, sys\n"
            "for address in sys.argv[1:]:\n"
            "    with socket.create_connection((address, 81), 10) as s:\n"
            f"        for status in range(200, {200 + statuses}):\n"
            "            s.sendall(b'GET /%d HTTP/1.1\\r\\nHost: bench\\r\\n\\r\\n' % status)\n"
            "            if not s.recv(65536).startswith(b'HTTP/1.1 %d' % status): sys.exit('no answer')\n"
        )
        run(*self.as_client(self.read, "python3", "-c", script, *(service.address for service in services)))

    def measure_scrapes(self, services, statuses):
        """Milliseconds of the agent's CPU for a scrape after which all these pairs' series have changed, and its text."""
        agent, times = self.read.agent, []
        # What came when the kernel had no memory at hand for a new entry was counted in the overflow series.
        for _ in range(20):
            self.make_live(self.services[:services], statuses)
            pairs = agent.get(agent.metrics_port, "/metrics")[1].count("\nistio_requests_total{")
            if pairs >= 2 * services * statuses:
                break
        else:
            raise CannotMeasure(f"{pairs} sets of labels are live, not {2 * services * statuses}")
        for _ in range(self.scrapes):
            self.make_live(self.services[:services], statuses)
            before = cpu_seconds(agent.pid)
            text = agent.get(agent.metrics_port, "/metrics")[1]
            times.append((cpu_seconds(agent.pid) - before) * 1000)
        return report.median(times), times, text

    def measure_all_scrapes(self):
        """By size: series as Prometheus counts them, and milliseconds of the agent's CPU."""
        agent, services = self.read.agent, 1
        # A usual node first: what is live stays.
        while True:
            self.make_live(self.services[:services], 10)
            if series(agent.get(agent.metrics_port, "/metrics")[1]) >= SERIES:
                break
            services += 1
        results = []
        for name, services, statuses in (("usual", services, 10), ("large", SERVICES, STATUSES)):
            milliseconds, times, text = self.measure_scrapes(services, statuses)
            self.raw[f"scrape_{name}"] = {"ms": times, "bytes": len(text), "series": series(text)}
            results.append((series(text), milliseconds))
        return results

    def measure_dashboard(self):
        """Bytes of the page with all it loads, and milliseconds of the agent's CPU for one refresh."""
        agent = self.read.agent
        status, page = agent.get(agent.admin_port, "/")
        if status != 200:
            raise CannotMeasure(f"the dashboard answers {status}")
        size = len(page.encode())
        for link in sorted(set(re.findall(r'(?:src|href)="([^"#:]+)"', page))):
            status, body = agent.get(agent.admin_port, "/" + link.lstrip("/"))
            if status != 200:
                raise CannotMeasure(f"the dashboard's {link} answers {status}")
            size += len(body.encode())
        before = cpu_seconds(agent.pid)
        for _ in range(50):
            for path in REFRESH:
                agent.get(agent.admin_port, path)
        return size / 1000, (cpu_seconds(agent.pid) - before) * 1000 / 50

    # Telling.

    def progress(self, text):
        print(f"... {text}", flush=True)

    def added(self, variant, reference, key="us", of="requests"):
        pairs = zip(getattr(variant, of), getattr(reference, of))
        return report.median([a[key] - b[key] for a, b in pairs])

    def figures(self, other, scrapes, page, refresh):
        reading = self.added(self.read, self.unread)
        ratio = report.median(
            [a["per_second"] / b["per_second"] for a, b in zip(self.read.requests, self.none.requests)])
        return [
            report.figure("reading a request", reading, "µs", 1.2, "<="),
            report.figure("requests/s at saturation of one core, ratio to no mesh", ratio, "", 0.92, ">="),
            report.figure("reading a request, ratio to what Envoy adds", reading / self.added(self.envoy, self.none), "",
                          0.05, "<="),
            report.figure("reading, added to a connection without a request",
                          self.added(self.read, self.unread, "p50_us", "connects"), "µs", 0.5, "<="),
            report.figure("reading, a packet of a connection that speaks something else", other, "µs", 0.2, "<="),
            report.figure(f"scrape of {scrapes[0][0]:,} series that have all changed", scrapes[0][1], "ms", 20, "<="),
            report.figure(f"scrape of {scrapes[1][0]:,} series that have all changed", scrapes[1][1], "ms"),
            report.figure("dashboard, page with all it loads", page, "KB", 300, "<="),
            report.figure("dashboard, agent's CPU for a refresh", refresh, "ms", 5, "<="),
        ]

    def print_comparison(self):
        rows = [
            [v.name, report.median([r["per_second"] for r in v.requests]), report.median([r["us"] for r in v.requests]),
             self.added(v, self.none), report.median([r["agent_us"] for r in v.requests])]
            for v in self.variants
        ]
        print("\nKeep-alive requests, wrk with 32 connections, everything but the agent on one core (µs):")
        print(report.table(["", "requests/s", "each", "added", "agent"], rows))
        rows = [
            [v.name, report.median([r["p50_us"] for r in v.connects]), self.added(v, self.none, "p50_us", "connects"),
             report.median([r["agent_us"] for r in v.connects])]
            for v in (self.none, self.unread, self.read)
        ]
        print("\nConnect and reset (µs):")
        print(report.table(["", "p50", "added", "agent"], rows))
        print()

    def measure(self):
        with contextlib.ExitStack() as stack:
            self.progress("setting up")
            self.set_up(stack)
            self.measure_rounds()
            self.progress("packets, scrapes and the dashboard")
            other = self.measure_other_packets()
            scrapes = self.measure_all_scrapes()
            page, refresh = self.measure_dashboard()
            for variant in self.variants:
                self.raw[variant.name] = {"requests": variant.requests, "connects": variant.connects}
        return self.figures(other, scrapes, page, refresh)


def series(text):
    """How many samples an exposition has: what Prometheus calls series."""
    return sum(line != "" and line[0] != "#" for line in text.splitlines())


def add_arguments(_):
    pass


def measure(options, root):
    telemetry = Telemetry(options, root)
    figures = telemetry.measure()
    telemetry.print_comparison()
    return figures, telemetry.raw
