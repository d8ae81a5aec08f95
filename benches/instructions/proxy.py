"""Tidegate under an instrument that counts, and clients that send an exact number of requests.

What is counted is the difference of two fresh processes, one of which has answered more requests: start, stop, the opening of
connections and the first use of everything are in both, and cancel out.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lib import endpoint, tools
from peers import base, contestants
from peers.scenarios import read_h2load

# A page of zeros would compress nothing here, but be easy to mistake for memory that was never written.
BODY = b"x" * (16 << 10)

# Programs run 20 to 60 times slower under valgrind, on a machine that is often busy.
START_SECONDS = 60
STOP_SECONDS = 60
LOAD_SECONDS = 240


@dataclass
class Load:
    """A kind of request, as h2load sends it; `listener` names one of the contestants' ports, `proxy` makes the proxy of a binary."""

    key: str
    title: str
    listener: str = "h1"
    path: str = "/1k"
    connections: int = 16
    extra: list = field(default_factory=lambda: ["--h1"])
    body: bool = False
    proxy: Callable = contestants.Tidegate

    def command(self, port, requests, body):
        """Returns the client's command line for exactly so many requests."""
        scheme = "https" if self.listener == "tls" else "http"
        options = ["-t", "1", "-n", str(requests), "-c", str(self.connections), *self.extra]
        options += ["-d", str(body)] if self.body else []
        return [tools.find("h2load"), *options, f"{scheme}://127.0.0.1:{port}{self.path}"]


class Bench:
    """Endpoints, a certificate and a folder, for as many runs as are wanted."""

    def __init__(self, stack: ExitStack, binary: Path, folder: Path):
        self.binary = binary
        self.folder = folder
        self.body = folder / "body"
        self.body.write_bytes(BODY)
        self.around = base.Surroundings(folder, endpoint.start(stack, folder), *tools.certificate(folder))
        self.runs = 0

    def run(self, instrument, load, requests, between=None):
        """Answers `requests` requests in a fresh process under `instrument`, a command that takes the program's as its end.

        `between` is called with the process when it is ready and has answered once, before what is counted.
        """
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        proxy = load.proxy(self.binary)
        proxy.ports = base.Ports(*tools.free_ports(4))
        command = [*instrument, *proxy.configure(folder, self.around)]
        log = folder / "log"
        with open(log, "wb") as out:
            process = tools.start(None, command, out)
        try:
            port = getattr(proxy.ports, load.listener)
            if not tools.wait_for_port(port, process, START_SECONDS):
                raise tools.Failed(f"{command[0]}: Tidegate did not start:\n{tail(log)}")
            self.send(load, port, load.connections)
            if between is not None:
                between(process)
            self.send(load, port, requests)
            end(process, log)
        finally:
            if process.poll() is None:
                tools.stop(process)
        return folder

    def send(self, load, port, requests):
        """Has the client send exactly so many requests, all of which must be answered well."""
        command = load.command(port, requests, self.body)
        try:
            text = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False).stdout
        except subprocess.TimeoutExpired as error:
            raise tools.Failed(f"{load.title}: {requests} requests took longer than {LOAD_SECONDS} s") from error
        said = read_h2load(text)
        if (said.requests, said.errors) != (requests, 0):
            raise tools.Failed(f"{load.title}: {said.requests} of {requests} requests were answered, {said.errors} failed:\n{text}")


def end(process, log):
    """Asks the program to stop, below its instrument if that is a process of its own, and waits until both have ended."""
    below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    for pid in below or [process.pid]:
        os.kill(int(pid), signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise tools.Failed(f"Tidegate did not stop within {STOP_SECONDS} s:\n{tail(log)}") from error
    if process.returncode != 0:
        raise tools.Failed(f"Tidegate ended with status {process.returncode}:\n{tail(log)}")


def tail(log):
    """Returns the end of a log."""
    return log.read_text(errors="replace")[-2000:]
