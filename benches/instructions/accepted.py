"""The accepted figures: kept in `accepted.json`, compared with what was measured."""

import json
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

from lib import tools

PAGE = Path(__file__).resolve().parent / "accepted.json"

# Twice what the least repeatable load differs by between two runs of one binary, with room for another processor's libc.
TOLERANCE = 0.03

COMPILER = re.compile(rb"rustc version ([\x20-\x7e]+)")


@dataclass
class Accepted:
    """Instructions per request by load, and what they were taken with."""

    taken_with: dict = field(default_factory=dict)
    instructions: dict = field(default_factory=dict)


def load(page=PAGE):
    """Reads the accepted figures; none when there is no file."""
    if not page.exists():
        return Accepted()
    try:
        return Accepted(**json.loads(page.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise tools.Failed(f"{page}: {error}; write it anew with --accept") from error


def store(measured, taken_with, page=PAGE):
    """Accepts figures; those of loads that were not measured stay."""
    figures = load(page).instructions | {key: round(value) for key, value in measured.items()}
    text = json.dumps({"instructions": figures, "taken_with": taken_with}, indent=2, sort_keys=True)
    page.write_text(text + "\n", encoding="utf-8")


def surroundings(binary):
    """Says what the count depends on beside the code: the compiler, and the libc that allocates and copies."""
    # The compiler writes its version into the section `.comment`.
    found = COMPILER.search(binary.read_bytes())
    return {"rustc": found[1].decode() if found else "unknown", "libc": " ".join(platform.libc_ver())}


@dataclass
class Verdict:
    """One load, compared."""

    key: str
    accepted: int | None
    measured: float

    def change(self):
        """The relative change, None when nothing was accepted yet."""
        return None if self.accepted is None else self.measured / self.accepted - 1

    def worse(self):
        """Whether it costs more than is tolerated; a load without an accepted figure is not guarded, which is as bad."""
        return self.accepted is None or self.change() > TOLERANCE

    def better(self):
        """Whether the accepted figure is so high that it guards nothing."""
        return self.accepted is not None and self.change() < -TOLERANCE

    def row(self):
        """A line of the table."""
        if self.accepted is None:
            return f"{self.key:8} {'none':>10} {self.measured:>10,.0f}          NOT ACCEPTED YET"
        said = "MORE THAN +3%" if self.worse() else "better by more than 3%: accept it" if self.better() else ""
        return f"{self.key:8} {self.accepted:>10,} {self.measured:>10,.0f} {self.change():>+8.1%} {said}".rstrip()


def judge(measured, accepted, taken_with):
    """Returns the lines to print, and whether every load passes."""
    verdicts = [Verdict(key, accepted.instructions.get(key), value) for key, value in measured.items()]
    lines = ["Instructions per request:", f"{'load':8} {'accepted':>10} {'measured':>10} {'change':>8}"]
    lines += [verdict.row() for verdict in verdicts]
    passed = not any(verdict.worse() for verdict in verdicts)
    if accepted.taken_with and accepted.taken_with != taken_with:
        lines.append(f"The accepted figures were taken with {described(accepted.taken_with)}; this is {described(taken_with)}.")
    if not passed:
        lines.append("Look at --functions for what has grown. If the cost is worth it: benches/instructions/run --accept, and say why in the commit.")
    elif any(verdict.better() for verdict in verdicts):
        lines.append("Lower the accepted figure, or what was won can be lost unseen: benches/instructions/run --accept")
    return lines, passed


def described(taken_with):
    """Names compiler and libc."""
    return f"rustc {taken_with.get('rustc', 'unknown')} and {taken_with.get('libc', 'an unknown libc')}"
