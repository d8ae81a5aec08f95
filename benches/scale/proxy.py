"""The proxy that is measured: under callgrind for instructions, as it is for memory and time."""

import http.client
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lib import callgrind, tools

# A config of ten thousand routes is read under callgrind.
START_SECONDS = 120
RELOAD_SECONDS = 120
# The nanoseconds that the scheduler has counted.
CPUCLOCK_SCHED = 2
HERE = Path(__file__).resolve().parent


@dataclass
class Ports:
    """Where everything listens."""

    public: int
    admin: int
    endpoint: int


def start_endpoint(stack, folder):
    """Starts the endpoint and returns its port; the stack ends it."""
    log = stack.enter_context(open(folder / "endpoint.log", "wb"))
    command = [sys.executable, "-B", str(HERE / "endpoint.py")]
    process = tools.start(None, command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(tools.stop, process)
    said = process.stdout.readline().split()
    if said[:1] != ["port"]:
        raise tools.Failed(f"the endpoint did not start: {(folder / 'endpoint.log').read_text(errors='replace')[-1000:]}")
    return int(said[1])


class Proxy:
    """Tidegate with one worker; used as a context, with a folder of its own."""

    def __init__(self, binary, endpoint, counted=False):
        self.binary, self.endpoint, self.counted = binary, endpoint, counted
        self.stack = ExitStack()
        self.folder = self.log = self.ports = self.process = self.program = None

    def __enter__(self):
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True)))
        self.log = self.folder / "log"
        self.ports = Ports(*tools.free_ports(2), self.endpoint)
        return self

    def __exit__(self, *failure):
        self.stack.close()

    def start(self, text):
        """Starts it with a config; returns the seconds until it listens."""
        self.write(text)
        command = [str(self.binary), "run", "--config", str(self.folder / "tidegate.yaml")]
        began = time.monotonic()
        if self.counted:
            self.program = callgrind.Counted(self.stack, self.folder, command)
            self.process = self.program.process
        else:
            self.process = tools.start(None, command, self.stack.enter_context(open(self.log, "ab")))
            self.stack.callback(tools.stop, self.process)
        for port in (self.ports.public, self.ports.admin):
            if not tools.wait_for_port(port, self.process, START_SECONDS):
                raise tools.Failed(f"tidegate did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
        return time.monotonic() - began

    def write(self, text):
        """Replaces the config file as editors do."""
        new = self.folder / "new.yaml"
        new.write_text(text, encoding="utf-8")
        new.rename(self.folder / "tidegate.yaml")

    def reload(self, text):
        """Takes another config, asked by the admin server; returns the seconds until it is in force."""
        self.write(text)
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.admin, timeout=RELOAD_SECONDS)
        try:
            connection.request("POST", "/api/v1/config/reload", headers={"content-length": "0"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise tools.Failed(f"tidegate did not take the config: {body[:2000].decode(errors='replace')}")
        return time.monotonic() - began

    def follow(self, text):
        """Takes another config when it has seen the file change; for callgrind, as whoever asks is answered too late, and counted."""
        before = self.applied()
        self.write(text)
        deadline = time.monotonic() + RELOAD_SECONDS
        while self.applied() == before:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise tools.Failed(f"tidegate did not take the config:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def applied(self):
        """Counts the configs that were in force."""
        return self.log.read_text(errors="replace").count("Config applied.")

    def weigh(self, endpoint, weight):
        """Gives an endpoint of the pool `main` another weight."""
        url = f"http://127.0.0.1:{self.ports.admin}/api/v1/pools/main/endpoints/{endpoint}"
        request = urllib.request.Request(url, json.dumps({"weight": weight}).encode(), method="PATCH")
        urllib.request.urlopen(request, timeout=30).close()

    def in_flight(self):
        """Returns how many requests its pools have in flight."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.admin}/api/v1/status", timeout=30) as answer:
            return sum(pool["in_flight"] for pool in json.load(answer)["pools"])

    def pss(self):
        """Returns its share of memory in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def cpu(self):
        """Returns the seconds that it has been on a core, threads that have ended included."""
        # The number of another process's CPU clock (clock_getcpuclockid(3)).
        return time.clock_gettime(~self.process.pid << 3 | CPUCLOCK_SCHED)


def file_limit():
    """Returns how many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
