"""The loads, and how the answers of wrk, h2load and openssl are read."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lib import tools

CLIENT_CORE = 1
POST = Path(__file__).resolve().parent / "post.lua"

# Below, the client or the endpoints were the limit and not the proxy.
MIN_BUSY = 0.95
NOT_JUDGED = 0.0

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
    """One load. `listener` names the port of a contestant; `gates` the highest accepted ratio to a peer.

    `processes` is how many clients run side by side, `workers` how many workers and cores the proxies have; below `min_busy` the proxy was
    not the limit.
    """

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
    processes: int = 1
    workers: int = 1
    min_busy: float = MIN_BUSY
    unit: str = "request"

    def url(self, port):
        """Returns what is asked for."""
        return f"{'https' if self.listener == 'tls' else 'http'}://127.0.0.1:{port}{self.path}"

    def command(self, port, seconds):
        """Returns the client's command line."""
        if self.client == "openssl":
            # HTTP/1.0: each connection brings one reply and is then closed by the proxy.
            return [tools.find("openssl"), "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", str(seconds), "-www", self.path]
        if self.client == "wrk":
            options = ["-t", "1", "-c", str(self.connections), "-d", f"{seconds}s", "--latency", "--timeout", "5s"]
        else:
            options = ["-t", "1", "-c", str(self.connections), "-D", str(seconds)]
        return [tools.find(self.client), *options, *self.extra, self.url(port)]

    def read(self, texts):
        """Reads what the clients printed, as one."""
        if self.client == "openssl":
            loads = [read_s_time(text, self.size) for text in texts]
        else:
            loads = [read_wrk(text) if self.client == "wrk" else read_h2load(text) for text in texts]
        tails = [load.p99_ms for load in loads]
        rate = sum(load.rate for load in loads)
        return Load(sum(load.requests for load in loads), sum(load.errors for load in loads), rate, None if None in tails else max(tails))


def against(nginx, haproxy, envoy):
    """Returns the gates of one load."""
    return {"nginx": nginx, "haproxy": haproxy, "envoy": envoy}


SCENARIOS = [
    Scenario("h1", "HTTP/1.1, 1 KiB, 64 connections", "h1", "/1k", 1 << 10, 64, gates=against(1.20, 1.05, 0.40)),
    Scenario("h1-512", "HTTP/1.1, 1 KiB, 512 connections", "h1", "/1k", 1 << 10, 512, gates=against(1.20, 1.05, 0.40)),
    Scenario("64k", "HTTP/1.1, 64 KiB, 64 connections", "h1", "/64k", 64 << 10, 64, gates=against(1.05, 0.75, 0.50)),
    # Client and endpoints copy as many bytes as the proxy does, so they are the limit as often as the proxy is.
    Scenario("1m", "HTTP/1.1, 1 MiB, 16 connections", "h1", "/1m", 1 << 20, 16, min_busy=NOT_JUDGED),
    Scenario("post", "POST 16 KiB, 64 connections", "h1", "/1k", 1 << 10, 64, extra=["-s", str(POST)], body=16 << 10,
             gates=against(1.15, 0.75, 0.45)),
    # Opening a connection costs the client as much as the proxy.
    Scenario("close", "HTTP/1.1, 1 KiB, a connection for each request", "h1", "/1k", 1 << 10, 64, extra=["-H", "Connection: close"],
             min_busy=NOT_JUDGED),
    Scenario("h2", "HTTP/2 to HTTP/1.1, 1 KiB, 16 connections of 16 streams", "h2c", "/1k", 1 << 10, 16, client="h2load",
             extra=["-m", "16"], gates=against(1.05, 1.05, 0.50)),
    Scenario("h2-h2", "HTTP/2 to HTTP/2, 1 KiB, 16 connections of 16 streams", "h2h2", "/1k", 1 << 10, 16, client="h2load",
             extra=["-m", "16"]),
    Scenario("tls", "TLS keepalive, 1 KiB, 64 connections", "tls", "/1k", 1 << 10, 64, gates=against(0.95, 0.85, 0.40)),
    # A client's half of a handshake is the dearer one: four of them share the other core.
    Scenario("handshake", "TLS handshake and one request", "tls", "/1k", 1 << 10, 4, client="openssl", processes=4, unit="handshake",
             min_busy=NOT_JUDGED),
    # Client and endpoints run on the same two cores.
    Scenario("two", "HTTP/1.1, 1 KiB, 64 connections, two workers", "h1", "/1k", 1 << 10, 64, workers=2, min_busy=NOT_JUDGED),
]

# Far from saturation, where wake-ups are not shared by many requests. Printed, never judged.
FIXED_RATE = Scenario("rate", "HTTP/1.1, 1 KiB, 4,000 requests/s", "h1", "/1k", 1 << 10, 50, client="h2load",
                      extra=["--h1", "--rps", "80"], min_busy=NOT_JUDGED)


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


def read_s_time(text, size):
    """Reads what `openssl s_time` printed: a mark for each connection, `r` for one that was resumed, then sums.

    A connection that failed has ended it. Its seconds are whole ones, too coarse for a rate: it says none.
    """
    found = re.search(r"(\d+) connections in \d+ real seconds, (\d+) bytes read per connection", text)
    if not found:
        raise tools.Failed(f"openssl said:\n{text}")
    connections, size_read = (int(figure) for figure in found.groups())
    marks = re.findall(r"^[*t3r]+$", text, re.MULTILINE)
    errors = connections if size_read < size else sum(line.count("r") for line in marks)
    return Load(connections, errors, 0.0, None)
