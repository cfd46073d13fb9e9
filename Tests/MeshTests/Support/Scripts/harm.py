"""Relays connections, and once does harm to their bytes. Usage: harm.py ADDRESS PORT TO-ADDRESS TO-PORT HARM

HARM is none, lose (a byte), double (ten bytes), swap (two pieces), cut (the rest of a direction) or hang (nothing moves any
more on one connection).
"""
import socket
import sys
import threading

ADDRESS, PORT, TO_ADDRESS, TO_PORT, HARM = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
AFTER = 1_000_000

lock = threading.Lock()
passed, is_done = 0, HARM == "none"


def is_due(size):
    """Whether this is the piece that is harmed."""
    global passed, is_done
    with lock:
        passed += size
        if is_done or passed < AFTER or size < 1000:
            return False
        is_done = True
        return True


def relay(source, sink):
    try:
        while data := source.recv(65536):
            middle = len(data) // 2
            if is_due(len(data)):
                if HARM == "lose":
                    data = data[:middle] + data[middle + 1:]
                elif HARM == "double":
                    data = data[:middle] + data[middle - 10:]
                elif HARM == "swap":
                    data = data[middle:] + data[:middle]
                elif HARM == "cut":
                    break
                elif HARM == "hang":
                    return
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


listener = socket.create_server((ADDRESS, PORT), backlog=512)
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    server = socket.create_connection((TO_ADDRESS, TO_PORT))
    for source, sink in ((client, server), (server, client)):
        threading.Thread(target=relay, args=(source, sink), daemon=True).start()
