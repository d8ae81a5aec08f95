"""The loads, and how the answers of wrk and h2load are read."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lib import tools

CLIENT_CORE = 1
POST = Path(__file__).resolve().parent / "post.lua"

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass
class Load:
    """What a client says about its run."""

    requests: int
    errors: int
    rate: float
    p99_ms: float | None


@dataclass
class Scenario:
    """One load. `listener` names the port of a contestant; `gates` the highest accepted ratio to a peer."""

    key: str
    title: str
    listener: str
    path: str
    size: int
    connections: int
    client: str = "wrk"
    extra: list = field(default_factory=list)
    gates: dict = field(default_factory=dict)
    body: int = 0

    def url(self, port):
        """Returns what is asked for."""
        return f"{'https' if self.listener == 'tls' else 'http'}://127.0.0.1:{port}{self.path}"

    def command(self, port, seconds):
        """Returns the client's command line."""
        if self.client == "wrk":
            options = ["-t", "1", "-c", str(self.connections), "-d", f"{seconds}s", "--latency", "--timeout", "5s"]
        else:
            options = ["-t", "1", "-c", str(self.connections), "-D", str(seconds)]
        return [tools.find(self.client), *options, *self.extra, self.url(port)]

    def read(self, text):
        """Reads what the client printed."""
        return read_wrk(text) if self.client == "wrk" else read_h2load(text)


SCENARIOS = [
    Scenario("h1", "HTTP/1.1, 1 KiB, 64 connections", "h1", "/1k", 1 << 10, 64, gates={"nginx": 1.20, "haproxy": 1.05}),
    Scenario("h1-512", "HTTP/1.1, 1 KiB, 512 connections", "h1", "/1k", 1 << 10, 512, gates={"nginx": 1.20, "haproxy": 1.05}),
    Scenario("64k", "HTTP/1.1, 64 KiB, 64 connections", "h1", "/64k", 64 << 10, 64, gates={"nginx": 1.05, "haproxy": 0.75}),
    Scenario("post", "POST 16 KiB, 64 connections", "h1", "/1k", 1 << 10, 64, extra=["-s", str(POST)], body=16 << 10,
             gates={"nginx": 1.15, "haproxy": 0.75}),
    Scenario("h2", "HTTP/2 to HTTP/1.1, 1 KiB, 16 connections of 16 streams", "h2c", "/1k", 1 << 10, 16, client="h2load",
             extra=["-m", "16"], gates={"nginx": 1.05, "haproxy": 1.05}),
    Scenario("tls", "TLS keepalive, 1 KiB, 64 connections", "tls", "/1k", 1 << 10, 64, gates={"nginx": 0.95, "haproxy": 0.85}),
]

# Far from saturation, where wake-ups are not shared by many requests. Printed, never judged.
FIXED_RATE = Scenario("rate", "HTTP/1.1, 1 KiB, 4,000 requests/s", "h1", "/1k", 1 << 10, 50, client="h2load",
                      extra=["--h1", "--rps", "80"])


def read_wrk(text):
    """Reads wrk's report; what it calls a socket error is an error here."""
    requests = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not requests or not rate:
        raise tools.Failed(f"wrk said:\n{text}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(refused[1]) if refused else 0
    errors += sum(int(count) for count in sockets.groups()) if sockets else 0
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return Load(int(requests[1]), errors, float(rate[1]), float(p99[1]) * UNITS_MS[p99[2]] if p99 else None)


def read_h2load(text):
    """Reads h2load's report. It has no percentiles."""
    finished = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not finished or not counts or not codes:
        raise tools.Failed(f"h2load said:\n{text}")
    # "Errored" and "timeout" are kinds of "failed", not further ones.
    errors = int(counts[2]) + sum(int(codes[index]) for index in (2, 3, 4))
    return Load(int(counts[1]), errors, float(finished[1]), None)
