"""Where the benchmarks run: cgroups and network namespaces of their own, processes pinned to a core, one agent."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time


class CannotMeasure(Exception):
    """The machine lacks what the benchmark needs; the text says what."""


def cgroup_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if after.split()[0] == "cgroup2":
                return before.split()[4]
    raise CannotMeasure("no cgroup v2 mount in /proc/self/mountinfo")


@contextlib.contextmanager
def cgroup(path):
    os.makedirs(path)
    try:
        yield path
    finally:
        for directory, _, _ in os.walk(path, topdown=False):
            for _ in range(50):
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    time.sleep(0.05)


@contextlib.contextmanager
def network(name):
    """A network namespace with nothing but its loopback; yields its path for nsenter."""
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


@contextlib.contextmanager
def bpf_filesystem(path):
    """A BPF filesystem of the benchmark's own, so that no other node's pins are ever in the way."""
    os.makedirs(path)
    run("mount", "-t", "bpf", "bpf", path)
    try:
        yield path
    finally:
        for name in os.listdir(path):
            shutil.rmtree(os.path.join(path, name), ignore_errors=True)
        subprocess.run(["umount", path], check=False)
        os.rmdir(path)


def run(*command, **options):
    """Runs a command that has to succeed and returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise CannotMeasure(f"{' '.join(command[:6])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def inside(command, group, network_path=None, core=None):
    """`command` in a cgroup, a network namespace and on a core, from its first instruction on."""
    wrapped = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group]
    if network_path:
        wrapped += ["nsenter", f"--net={network_path}"]
    if core is not None:
        wrapped += ["taskset", "-c", str(core)]
    return wrapped + list(command)


@contextlib.contextmanager
def process(command, log, ready_line=None, **options):
    """A process that lives as long as the block; with `ready_line`, after it has printed that line."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE if ready_line else output, stderr=output, stdin=subprocess.DEVNULL, **options
        )
    try:
        if ready_line:
            line = child.stdout.readline().decode().strip()
            if line != ready_line:
                raise CannotMeasure(f"{command[-3:]} did not start: see {log}")
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """CPU time of a process and of its children that live (nginx's workers), exact to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                total += sum(int(cpu_seconds(int(child)) * 1e9) for child in file.read().split())
    return total / 1e9


@contextlib.contextmanager
def program_statistics():
    """The kernel accounts for BPF programs as long as the block runs; its own looks at the clock are in their times."""
    path = "/proc/sys/kernel/bpf_stats_enabled"
    with open(path, encoding="ascii") as file:
        before = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write("1")
    try:
        yield
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(before)


def program_times(name):
    """Run time in ns and runs of a program, of all versions of it that are loaded."""
    total, runs = 0, 0
    for program in json.loads(run("bpftool", "prog", "show", "-j")):
        if program.get("name") == name:
            total += program.get("run_time_ns", 0)
            runs += program.get("run_cnt", 0)
    return total, runs


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise CannotMeasure(f"process {pid} has no memory")


class Agent:
    """`weftd run` on a cgroup and a configuration directory, everything else in a directory of the benchmark's."""

    def __init__(self, binary, name, directory, config, group, pins, options=()):
        self.directory, self.log = directory, os.path.join(directory, f"{name}.log")
        self.ready_port, self.metrics_port, self.admin_port = free_port(), free_port(), free_port()
        self.command = [
            binary, "run", "--config", config, "--cgroup", group, "--pin-dir", os.path.join(pins, name),
            "--state-dir", os.path.join(directory, f"{name}.state"), "--run-dir", os.path.join(directory, f"{name}.run"),
            "--node", "bench", "--trust-domain", "cluster.local", "--admin-listen", f"127.0.0.1:{self.admin_port}",
            "--dns-listen", f"127.0.0.1:{free_port()}",
            "--metrics-listen", f"127.0.0.1:{self.metrics_port}", "--ready-listen", f"127.0.0.1:{self.ready_port}",
            "--log-level", "warning", "--detach-on-exit", *options,
        ]
        self.started = self.ready = None
        self.pid = None

    @contextlib.contextmanager
    def running(self, cores=None):
        """The agent, from the moment on when it says that its configuration is programmed."""
        command = ["taskset", "-c", ",".join(map(str, cores))] + self.command if cores else self.command
        self.started = time.monotonic()
        with process(command, self.log) as child:
            self.pid = child.pid
            deadline = self.started + 120
            while not self.is_ready():
                if child.poll() is not None or time.monotonic() > deadline:
                    with open(self.log, encoding="utf-8", errors="replace") as log:
                        raise CannotMeasure(f"weftd did not become ready: {log.read()[-2000:]}")
                time.sleep(0.005)
            self.ready = time.monotonic()
            yield self

    def is_ready(self):
        return self.get(self.ready_port, "/healthz/ready")[0] == 200

    def get(self, port, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, name):
        """The sum of a metric's series."""
        total = 0.0
        for line in self.get(self.metrics_port, "/metrics")[1].splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rsplit(" ", 1)[1])
        return total
