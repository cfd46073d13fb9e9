"""Opens keep-alive connections, makes one request on each, and holds them: `hold.py ADDRESS PORT PATH COUNT`."""

import resource
import signal
import socket
import sys


def main():
    address, port, path, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    held = []
    for _ in range(count):
        connection = socket.create_connection((address, port), timeout=10)
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = connection.recv(65536)
            if not part:
                sys.exit(f"connection {len(held)} was closed")
            answer += part
        if not answer.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"connection {len(held)}: {answer[:80]!r}")
        held.append(connection)
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
