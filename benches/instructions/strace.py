"""System calls by strace: taking the counts and reading them."""

import re
from collections import Counter

from lib import tools

# `% time  seconds  usecs/call  calls  errors  syscall`; the column of errors is empty when there are none.
ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def read(text):
    """Reads the summary that `strace -c` writes."""
    counts = Counter()
    for line in text.splitlines():
        if (row := ROW.match(line)) and row[2] != "total":
            counts[row[2]] += int(row[1])
    if not counts:
        raise tools.Failed(f"strace counted nothing; may this user trace processes? It said:\n{text[-1000:]}")
    return counts


def measure(bench, load, requests):
    """Returns the calls of a fresh Tidegate that has answered so many requests, by name."""
    out = bench.folder / f"calls-{load.key}-{requests}"
    bench.run([tools.find("strace"), "-f", "-c", "-o", str(out)], load, requests)
    return read(out.read_text(encoding="utf-8", errors="replace"))


def per_request(fewer, more, requests):
    """Returns calls per request by name, the most frequent first; what rounds to nothing is left out."""
    rates = {name: (more[name] - fewer[name]) / requests for name in more.keys() | fewer.keys()}
    return {name: rates[name] for name in sorted(rates, key=rates.get, reverse=True) if abs(rates[name]) >= 0.0005}
