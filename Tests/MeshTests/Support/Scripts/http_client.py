"""HTTP clients with exact books. Usage: http_client.py MODE JSON; the answer is one line of JSON.

table     {address, port, requests: [{method, path, headers, body, count}...]}  each on a connection of its own:
          [{status, reason, headers: [[name, value]...], body}...]; with count: {pods: {name: n}, statuses: {...}}
idle      {address, port, count}   opens `count` connections, one request on each, then a second one on each: {statuses}
load      {address, port, seconds, threads, paths, pause}  keep-alive requests, each with an id that the answer must carry;
          pause: seconds between two of them
sse       {address, port, path}    prints each server-sent event as it comes
heads     {address, port, heads: [text...]}  each request as it is (latin-1), on a connection of its own: [[status, reason]...]
raw       {address, port, bytes: [text...], timeout}  sends the texts one after the other (latin-1): what came back
"""
import collections
import http.client
import json
import resource
import socket
import sys
import threading
import time


def request(options, one, connection=None):
    connection = connection or http.client.HTTPConnection(options["address"], options["port"], timeout=20)
    headers = one.get("headers", {})
    names = {name.lower() for name in headers}
    connection.putrequest(one.get("method", "GET"), one.get("path", "/"), skip_host="host" in names,
                          skip_accept_encoding=True)
    body = one.get("body", "").encode()
    for name, value in headers.items():
        for text in value if isinstance(value, list) else [value]:
            connection.putheader(name, text)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    response = connection.getresponse()
    return response, response.read()


def table(options):
    answers = []
    for one in options["requests"]:
        if "count" in one:
            pods, statuses = collections.Counter(), collections.Counter()
            connection = http.client.HTTPConnection(options["address"], options["port"], timeout=20)
            for _ in range(one["count"]):
                response, _ = request(options, one, connection)
                pods[response.getheader("X-Pod") or ""] += 1
                statuses[str(response.status)] += 1
            connection.close()
            answers.append({"pods": pods, "statuses": statuses})
            continue
        try:
            response, body = request(options, one)
            answers.append({
                "status": response.status, "reason": response.reason, "headers": response.getheaders(),
                "body": body.decode("latin-1"), "version": response.version,
            })
        except OSError as error:
            answers.append({"status": 0, "reason": str(error), "headers": [], "body": ""})
    return answers


def heads(options):
    """What the answer's first line and x-weft-reason say; a connection that ends without an answer has status 0."""
    answers = []
    for text in options["heads"]:
        sock = socket.create_connection((options["address"], options["port"]), timeout=20)
        sock.sendall(text.encode("latin-1"))
        response = http.client.HTTPResponse(sock)
        try:
            response.begin()
            answers.append([response.status, response.getheader("x-weft-reason")])
        except (OSError, http.client.HTTPException):
            answers.append([0, None])
        sock.close()
    return answers


def read_answer(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise OSError("closed")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        part = sock.recv(65536)
        if not part:
            raise OSError("closed")
        body += part
    return int(head.split(b" ")[1])


def idle(options):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    text = b"GET /idle HTTP/1.1\r\nHost: web.shop\r\n\r\n"
    held = []
    for _ in range(options["count"]):
        sock = socket.create_connection((options["address"], options["port"]), timeout=20)
        sock.sendall(text)
        if read_answer(sock) == 200:
            held.append(sock)
    print(json.dumps({"event": "open", "count": len(held)}), flush=True)
    sys.stdin.readline()
    statuses = collections.Counter()
    for sock in held:
        try:
            sock.sendall(text)
            statuses[str(read_answer(sock))] += 1
        except OSError:
            statuses["closed"] += 1
    return {"event": "answered", "count": statuses["200"], "statuses": statuses}


def load(options):
    """Every answer must be whole, carry the id of its request, and come from a pod that its path allows."""
    stop = time.monotonic() + options["seconds"]
    results, problems = collections.Counter(), []

    def work(number):
        connection, n = None, 0
        paths = options["paths"]
        while time.monotonic() < stop:
            n += 1
            time.sleep(options.get("pause", 0) if n > 1 else 0)
            path = paths[n % len(paths)]
            identity = f"{number}-{n}"
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(options["address"], options["port"], timeout=20)
                one = {"path": path["path"] + "?id=" + identity, "headers": {"X-Id": identity}}
                response, body = request(options, one, connection)
                answer = json.loads(body) if response.status == 200 else {}
                if response.status != 200:
                    problems.append(f"{one['path']}: status {response.status} {response.getheader('x-weft-reason')}")
                elif not answer["path"].endswith("?id=" + identity):
                    problems.append(f"{one['path']}: got the answer to {answer['path']}")
                elif answer["pod"] not in path["pods"]:
                    problems.append(f"{one['path']}: misrouted to {answer['pod']}")
                else:
                    results[answer["pod"]] += 1
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as error:
                problems.append(f"{path['path']} {identity}: {error!r}")
                connection = None

    threads = [threading.Thread(target=work, args=(n,)) for n in range(options["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"pods": results, "problems": problems[:20], "failed": len(problems)}


def sse(options):
    connection = http.client.HTTPConnection(options["address"], options["port"], timeout=30)
    connection.request("GET", options["path"])
    response = connection.getresponse()
    while True:
        line = response.readline()
        if not line:
            break
        if line.startswith(b"data:"):
            print(json.dumps({"event": line.decode().strip()}), flush=True)
    return {"event": "end"}


def raw(options):
    sock = socket.create_connection((options["address"], options["port"]), timeout=options.get("timeout", 10))
    for text in options["bytes"]:
        sock.sendall(text.encode("latin-1"))
        time.sleep(0.02)
    data = b""
    how = "closed"
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                break
            data += part
    except socket.timeout:
        how = "open"
    except OSError:
        how = "reset"
    return {"data": data.decode("latin-1"), "end": how}


print(json.dumps(globals()[sys.argv[1]](json.loads(sys.argv[2]))), flush=True)
