"""Added latency: one connection, one request after the other, through each proxy and without one."""

import random
from statistics import median

from peers import own

KEY = "latency"
TITLE = "Latency of a single connection"
ROUNDS = 7
QUICK_ROUNDS = 3
SECONDS = 0.5
DIRECT = "(direct)"


def run(contestants, direct_port, rounds, seconds, say):
    """Returns pairs of p50 and p99 in microseconds by name, in the order of the rounds."""
    ports = {DIRECT: direct_port, **{contestant.name: contestant.ports.h1 for contestant in contestants}}
    found = {name: [] for name in ports}
    for _ in range(rounds):
        order = list(ports)
        random.shuffle(order)
        for name in order:
            with own.client("single", ports[name], seconds) as client:
                figures = client.figures()
            found[name].append((figures["p50_ns"] / 1000, figures["p99_ns"] / 1000))
    say("  p50: " + ", ".join(f"{name} {middle(rounds, 0):.1f}" for name, rounds in found.items()) + " us")
    return found


def middle(rounds, which):
    """Median over the rounds."""
    return median(each[which] for each in rounds)


def added(found, name, which):
    """Median over the rounds of what a proxy adds to the direct way in the same round."""
    return median(one[which] - direct[which] for one, direct in zip(found[name], found[DIRECT]))
