"""The Tidegate under test: its process, its access log, and what it says of itself."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lib import tools

STOP_SECONDS = 40

GOOD = re.compile(rb'"route":"([^"]*)".*"status":2\d\d,"outcome":"completed"')
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Usage:
    """What the process holds."""

    # What it allocated. Code does not count: its share changes with whoever else runs the same file.
    anonymous_kib: int
    rss_kib: int
    descriptors: int


class Proxy:
    """The process."""

    def __init__(self, stack, binary, folder, ports):
        self.folder = folder
        command = [str(binary), "run", "--config", str(folder / "tidegate.yaml")]
        self.process = tools.start(None, command, stack.enter_context(open(folder / "proxy.log", "wb")))
        stack.callback(self.stop)
        if not all(tools.wait_for_port(port, self.process) for port in ports):
            raise tools.Failed(f"Tidegate did not start:\n{self.said()}")

    def said(self):
        """Returns the end of its own log."""
        return (self.folder / "proxy.log").read_text(errors="replace")[-3000:]

    def usage(self):
        """Returns what it holds now."""
        folder = Path(f"/proc/{self.process.pid}")
        fields = dict(line.split(":", 1) for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        anonymous, rss = (int(fields[name].split()[0]) for name in ("Anonymous", "Rss"))
        return Usage(anonymous, rss, len(os.listdir(folder / "fd")))

    def stop(self):
        """Ends it if it still runs."""
        if self.process.poll() is None:
            tools.stop(self.process)

    async def end(self):
        """Asks it to stop; returns what was wrong with that, or None."""
        return await asyncio.to_thread(tools.end, self.process, STOP_SECONDS)


class AccessLog:
    """Its access log, turned over while it is written, as a service that rotates logs does."""

    # Routes whose clients leave on purpose; wrk leaves at the end of its time.
    LEAVING = {"leave", "close"}
    # What a client that leaves is called when it still owed a part of its body.
    BROKEN_OFF = {"client_abort", "request_body_broken"}

    def __init__(self, folder, proxy, journal):
        self.path = folder / "access.log"
        self.proxy = proxy
        self.journal = journal
        self.turned = []
        self.count = 0
        self.lines = Counter()

    async def turn(self):
        """Begins a new file and reads the one that was closed at the turn before: by now nobody writes to that."""
        self.count += 1
        if self.path.exists():
            old = self.path.with_name(f"access.log.{self.count}")
            os.rename(self.path, old)
            self.turned.append(old)
            self.proxy.process.send_signal(signal.SIGHUP)
        if len(self.turned) > 1:
            await asyncio.to_thread(self.read, self.turned.pop(0))

    def finish(self):
        """Reads what is left, once the proxy has ended."""
        for path in [*self.turned, self.path]:
            if path.exists():
                self.read(path)

    def read(self, path):
        """Counts the lines by route; those of requests that failed are failures."""
        with open(path, "rb") as lines:
            for line in lines:
                if good := GOOD.search(line):
                    self.lines[good[1].decode()] += 1
                else:
                    self.judge(json.loads(line))
        path.unlink()

    def judge(self, line):
        """Tells a client that left from everything else."""
        route = line.get("route", "")
        self.lines[route] += 1
        if route in self.LEAVING and (line["outcome"] == "aborted" or line.get("reason") in self.BROKEN_OFF):
            return
        said = " ".join(f"{key}={value}" for key, value in line.items() if key not in ("host", "request_id"))
        self.journal.fail(route or "?", "access log", said)


class Metrics:
    """One look at the metrics page."""

    def __init__(self, text):
        self.samples = [parsed for line in text.splitlines() if (parsed := self.sample(line))]

    @staticmethod
    def sample(line):
        """Reads a line: name, labels, value."""
        found = SAMPLE.match(line)
        return found and (found[1], dict(LABEL.findall(found[2] or "")), float(found[3]))

    def sum(self, name, **labels):
        """Adds up all samples that have these labels."""
        return sum(value for found, has, value in self.samples if found == name and labels.items() <= has.items())

    def by(self, name, label, **labels):
        """The same, by the value of one label."""
        sums = Counter()
        for found, has, value in self.samples:
            if found == name and labels.items() <= has.items():
                sums[has.get(label, "")] += value
        return sums
