"""Profiles of callgrind: taking them and reading them.

The files are read here instead of by `callgrind_annotate`, which rounds, cannot subtract, and names one function by many lines.
Format: https://valgrind.org/docs/manual/cl-format.html, as far as callgrind itself writes it.
"""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from lib import tools

NAMED = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?$")
COST = re.compile(r"(?:0x[0-9a-f]+|[+-]?\d+|\*) (\d+)$")
# Legacy names end with a hash that every build makes anew.
HASH = re.compile(r"::h[0-9a-f]{16}$")


@dataclass
class Profile:
    """Instructions by function: its own, and with those that it called."""

    own: Counter = field(default_factory=Counter)
    inclusive: Counter = field(default_factory=Counter)

    def total(self):
        """All instructions."""
        return sum(self.own.values())


def read(lines):
    """Reads a profile. The inclusive cost of a function that calls itself is too high, as in every tool that reads this."""
    profile, names, current, called = Profile(), {}, None, False
    for line in lines:
        if named := NAMED.match(line):
            kind, number, name = named.groups()
            if name is not None:
                names[number] = HASH.sub("", name)
            if kind == "fn":
                current = names[number]
        elif line.startswith("calls="):
            # The next line is what the call has cost, with everything below it.
            called = True
        elif cost := COST.match(line):
            count = int(cost[1])
            profile.inclusive[current] += count
            if not called:
                profile.own[current] += count
            called = False
    if not profile.own:
        raise tools.Failed("callgrind wrote no profile")
    return profile


def measure(bench, load, requests):
    """Returns the profile of a fresh Tidegate that has answered so many requests."""
    out = bench.folder / f"profile-{load.key}-{requests}"
    pipes = f"--vgdb-prefix={bench.folder}/vgdb"
    instrument = [tools.find("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", pipes]

    def zero(process):
        # The start is not the same twice: clocks are calibrated against each other for a fixed *time*.
        command = [tools.find("vgdb"), f"--pid={process.pid}", pipes, "zero"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode != 0:
            raise tools.Failed(f"callgrind cannot be told to start from zero: {ran.stderr.strip()[-500:]}")

    bench.run(instrument, load, requests, zero)
    with open(out, encoding="utf-8", errors="replace") as lines:
        return read(lines)


def per_request(fewer, more, requests):
    """Returns a function's instructions per request, by function, from two profiles that are `requests` apart."""
    return {name: (more.get(name, 0) - fewer.get(name, 0)) / requests for name in fewer.keys() | more.keys()}
