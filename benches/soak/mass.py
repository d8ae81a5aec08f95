"""Load by h2load and wrk, one kind after the other: what the clients of `soak.clients` are too slow for."""

import asyncio
import subprocess

from lib import tools
from peers.scenarios import read_h2load, read_wrk

ROUND_SECONDS = 1.5
LEAST = 200
CLOSE_CONNECTIONS = 8


class Mass:
    """Runs one command after the other until it is told to end."""

    def __init__(self, journal, port, tls_port, body):
        self.journal = journal
        self.ending = asyncio.Event()
        plain, tls = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
        # The number of requests is exact, so that the proxy must have counted the same.
        self.exact = {
            "h1": ["--h1", "-c", "32", f"{plain}/h1/1k"],
            "h2": ["-c", "4", "-m", "16", f"{plain}/h2/1k"],
            "tls": ["-c", "8", "-m", "4", f"{tls}/tls/1k"],
            "tls1": ["--h1", "-c", "16", f"{tls}/tls1/64k"],
            "upload": ["--h1", "-c", "16", "-d", str(body), f"{plain}/upload/1k"],
        }
        self.close = f"{plain}/close/1k"
        self.rates = dict.fromkeys(self.exact, 500.0)

    async def run(self):
        """Repeats all kinds."""
        while not self.ending.is_set():
            for kind in self.exact:
                if not self.ending.is_set():
                    await self.counted(kind)
            if not self.ending.is_set():
                await self.closing()

    async def counted(self, kind):
        """Sends an exact number of requests, as many as take about one round."""
        requests = max(LEAST, int(self.rates[kind] * ROUND_SECONDS))
        load = await self.client([tools.find("h2load"), "-t", "1", "-n", str(requests), *self.exact[kind]], read_h2load)
        self.journal.done[kind] += load.requests
        if (load.requests, load.errors) != (requests, 0):
            self.journal.fail(kind, "h2load", f"{requests} requests, {load.requests} answered, {load.errors} failed; see its lines of the access log", load.errors or 1)
        self.rates[kind] = load.rate

    async def closing(self):
        """Opens a connection for each request, for a time: wrk leaves with some under way."""
        command = [tools.find("wrk"), "-t", "1", "-c", str(CLOSE_CONNECTIONS), "-d", "1s", "--timeout", "20s", "-H", "Connection: close", self.close]
        load = await self.client(command, read_wrk)
        self.journal.done["close"] += load.requests
        self.journal.unsure["close"] += CLOSE_CONNECTIONS
        if load.errors:
            self.journal.fail("close", "wrk", f"{load.requests} answered, {load.errors} failed; see its lines of the access log", load.errors)

    async def client(self, command, read):
        """Runs a client and reads what it says."""
        # Started by the main thread: a child ends with the thread that started it.
        process = tools.start(None, command, subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
        try:
            text, _ = await asyncio.to_thread(process.communicate, timeout=60)
        except subprocess.TimeoutExpired as error:
            raise tools.Failed(f"{command[0]} did not end within 60 s: {' '.join(command)}") from error
        finally:
            if process.poll() is None:
                tools.stop(process)
        return read(text)
