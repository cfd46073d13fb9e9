"""Joins two network namespaces by a wire on which every packet takes a while: a device `far` in each.

delay.py MILLISECONDS NAMESPACE NAMESPACE, the namespaces as paths.
"""

import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def device(namespace):
    """A device in the namespace; this process is in it afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(namespace, encoding="ascii") as place:
        if libc.setns(place.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"{namespace}: {os.strerror(ctypes.get_errno())}")
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", b"far", IFF_TUN | IFF_NO_PI))
    return made


def main():
    delay = float(sys.argv[1]) / 1e3
    ends = [device(namespace) for namespace in sys.argv[2:4]]
    print("ready", flush=True)
    waiting = collections.deque()
    while True:
        pause = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], pause)[0]:
            waiting.append((time.monotonic() + delay, ends[end == ends[0]], os.read(end, 1 << 16)))
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, packet = waiting.popleft()
            try:
                os.write(end, packet)
            except OSError:
                pass  # the device is not up yet: a packet that is lost


main()
