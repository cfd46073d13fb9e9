"""Clients with exact books. Usage: client.py MODE JSON; the answer is one line of JSON (hold: one per event).

pick      {address, port, count[, binds]}  who answers each of `count` connections
connect   {address, port[, mapped, protocol]}  one connection: result, milliseconds, what the socket says of its peer
hold      {address, port, count}   opens connections and keeps them; reads commands from standard input:
          "echo" (each connection sends and gets back a line), "send N" (N bytes each way on each), "close"
rate      {address, port, count, rate}  opens connections at a steady rate, each one echoing a line
steady    {address, port, connections, rate, newRate}  until a line comes on standard input: `rate` lines a second echoed
          over connections that stay open, and `newRate` connections a second that echo one
transfer  {targets: [[address, port, protocol]...], count, seed, largest}  connections of random sizes
udp       {exchanges: [[address, port, text]...], connected, mapped}  one UDP socket; each answer with its source
dns       {servers: [[address, port]...], name, connected}  A queries; one UDP socket
"""
import collections
import errno
import json
import random
import select
import socket
import struct
import sys
import threading
import time

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def name_of(error):
    if isinstance(error, socket.timeout):
        return "timeout"
    return errno.errorcode.get(error.errno, str(error)) if error.errno else str(error)


def answer(value):
    print(json.dumps(value), flush=True)


def opened(address, port, bind=None, timeout=10):
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if bind:
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((bind, 0))
        sock.connect((address, port))
        return sock
    except OSError:
        sock.close()
        raise


def read_line(sock):
    data = b""
    while not data.endswith(b"\n"):
        more = sock.recv(4096)
        if not more:
            raise ConnectionError(errno.ECONNRESET, "ended before its greeting")
        data += more
    return data.decode().strip()


def reset(sock):
    """Ends with a reset, which leaves no TIME_WAIT behind: thousands of connections do not use up the ports."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


def pick(address, port, count, binds=None):
    names, errors, by_bind = collections.Counter(), collections.Counter(), {}
    for index in range(count):
        bind = binds[index % len(binds)] if binds else None
        try:
            sock = opened(address, port, bind)
            name = read_line(sock).split()[0]
            names[name] += 1
            if bind:
                by_bind[bind] = name
            reset(sock)
        except OSError as error:
            errors[name_of(error)] += 1
    answer({"names": names, "errors": errors, "byBind": by_bind})


def connect(address, port, mapped=False, protocol="tcp"):
    target = "::ffff:" + address if mapped else address
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family_of(target), kind)
    sock.settimeout(10)
    result = {"result": "connected", "peer": None, "greeting": None}
    started = time.monotonic()
    try:
        sock.connect((target, port))
        result["milliseconds"] = (time.monotonic() - started) * 1000
        result["peer"] = list(sock.getpeername()[:2])
        if protocol == "udp":
            sock.send(b"hello")
            result["greeting"] = sock.recv(4096).decode()
        else:
            result["greeting"] = read_line(sock)
    except OSError as error:
        result["result"] = name_of(error)
        result.setdefault("milliseconds", (time.monotonic() - started) * 1000)
    sock.close()
    answer(result)


def hold(address, port, count):
    sockets = []
    for _ in range(count):
        sock = opened(address, port)
        sockets.append((sock, read_line(sock).split()[0]))
    answer({"event": "open", "names": [name for _, name in sockets]})
    poller = select.poll()
    poller.register(0, select.POLLIN)
    by_fd = {}
    for index, (sock, name) in enumerate(sockets):
        poller.register(sock.fileno(), select.POLLIN)
        by_fd[sock.fileno()] = (index, sock, name)

    def ended(fd, how):
        index, sock, name = by_fd.pop(fd)
        poller.unregister(fd)
        sock.close()
        answer({"event": "ended", "index": index, "name": name, "how": how, "at": time.time()})

    def exchange(sock, data):
        sock.sendall(data)
        left = len(data)
        while left:
            got = len(sock.recv(min(left, 65536)))
            if not got:
                raise ConnectionError(errno.ECONNRESET, "ended")
            left -= got

    while True:
        for fd, _ in poller.poll():
            if fd == 0:
                words = sys.stdin.readline().split()
                if not words or words[0] == "close":
                    for _, sock, _ in by_fd.values():
                        sock.close()
                    answer({"event": "closed"})
                    return
                data = b"ping\n" if words[0] == "echo" else b"x" * int(words[1])
                alive = 0
                for one in list(by_fd):
                    try:
                        exchange(by_fd[one][1], data)
                        alive += 1
                    except OSError as error:
                        ended(one, name_of(error))
                answer({"event": "alive", "count": alive})
            elif fd in by_fd:
                try:
                    if not by_fd[fd][1].recv(4096):
                        ended(fd, "EOF")
                except OSError as error:
                    ended(fd, name_of(error))


def rate(address, port, count, rate, workers=8):
    names, errors, slowest = collections.Counter(), collections.Counter(), [0.0]
    lock = threading.Lock()
    started = time.monotonic()
    turns = iter(range(count))

    def work():
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            delay = started + turn / rate - time.monotonic()
            if delay > 0:
                time.sleep(delay)
            begun = time.monotonic()
            try:
                sock = opened(address, port)
                name = read_line(sock).split()[0]
                sock.sendall(b"ping\n")
                if read_line(sock) != "ping":
                    raise OSError("wrong echo")
                sock.close()
                with lock:
                    names[name] += 1
                    slowest[0] = max(slowest[0], time.monotonic() - begun)
            except OSError as error:
                with lock:
                    errors[name_of(error)] += 1

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer({"names": names, "errors": errors, "slowest": slowest[0], "seconds": time.monotonic() - started})


def steady(address, port, connections, rate, newRate, workers=4):
    counts, errors, slowest = collections.Counter(), collections.Counter(), collections.Counter()
    lock, stopped = threading.Lock(), threading.Event()

    def exchange(sock):
        sock.sendall(b"ping\n")
        if read_line(sock) != "ping":
            raise OSError("wrong echo")

    def work(kind, share, turn):
        begun, number = time.monotonic(), 0
        while not stopped.is_set():
            time.sleep(max(0, begun + number / share - time.monotonic()))
            number += 1
            started = time.monotonic()
            try:
                turn(number)
                with lock:
                    counts[kind] += 1
            except OSError as error:
                with lock:
                    errors[f"{kind}: {name_of(error)}"] += 1
                if kind == "kept":
                    return
            slowest[kind] = max(slowest[kind], time.monotonic() - started)

    def fresh(_):
        with opened(address, port) as sock:
            read_line(sock)
            exchange(sock)

    threads = [threading.Thread(target=work, args=("new", newRate / workers, fresh)) for _ in range(workers)]
    for _ in range(workers):
        sockets = [opened(address, port) for _ in range(connections // workers)]
        for sock in sockets:
            read_line(sock)
        turn = lambda number, sockets=sockets: exchange(sockets[number % len(sockets)])
        threads.append(threading.Thread(target=work, args=("kept", rate / workers, turn)))
    for thread in threads:
        thread.start()
    print("started", flush=True)
    sys.stdin.readline()
    stopped.set()
    for thread in threads:
        thread.join()
    answer({"counts": counts, "errors": errors, "slowest": slowest})


def transfer(targets, count, seed, largest):
    """The books: by target, connections and payload bytes each way, as send() and recv() reported them."""
    generator = random.Random(seed)
    filler = bytes(largest)
    books = [{"connections": 0, "sent": 0, "received": 0, "errors": 0} for _ in targets]
    for index in range(count):
        address, port, protocol = targets[index % len(targets)]
        book = books[index % len(targets)]
        try:
            if protocol == "tcp":
                upload, download = generator.randint(0, largest), generator.randint(0, largest)
                sock = opened(address, port)
                sock.sendall(struct.pack("!II", upload, download) + filler[:upload])
                book["sent"] += 8 + upload
                left = download
                while left:
                    got = len(sock.recv(min(left, 262144)))
                    if not got:
                        raise ConnectionError(errno.ECONNRESET, "ended early")
                    left -= got
                    book["received"] += got
            else:
                sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
                sock.settimeout(10)
                if index // len(targets) % 2:
                    sock.connect((address, port))
                for _ in range(generator.randint(1, 4)):
                    upload, download = generator.randint(4, 9000), generator.randint(1, 9000)
                    data = struct.pack("!I", download) + filler[: upload - 4]
                    data = data.ljust(upload, b"x")
                    if index // len(targets) % 2:
                        sock.send(data)
                    else:
                        sock.sendto(data, (address, port))
                    book["sent"] += upload
                    book["received"] += len(sock.recvfrom(65535)[0])
            book["connections"] += 1
            sock.close()
        except OSError as error:
            book["errors"] += 1
            print(f"{address}:{port}/{protocol}: {error}", file=sys.stderr)
    answer({"books": books})


def udp(exchanges, connected=False, mapped=False):
    prefix = "::ffff:" if mapped else ""
    sock = socket.socket(family_of(prefix + exchanges[0][0]), socket.SOCK_DGRAM)
    sock.settimeout(5)
    answers = []
    try:
        for address, port, text in exchanges:
            if connected:
                sock.connect((prefix + address, port))
                sock.send(text.encode())
            else:
                sock.sendto(text.encode(), (prefix + address, port))
            data, source = sock.recvfrom(65535)
            answers.append({"text": data.decode(), "address": source[0], "port": source[1]})
        answer({"answers": answers, "result": "ok"})
    except OSError as error:
        answer({"answers": answers, "result": name_of(error)})


def dns(servers, name, connected=False):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    answers = []
    for identifier, (address, port) in enumerate(servers, 1):
        question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
        query = struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0) + question
        if connected:
            sock.connect((address, port))
            sock.send(query)
        else:
            sock.sendto(query, (address, port))
        data, source = sock.recvfrom(4096)
        if struct.unpack("!H", data[:2])[0] != identifier:
            raise SystemExit("an answer to another question")
        answers.append({"text": socket.inet_ntoa(data[-4:]), "address": source[0], "port": source[1]})
    answer({"answers": answers, "result": "ok"})


globals()[sys.argv[1]](**json.loads(sys.argv[2]))
