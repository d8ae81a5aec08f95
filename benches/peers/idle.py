"""Memory of idle connections: 9,000 of them, one request each, then nothing.

The proxies are fresh ones: a process that has served other loads has freed memory at hand, and its connections would look cheap.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from peers import measure, own
from peers.scenarios import SCENARIOS

KEY = "idle"
TITLE = "9,000 idle connections"
CONNECTIONS = 9_000
SETTLE_SECONDS = 3
# Two descriptors a connection is what HAProxy asks for; all have some to spare.
NEEDED_FILES = 20_000

MAX_KIB = 16.0
MAX_OF_ENVOY = 1.0


@dataclass
class Memory:
    """One proxy's memory, in KiB."""

    before: int
    after: int
    connections: int

    def each(self):
        """What one connection costs."""
        return (self.after - self.before) / self.connections


def run(contestants, say):
    """Returns the memory of each proxy by name, and objections."""
    found, objections = {}, []
    for contestant in contestants:
        measure.check(SCENARIOS[0], contestant)
        before = pss(contestant.pids())
        with own.client(KEY, contestant.ports.h1, CONNECTIONS) as client:
            client.ready()
            time.sleep(SETTLE_SECONDS)
            after = pss(contestant.pids())
            kept = client.figures()["open"]
        if kept != CONNECTIONS:
            objections.append(f"{contestant.name}: {CONNECTIONS - kept} of {CONNECTIONS} connections were closed")
            continue
        found[contestant.name] = Memory(before, after, CONNECTIONS)
        say(f"  {contestant.name}: {found[contestant.name].each():.2f} KiB a connection")
    return found, objections


def gates(found):
    """Returns rows of peer, figure, highest accepted figure and whether that is met."""
    if "tidegate" not in found:
        return []
    each = found["tidegate"].each()
    rows = [("itself", f"{each:.2f} KiB", f"{MAX_KIB:.0f} KiB", each <= MAX_KIB)]
    if "envoy" in found:
        ratio = each / found["envoy"].each()
        rows.append(("envoy", f"{ratio:.2f}", f"{MAX_OF_ENVOY:.2f}", ratio <= MAX_OF_ENVOY))
    return rows


def judged(found, names):
    """Whether all that the gates compare was measured."""
    return all(name in found for name in ("tidegate", "envoy") if name in names)


def pss(pids):
    """Returns the processes' proportional share of memory, in KiB."""
    return sum(read_pss(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)


def read_pss(text):
    """Reads `smaps_rollup`."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
