"""Sends the cases to a proxy, many at once, and reads what comes back."""

import asyncio
import re

#: Seconds without a byte after which a proxy is taken to wait for more; a valid request is answered, so that only a hung
#: proxy makes it wait that long.
SILENCE = 1.5
SILENCE_IF_VALID = 10
#: Seconds that a connection may take in all.
PATIENCE = 20


class Exchange(asyncio.Protocol):
    """One case at one proxy."""

    def __init__(self, case, done):
        self.case = case
        self.done = done
        self.data = b""
        self.transport = None
        self.timer = None
        self.loop = asyncio.get_running_loop()
        self.silence = SILENCE_IF_VALID if case.must == "forward" else SILENCE

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.case.data)
        self.watch(self.silence)

    def data_received(self, data):
        self.data += data
        # What has been answered in full may still be followed by the answer to a smuggled request.
        self.watch(0.05 if len(statuses(self.data)) >= self.case.count else self.silence)

    def watch(self, seconds):
        if self.timer:
            self.timer.cancel()
        self.timer = self.loop.call_later(seconds, self.transport.abort)

    def connection_lost(self, error):
        if self.timer:
            self.timer.cancel()
        if not self.done.done():
            self.done.set_result(self.data)


def statuses(data):
    """The statuses of the final responses in `data`."""
    return [int(status) for status in re.findall(rb"(?:^|\r\n|ok|)HTTP/1\.[01] ([0-9]{3})", data) if status[0:1] != b"1"]


async def exchange(address, case):
    done = asyncio.get_running_loop().create_future()
    try:
        await asyncio.get_running_loop().create_connection(lambda: Exchange(case, done), *address)
        return await asyncio.wait_for(done, PATIENCE)
    except (OSError, asyncio.TimeoutError):
        return done.result() if done.done() else b""


async def send_all(address, cases, at_once):
    """What came back for each case, by its name."""
    gate = asyncio.Semaphore(at_once)
    found = {}

    async def one(case):
        async with gate:
            found[case.name] = await exchange(address, case)

    await asyncio.gather(*(one(case) for case in cases))
    return found
