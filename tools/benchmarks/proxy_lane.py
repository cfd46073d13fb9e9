"""The proxy lane: what an HTTP/1.1 request through Weft costs beside nginx, HAProxy and Envoy.

Backend and load generator share one core, every proxy has the other one to itself and one thread; all have the same ten
rules and the same backend. Weft's clients connect to the service's address and are captured; the others' connect to the
proxy. In each round every proxy has its turn, in an order that changes. Figures are medians over the rounds of the
ratios within a round.
"""

import contextlib
import os
import random
import re
import subprocess
import tempfile
import time

import peers
import report
from places import (
    Agent, CannotMeasure, bpf_filesystem, cgroup, cgroup_mount, cpu_seconds, free_port, inside, process, run,
)

SERVICE, LARGE = "127.96.200.1", "127.96.200.2"
BODIES = {"64 B": "/64", "4 KiB": "/4k"}


class Proxy:
    def __init__(self, name, address, port, pid):
        self.name, self.address, self.port, self.pid = name, address, port, pid
        self.requests = {size: [] for size in BODIES}
        self.latency, self.bulk, self.idle_kib = [], [], None

    def url(self, path):
        return f"http://{self.address}:{self.port}{path}"


class ProxyLane:
    def __init__(self, options, root, accelerated=False):
        """`accelerated`: Weft's connections within the node, to the client and to the backend, go from socket to socket."""
        self.options, self.root, self.accelerated = options, root, accelerated
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise CannotMeasure("the proxy lane needs two cores: one for the proxies, one for everything else")
        self.load_core, self.proxy_core = cores[0], cores[1]
        self.seconds = 1 if options.quick else 3
        self.idle = 1000 if options.quick else 4000
        self.large = 1000 if options.quick else 10000
        self.raw = {}

    # Setting up.

    def set_up(self, stack):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        pins = stack.enter_context(bpf_filesystem(os.path.join(directory, "bpf")))
        self.group = stack.enter_context(cgroup(os.path.join(cgroup_mount(), f"weft-bench-{os.getpid()}")))
        self.client_group = f"{self.group}/client"
        os.makedirs(self.client_group)
        # Beside the mesh: the comparison's servers, and Weft's backend, are plain processes.
        outside = stack.enter_context(cgroup(os.path.join(cgroup_mount(), f"weft-bench-{os.getpid()}-peers")))
        self.outside, self.backend_group = outside, outside
        if self.accelerated:
            self.backend_group = f"{self.group}/backend"
            os.makedirs(self.backend_group)
        log = os.path.join(directory, "servers.log")
        self.backend_port = free_port()
        where = os.path.join(directory, "backend")
        if self.accelerated:
            # nginx asks FIONREAD, which most kernels answer wrong for what is accelerated: it would be refused.
            start = peers.answering(where, self.backend_port)
        else:
            start = ["nginx", "-p", where, "-e", "stderr", "-c", peers.backend(where, self.backend_port)]
        stack.enter_context(process(inside(start, self.backend_group, core=self.load_core), log))
        self.await_answer("127.0.0.1", self.backend_port)
        # Of everybody but Weft.
        self.plain_port = self.backend_port
        if self.accelerated:
            self.plain_port = free_port()
            start = peers.answering(os.path.join(directory, "plain"), self.plain_port)
            stack.enter_context(process(inside(start, outside, core=self.load_core), log))
            self.await_answer("127.0.0.1", self.plain_port)

        self.proxies = []
        envoy = peers.install_envoy(self.root)
        for name, make in (
            ("nginx", peers.nginx), ("HAProxy", peers.haproxy), ("Envoy", lambda *a: peers.envoy(envoy, *a)),
        ):
            port = free_port()
            command = make(os.path.join(directory, name), port, self.plain_port)
            child = stack.enter_context(process(inside(command, outside, core=self.proxy_core), log))
            self.await_answer("127.0.0.1", port)
            self.proxies.append(Proxy(name, "127.0.0.1", port, child.pid))
        agent = self.start_agent(stack, directory, pins)
        self.await_answer(SERVICE, 80)
        self.proxies.append(Proxy("Weft", SERVICE, 80, agent.pid))
        self.weft = self.proxies[-1]

    def lane_options(self):
        """The agent's flags where connections are accelerated: here every request is the agent's."""
        return ["--shortcut", "off"]

    def write_more(self, config):
        """What the configuration has besides the services and their rules."""

    def start_agent(self, stack, directory, pins):
        config = os.path.join(directory, "mesh")
        os.makedirs(config)
        self.config = config
        text = ""
        for name, address in (("web", SERVICE), ("large", LARGE)):
            text += (
                f"apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: bench }}\n"
                f"spec:\n  clusterIP: {address}\n  ports: [{{ name: http, port: 80, targetPort: {self.backend_port} }}]\n"
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                f"metadata: {{ name: {name}-1, namespace: bench, labels: {{ kubernetes.io/service-name: {name} }} }}\n"
                f"addressType: IPv4\nports: [{{ name: http, port: {self.backend_port} }}]\n"
                "endpoints: [{ addresses: [127.0.0.1] }]\n---\n"
            )
        below = "/" + os.path.relpath(self.group, cgroup_mount())
        text += (
            "apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: { name: client, namespace: bench }\n"
            f"spec:\n  serviceAccount: client\n  match: {{ cgroup: {below}/client }}\n"
        )
        more = []
        if self.accelerated:
            more = ["--acceleration", "opted-in", "--acceleration-control", "0"] + self.lane_options()
            text += (
                "  acceleration: On\n---\n"
                "apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: { name: backend, namespace: bench }\n"
                f"spec:\n  match: {{ cgroup: {below}/backend }}\n  addresses: [127.0.0.1]\n"
                f"  ports: [{{ name: http, port: {self.backend_port} }}]\n  acceleration: On\n"
            )
        peers.write(os.path.join(config, "mesh.yaml"), text)
        self.write_more(config)
        peers.write(os.path.join(config, "routes.yaml"), peers.route_manifest("web"))
        peers.write(os.path.join(config, "large.yaml"), peers.route_manifest("large", self.large))
        agent = Agent(
            os.path.join(self.options.bin, "weftd"), "weft", directory, config, self.group, pins,
            ["--workers", "1"] + more + [
                argument for flag in ("outbound", "inbound", "tunnel", "dns")
                for argument in (f"--{flag}-listen", f"127.0.0.1:{free_port()}")
            ],
        )
        self.agent_metric = agent.metric
        return stack.enter_context(agent.running([self.proxy_core]))

    def as_client(self, *command):
        """Runs a command where Weft's clients run; the others' run there too, and differ only in the address."""
        return run(*inside(command, self.client_group, core=self.load_core))

    def as_outsider(self, *command):
        """Runs a command beside the mesh."""
        return run(*inside(command, self.outside, core=self.load_core))

    def await_answer(self, address, port):
        deadline = time.monotonic() + 15
        status = "curl", "-s", "-o", "/dev/null", "-m", "1", "-w", "%{http_code}", f"http://{address}:{port}/64"
        while True:
            with contextlib.suppress(CannotMeasure):
                if self.as_client(*status).strip() == "200":
                    return
            if time.monotonic() > deadline:
                raise CannotMeasure(f"nothing answers at {address}:{port}")
            time.sleep(0.1)

    # Measuring.

    def user_share(self, pid):
        """User and system time of a process and its children, in clock ticks."""
        user = system = 0
        for child in self.family(pid):
            with open(f"/proc/{child}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user, system

    def family(self, pid):
        found = [pid]
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in file.read().split():
                    found += self.family(int(child))
        return found

    def measure_requests(self, proxy, path):
        before, ticks = cpu_seconds(proxy.pid), self.user_share(proxy.pid)
        output = self.as_client("wrk", "-t1", "-c32", f"-d{self.seconds}s", "--latency", proxy.url(path))
        used, after = cpu_seconds(proxy.pid) - before, self.user_share(proxy.pid)
        if re.search(r"Non-2xx|Socket errors", output):
            raise CannotMeasure(f"wrk through {proxy.name} met errors: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        user, system = after[0] - ticks[0], after[1] - ticks[1]
        return {
            "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
            "cpu_us": used * 1e6 / count, "user_us": used * 1e6 / count * user / max(1, user + system),
        }

    def measure_direct(self):
        """Requests a second of the same client and backend without any proxy or mesh."""
        url = f"http://127.0.0.1:{self.plain_port}{BODIES['64 B']}"
        output = self.as_outsider("wrk", "-t1", "-c32", f"-d{self.seconds}s", url)
        return float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))

    def measure_latency(self, proxy, rate, directory):
        """p50 and p99 in µs of an open loop at `rate` requests a second."""
        log = os.path.join(directory, "h2load.log")
        clients = 32
        self.as_client(
            "h2load", "--h1", "-t1", f"-c{clients}", f"--rps={max(1, round(rate / clients))}", f"-D{self.seconds}",
            f"--log-file={log}", proxy.url("/64"),
        )
        with open(log, encoding="ascii") as file:
            rows = [line.split("\t") for line in file]
        os.unlink(log)
        if not rows or any(row[1] != "200" for row in rows):
            raise CannotMeasure(f"h2load through {proxy.name} met errors")
        times = sorted(int(row[2]) for row in rows)
        return {"rate": rate, "p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}

    def measure_bulk(self, proxy):
        before = cpu_seconds(proxy.pid)
        size = self.as_client("curl", "-s", "-o", "/dev/null", "-w", "%{size_download} %{speed_download}",
                              proxy.url("/1g")).split()
        if int(size[0]) != 1 << 30:
            raise CannotMeasure(f"{proxy.name} passed on {size[0]} of {1 << 30} bytes")
        return {"cpu_s": cpu_seconds(proxy.pid) - before, "bytes_per_second": float(size[1])}

    def proportional_kib(self, pid):
        total = 0
        for child in self.family(pid):
            with open(f"/proc/{child}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        return total

    def measure_idle(self, proxy):
        """KiB for each idle keep-alive connection that has had one request."""
        before = self.proportional_kib(proxy.pid)
        holder = inside(["python3", os.path.join(os.path.dirname(__file__), "hold.py"), proxy.address, str(proxy.port),
                         "/64", str(self.idle)], self.client_group, core=self.load_core)
        with process(holder, os.devnull, ready_line="ready"):
            time.sleep(1)
            grown = self.proportional_kib(proxy.pid) - before
        time.sleep(1)
        return grown / self.idle

    def measure_rounds(self, directory):
        order = random.Random(1)
        rate = None
        for number in range(self.options.rounds):
            self.progress(f"round {number + 1} of {self.options.rounds}")
            turns = list(self.proxies)
            for size, path in BODIES.items():
                order.shuffle(turns)
                for proxy in turns:
                    proxy.requests[size].append(self.measure_requests(proxy, path))
            if rate is None:
                # Half of what the slowest of the three fast ones reaches, the same for all of them; Envoy has its own half.
                rate = {p.name: p.requests["64 B"][0]["per_second"] / 2 for p in self.proxies}
                common = min(value for name, value in rate.items() if name != "Envoy")
                rate = {name: min(common, value) for name, value in rate.items()}
            order.shuffle(turns)
            for proxy in turns:
                proxy.latency.append(self.measure_latency(proxy, rate[proxy.name], directory))
            order.shuffle(turns)
            for proxy in turns:
                proxy.bulk.append(self.measure_bulk(proxy))

    def measure_large(self):
        """A host with many rules: what a request costs more than with ten, and how long a change takes."""
        few, many = [], []
        large = Proxy("Weft", LARGE, 80, self.weft.pid)
        self.await_answer(LARGE, 80)
        for _ in range(max(3, self.options.rounds)):
            few.append(self.measure_requests(self.weft, "/64")["cpu_us"])
            many.append(self.measure_requests(large, "/64")["cpu_us"])
        self.raw["large_added_us"] = report.median([b - a for a, b in zip(few, many)])
        self.raw["large_reload_s"] = [self.measure_reload(marker) for marker in ("b", "c", "d")]

    def measure_reload(self, marker):
        path = os.path.join(self.config, "large.yaml")
        text = peers.route_manifest("large", self.large, marker=marker)
        script = (
            "import http.client, sys, time\nwhile True:\n"
            f" c = http.client.HTTPConnection('{LARGE}', 80, timeout=5)\n"
            " c.request('GET', '/api/0'); r = c.getresponse()\n"
            f" if (r.getheader('location') or '').startswith('http://{marker}.example'): break\n"
            " c.close(); time.sleep(0.002)\nprint(time.monotonic())\n"
        )
        waiting = subprocess.Popen(
            inside(["timeout", "60", "python3", "-c", script], self.client_group, core=self.load_core),
            stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        peers.write(path + ".tmp~", text)
        changed = time.monotonic()
        os.rename(path + ".tmp~", path)
        reached = waiting.communicate()[0]
        if waiting.returncode != 0:
            raise CannotMeasure("a change of the large route never reached the proxy")
        return float(reached) - changed

    # Telling.

    def progress(self, text):
        print(f"... {text}", flush=True)

    def named(self, name):
        return next(proxy for proxy in self.proxies if proxy.name == name)

    def ratio(self, name, size):
        pairs = zip(self.weft.requests[size], self.named(name).requests[size])
        return report.median([mine["cpu_us"] / theirs["cpu_us"] for mine, theirs in pairs])

    def figures(self):
        figures = []
        for size in BODIES:
            for name, target in (("nginx", 0.95), ("HAProxy", 0.95), ("Envoy", 0.3)):
                figures.append(report.figure(f"CPU per request, {size}, ratio to {name}", self.ratio(name, size), "",
                                             target, "<="))
        user = report.median([r["user_us"] for r in self.weft.requests["64 B"]])
        figures.append(report.figure("user time per request, 64 B", user, "µs", 2, "<="))
        best = [min(p.latency[n]["p99_us"] for p in self.proxies[:-1]) for n in range(len(self.weft.latency))]
        ratio = report.median([mine["p99_us"] / other for mine, other in zip(self.weft.latency, best)])
        figures.append(report.figure("p99 at half of saturation, ratio to the best of the three", ratio, "", 1, "<="))
        bulk = report.median([a["cpu_s"] / b["cpu_s"] for a, b in zip(self.weft.bulk, self.named("HAProxy").bulk)])
        figures += [
            report.figure("CPU per GB, ratio to HAProxy", bulk, "", 1.1, "<="),
            report.figure("memory per idle keep-alive connection", self.weft.idle_kib, "KiB", 1, "<="),
            report.figure(f"CPU per request added by {self.large:,} rules", self.raw["large_added_us"], "µs", 1, "<="),
            report.figure(f"reload of {self.large:,} rules", report.median(self.raw["large_reload_s"]), "s", 1, "<="),
        ]
        return figures

    def print_comparison(self):
        rows = []
        for proxy in self.proxies:
            row = [proxy.name]
            for size in BODIES:
                for key in ("cpu_us", "user_us", "per_second"):
                    row.append(report.median([r[key] for r in proxy.requests[size]]))
            rows.append(row)
        heads = [f"{size}: {what}" for size in BODIES for what in ("CPU µs", "user µs", "req/s")]
        print("\nKeep-alive requests, wrk with 32 connections:")
        print(report.table([""] + heads, rows))
        rows = [
            [p.name, f"{p.latency[0]['rate']:,.0f}", report.median([r["p50_us"] for r in p.latency]),
             report.median([r["p99_us"] for r in p.latency]), report.median([r["cpu_s"] for r in p.bulk]),
             report.median([r["bytes_per_second"] for r in p.bulk]) / 1e9, p.idle_kib]
            for p in self.proxies
        ]
        print("\nOpen loop at half of saturation (µs), one body of 1 GB, idle connections:")
        print(report.table(["", "req/s", "p50", "p99", "CPU s/GB", "GB/s", "KiB/connection"], rows))
        print()

    def measure_comparison(self):
        """Requests of 64 bytes alone: the figures of an accelerated proxy lane."""
        order, direct = random.Random(1), []
        with contextlib.ExitStack() as stack:
            self.progress("setting up the proxies")
            self.set_up(stack)
            for number in range(self.options.rounds):
                self.progress(f"proxies, round {number + 1} of {self.options.rounds}")
                turns = list(self.proxies)
                order.shuffle(turns)
                for proxy in turns:
                    proxy.requests["64 B"].append(self.measure_requests(proxy, BODIES["64 B"]))
                direct.append(self.measure_direct())
        reached = [mine["per_second"] / alone for mine, alone in zip(self.weft.requests["64 B"], direct)]
        self.raw = {proxy.name: proxy.requests["64 B"] for proxy in self.proxies} | {"direct": direct}
        return [
            report.figure("proxied, accelerated: CPU per request, ratio to nginx by TCP", self.ratio("nginx", "64 B"), "",
                          0.55, "<="),
            report.figure("proxied, accelerated: CPU per request, ratio to Envoy by TCP", self.ratio("Envoy", "64 B"), "",
                          0.17, "<="),
            report.figure("proxied, accelerated: requests/s, ratio to no proxy at all", report.median(reached), "", 1, ">="),
        ]

    def measure(self):
        with contextlib.ExitStack() as stack:
            self.progress("setting up")
            self.set_up(stack)
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
            for proxy in self.proxies:
                self.progress(f"{self.idle:,} idle connections through {proxy.name}")
                proxy.idle_kib = self.measure_idle(proxy)
            self.measure_rounds(directory)
            self.progress(f"{self.large:,} rules")
            self.measure_large()
        for proxy in self.proxies:
            self.raw[proxy.name] = {
                "requests": proxy.requests, "latency": proxy.latency, "bulk": proxy.bulk, "idle_kib": proxy.idle_kib,
            }
        return self.figures()


def add_arguments(_):
    pass


def measure(options, root):
    lane = ProxyLane(options, root)
    figures = lane.measure()
    lane.print_comparison()
    return figures, lane.raw
